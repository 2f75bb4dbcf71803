// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's threads against each other: vCPUs, the ticker, the report's thread, the control
// socket's thread and a reset of the machine. Each test asserts something, but most of the value is
// in ThreadSanitizer, under which this file is built once more.
#include "control/control_commands.h"
#include "control/control_session.h"
#include "control/injection.h"
#include "measure/measurement.h"
#include "report/event_log.h"
#include "report/report.h"
#include "watch_fixture.h"

#include <atomic>
#include <functional>
#include <thread>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class plugin_race_test : public watch_fixture
{
  protected:
    static constexpr unsigned rounds = 40;
    static constexpr std::array<std::uint64_t, 2> vcpu_pages{low_2m, high_2m};

    void SetUp() override
    {
        build();
        w = std::make_unique<watch>(watch::settings{
            .machine = m.get(), .clock = [this] { return ++clock; }, .bound = 1, .on_new = {}});
        measured = std::make_unique<measurement>(measurement::settings{
            .machine = m.get(),
            .tlb = tlb_presets().front(),
            .clock = [this] { return ++clock; },
            .event = [this](std::string_view type,
                            const nlohmann::ordered_json &fields) { events.add(0, type, fields); },
        });
    }

    /// Runs each of `loops` on a thread of its own until all have done their rounds.
    static void together(const std::vector<std::function<void()>> &loops)
    {
        std::atomic<std::size_t> unfinished{loops.size()};
        std::vector<std::thread> threads;
        for (const auto &loop : loops) {
            threads.emplace_back([&] {
                for (unsigned i = 1; i <= rounds || unfinished != 0; ++i) {
                    loop();
                    unfinished -= i == rounds ? 1 : 0;
                }
            });
        }
        for (std::thread &t : threads) {
            t.join();
        }
    }

    void restart()
    {
        m->reset();
        m->bios_setup({.layout = hw::rmp_layout::segmented, .base = rmp_base, .segment_shift = 30});
        w->reset();
        measured->machine_changed();
    }
    json report() const
    {
        report_snapshot s;
        s.machine = m.get();
        s.watcher = w.get();
        s.measure = measured->report();
        return json::parse(render_report(s));
    }
    nlohmann::ordered_json control(const json &request)
    {
        return control_command({.machine = m.get(),
                                .measured = measured.get(),
                                .set_measure = {},
                                .inject = {},
                                .report = [this] { return nlohmann::ordered_json(report()); },
                                .memory = [this] { return measured->bytes() + events.bytes(); }},
                               request);
    }
    /// What a vCPU does: stores, RMPOPT, and RMPUPDATE of a page of its own.
    void run_vcpu(unsigned thread)
    {
        const hw::spa_t page = vcpu_pages[thread % 2];
        bump(measured->counter_of(thread, cell_accessor::host, cell_level::store, page));
        const hw::rmpopt_result r = optimise(thread, page, 0);
        measured->rmpopt(thread, r);
        w->rmpopt(on(thread), page, 0, r);
        hw::rmp_changes changes;
        for (const hw::rmp_record &record : {guest_page(), hw::rmp_record{}}) {
            const hw::rmp_status s = hw::rmpupdate(*m, page, record, changes);
            measured->rmpupdate(page, s);
            w->rmp_changed(changes);
            w->rmpupdate(on(thread), page, s);
        }
    }

    std::atomic<guest_time> clock{0};
    event_log events;
    std::unique_ptr<measurement> measured;
};

TEST_F(plugin_race_test, a_report_is_made_while_the_machine_is_reset)
{
    together({[&] { restart(); }, [&] { EXPECT_EQ(report()["cpus"], 4); }});
}

TEST_F(plugin_race_test, the_control_socket_answers_while_the_machine_is_reset)
{
    together({[&] { restart(); },
              [&] {
                  try {
                      const auto entry = control({{"cmd", "rmp"}, {"address", low_2m}});
                      EXPECT_EQ(entry["owner"]["asid"], 0);
                  } catch (const control_error &) { // for a moment there is no RMP
                  }
                  EXPECT_EQ(control({{"cmd", "table"}}).size(), 3u);
                  EXPECT_EQ(control({{"cmd", "cores"}}).size(), 2u);
              }});
}

TEST_F(plugin_race_test, the_machine_runs_while_everybody_looks)
{
    enable_snp();
    enable_rmpopt();
    measured->switched({.mode = measure_mode::exact, .tlb = true});
    constexpr unsigned most_marks = 20;
    unsigned marks = 0;
    together({[&] { run_vcpu(0); }, [&] { run_vcpu(3); },
              [&] {
                  w->tick();
                  measured->tick();
                  events.write_file();
              },
              [&] { EXPECT_EQ(report()["snp_enabled"], true); },
              [&] {
                  if (marks++ < most_marks) { // each makes every later report longer
                      measured->mark("phase");
                  }
                  EXPECT_EQ(control({{"cmd", "status"}})["cpus"], 4);
                  EXPECT_TRUE(control({{"cmd", "counters"}}).contains("measure"));
              }});
    const json all = report();
    EXPECT_EQ(all["counters"]["rmpupdate_failed"], 0);
    for (const json &phase : all["measure"]["phases"]) {
        EXPECT_LE(phase["rmpupdate"], all["counters"]["rmpupdate"]);
    }
}

TEST_F(plugin_race_test, the_watch_hears_firmware_and_vcpus_at_once)
{
    enable_snp();
    enable_rmpopt();
    together({[&] { run_vcpu(0); },
              [&] {
                  w->wrmsr(on(2), hw::msr::rmpopt_base, hw::rmpopt_enable, hw::msr_result::done);
                  w->cpu_offline(3);
              },
              [&] {
                  launch_guest(7, {});
                  decommission(7);
              },
              [&] {
                  w->tick();
                  const std::size_t shown = w->passes().size(); // counted before more come
                  EXPECT_LE(shown, w->pass_count());
              }});
    EXPECT_GT(w->pass_count(), 0u);
}

TEST_F(plugin_race_test, injected_failures_are_taken_as_often_as_they_were_armed)
{
    injections injected;
    injected.arm_rmpupdate(hw::rmp_status::fail_inuse, rounds);
    injected.arm_psp(1, 2, rounds);
    std::atomic<unsigned> updates{0}, commands{0};
    const auto take = [&] {
        updates += injected.take_rmpupdate().has_value() ? 1 : 0;
        commands += injected.take_psp(1).has_value() ? 1 : 0;
    };
    together({take, take});
    EXPECT_EQ(updates, rounds);
    EXPECT_EQ(commands, rounds);
}

} // namespace
} // namespace rmpopt
