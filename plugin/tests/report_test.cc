// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/report.h"
#include "scratch.h"
#include "sparse_memory.h"

#include "hw-model/insn/rmpupdate.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rmpopt
{

namespace
{

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1ull << 20;

class report_test : public testing::Test
{
  protected:
    /// Six CPUs with a core each, or as given.
    void build(std::vector<unsigned> cores = {0, 1, 2, 3, 4, 5})
    {
        hw::machine::settings s;
        s.cpu = hw::find_cpu_model("venice");
        s.cpus.core_of_thread = std::move(cores);
        s.memory = hw::memory_view(
            {{0, hw::region_1g, ram_.data()}, {4 * hw::region_1g, mib, ram_.data()}});
        m = std::make_unique<hw::machine>(std::move(s));
        m->memory().store(rmp_base + hw::rmp_bookkeeping_bytes, (rmp_base + mib) | 1);
        m->bios_setup({.layout = hw::rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
    }
    void SetUp() override { build(); }
    void optimise(std::initializer_list<unsigned> cores)
    {
        for (const unsigned c : cores) {
            m->core(c).rmpopt.set(0);
        }
    }
    void enable_snp()
    {
        for (unsigned c = 0; c < m->cpus().cores(); ++c) {
            m->core(c).snp_en = true;
        }
    }
    report_snapshot snapshot(bool complete = false) const
    {
        report_snapshot s;
        s.machine = m.get();
        s.persona = "venice";
        s.enforcement = "off";
        s.complete = complete;
        return s;
    }
    json report() const { return json::parse(render_report(snapshot())); }

    static constexpr hw::spa_t rmp_base = 512 * mib;
    hw::sparse_memory ram_{hw::region_1g};
    std::unique_ptr<hw::machine> m;
};

TEST_F(report_test, cpulist_is_empty_without_optimised_cpus)
{
    EXPECT_EQ(optimised_cpus(*m, 0), "");
}

TEST_F(report_test, cpulist_joins_neighbours)
{
    optimise({0, 1, 2, 5});
    EXPECT_EQ(optimised_cpus(*m, 0), "0-2,5");
}

TEST_F(report_test, cpulist_keeps_single_cpus_apart)
{
    optimise({1, 3});
    EXPECT_EQ(optimised_cpus(*m, 0), "1,3");
}

TEST_F(report_test, cpulist_reaches_the_last_cpu)
{
    optimise({0, 1, 2, 3, 4, 5});
    EXPECT_EQ(optimised_cpus(*m, 0), "0-5");
}

TEST_F(report_test, cpulist_names_all_threads_of_a_core)
{
    build({0, 1, 0, 1});
    optimise({1});
    EXPECT_EQ(optimised_cpus(*m, 0), "1,3");
}

TEST_F(report_test, cpulist_of_another_region_is_empty)
{
    optimise({0});
    EXPECT_EQ(optimised_cpus(*m, hw::region_1g), "");
    EXPECT_EQ(optimised_cpus(*m, ~0ull), "");
}

TEST_F(report_test, has_a_row_for_each_gb_up_to_the_end_of_ram)
{
    const json r = report()["regions"];
    ASSERT_EQ(r.size(), 5u);
    EXPECT_EQ(r[4]["gb"], 4);
}

TEST_F(report_test, counts_assigned_4k_and_2m_pages)
{
    enable_snp();
    hw::rmp_changes ignored;
    hw::rmp_record page;
    page.assigned = true;
    for (const hw::spa_t spa : {64 * mib, 64 * mib + 4096, 70 * mib + 4096}) {
        ASSERT_EQ(hw::rmpupdate(*m, spa, page, ignored), hw::rmp_status::success);
    }
    page.size_2m = true;
    ASSERT_EQ(hw::rmpupdate(*m, 80 * mib, page, ignored), hw::rmp_status::success);
    EXPECT_EQ(report()["regions"][0]["assigned_pages"], 3 + 512);
    EXPECT_EQ(report()["regions"][1]["assigned_pages"], 0);
}

TEST_F(report_test, does_not_count_pages_without_snp)
{
    hw::rmp_entry e;
    e.assigned = true;
    m->rmp().store(0, e);
    EXPECT_EQ(report()["regions"][0]["assigned_pages"], 0);
}

TEST_F(report_test, says_whether_all_cores_have_snp)
{
    EXPECT_EQ(report()["snp_enabled"], false);
    m->core(0).snp_en = true;
    EXPECT_EQ(report()["snp_enabled"], false);
    enable_snp();
    EXPECT_EQ(report()["snp_enabled"], true);
}

TEST_F(report_test, lists_cpus_with_snp_and_with_rmpopt)
{
    build({0, 0, 1, 1});
    EXPECT_EQ(report()["snp_cpus"], "");
    EXPECT_EQ(report()["rmpopt_cpus"], "");
    EXPECT_EQ(report()["rmpopt_possible"], true);
    m->core(1).snp_en = true;
    EXPECT_EQ(report()["snp_cpus"], "2-3");
    m->core(0).rmpopt.set_msr(hw::rmpopt_enable);
    EXPECT_EQ(report()["rmpopt_cpus"], "0-1");
}

TEST_F(report_test, names_every_policy)
{
    const json r = report();
    for (const hw::policy_knob &k : hw::policy_knobs()) {
        EXPECT_EQ(r["policies"][std::string(k.name)], k.value_in(m->choices()).word);
    }
}

TEST_F(report_test, describes_rmp_cpus_and_secure_processor)
{
    report_snapshot s = snapshot(true);
    s.psp_present = true;
    s.psp.snp_init = true;
    s.psp.last_command = 0x85;
    s.guard_changes = 3;
    s.stale_breakpoints = 4;
    s.changed_blocks = 5;
    s.messages = {"a line"};
    const json r = json::parse(render_report(s));
    EXPECT_EQ(r["schema"], 1);
    EXPECT_EQ(r["rmp"]["layout"], "segmented");
    EXPECT_EQ(r["rmp"]["base"], "0x20000000");
    EXPECT_EQ(r["cpus"], 6);
    EXPECT_EQ(r["psp"]["snp_state"], "init");
    EXPECT_EQ(r["psp"]["last_command"], "0x85");
    EXPECT_EQ(r["counters"]["guard_changes"], 3);
    EXPECT_EQ(r["counters"]["stale_breakpoints"], 4);
    EXPECT_EQ(r["counters"]["changed_blocks"], 5);
    EXPECT_EQ(r["messages"], json::array({"a line"}));
    EXPECT_EQ(r["complete"], true);
}

TEST_F(report_test, of_a_guest_that_never_started_has_no_machine)
{
    report_snapshot s;
    s.persona = "milan";
    const json r = json::parse(render_report(s));
    EXPECT_EQ(r["persona"], "milan");
    EXPECT_FALSE(r.contains("regions"));
    EXPECT_FALSE(r.contains("rmp"));
    EXPECT_EQ(r["complete"], false);
}

class reporter_test : public report_test
{
  protected:
    void SetUp() override
    {
        build();
        directory = fs::temp_directory_path() / ("rmpopt-report-" + std::to_string(getpid()));
        fs::create_directories(directory);
    }
    void TearDown() override { fs::remove_all(directory); }
    std::string start(const fs::path &path)
    {
        return r.start(path, [this](bool complete) { return snapshot(complete); });
    }
    static json content(const fs::path &path) { return json::parse(std::ifstream(path)); }

    fs::path directory;
    reporter r;
};

TEST_F(reporter_test, writes_a_first_report_at_once)
{
    ASSERT_EQ(start(directory / "r.json"), "");
    EXPECT_EQ(content(directory / "r.json")["complete"], false);
}

TEST_F(reporter_test, writes_the_last_report_as_complete)
{
    ASSERT_EQ(start(directory / "r.json"), "");
    r.finish();
    EXPECT_EQ(content(directory / "r.json")["complete"], true);
}

TEST_F(reporter_test, leaves_no_temporary_file)
{
    ASSERT_EQ(start(directory / "r.json"), "");
    r.finish();
    EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
}

TEST_F(reporter_test, can_be_finished_twice_or_without_start)
{
    reporter never_started;
    never_started.finish();
    ASSERT_EQ(start(directory / "r.json"), "");
    r.finish();
    r.finish();
}

TEST_F(reporter_test, says_when_the_file_cannot_be_written)
{
    const fs::path path = directory / "missing" / "r.json";
    EXPECT_EQ(start(path),
              "option report: cannot write " + path.string() + ": No such file or directory");
}

TEST_F(reporter_test, says_when_the_file_is_a_directory)
{
    fs::create_directories(directory / "r.json" / "x");
    EXPECT_NE(start(directory / "r.json"), "");
}

TEST_F(reporter_test, an_older_report_never_replaces_a_newer_one)
{
    std::promise<void> reached, go_on;
    std::atomic<bool> next_is_slow{false};
    const auto source = [&](bool complete) {
        report_snapshot s = snapshot(complete);
        s.enforcement = next_is_slow ? "older" : "newer";
        if (next_is_slow.exchange(false)) {
            reached.set_value();
            go_on.get_future().wait();
        }
        return s;
    };
    ASSERT_EQ(r.start(directory / "r.json", source), "");
    next_is_slow = true;
    std::thread slow([this] { r.write_now(); });
    reached.get_future().wait();
    r.write_now();
    go_on.set_value();
    slow.join();
    EXPECT_EQ(content(directory / "r.json")["enforcement"], "newer");
}

TEST_F(reporter_test, a_reader_never_sees_half_a_report_of_two_writers)
{
    ASSERT_EQ(start(directory / "r.json"), "");
    constexpr unsigned times = 300;
    const auto write = [this] {
        for (unsigned i = 0; i < times; ++i) {
            r.write_now();
        }
    };
    std::atomic<bool> stop{false};
    std::thread a([&] { write(); }), b([&] {
        write();
        stop = true;
    });
    unsigned broken = 0;
    while (!stop) {
        broken += json::accept(std::ifstream(directory / "r.json")) ? 0 : 1;
    }
    a.join();
    b.join();
    EXPECT_EQ(broken, 0u);
}

TEST_F(report_test, has_no_watch_unless_somebody_watches)
{
    EXPECT_TRUE(report()["watch"].is_null());
    EXPECT_TRUE(report()["lstar"].is_null());
}

TEST_F(report_test, shows_the_schedule_if_it_is_kept)
{
    EXPECT_TRUE(report()["schedule"].is_null());
    report_snapshot s = snapshot();
    s.schedule = {.hash = 0x1234, .events = 7};
    EXPECT_EQ(json::parse(render_report(s))["schedule"], (json{{"hash", "0x1234"}, {"events", 7}}));
}

TEST(schedule_record, its_number_tells_what_when_where_and_in_which_order)
{
    using events = std::vector<schedule_record::event>;
    const auto hash = [](const events &all) {
        schedule_record s;
        for (const schedule_record::event &e : all) {
            s.add(e);
        }
        return s.so_far().hash;
    };
    const schedule_record::event first{100, happening::instruction, 1, {0x1000, 1}};
    const schedule_record::event second{200, happening::exception, 0, {0x2000}};
    const std::uint64_t number = hash({first, second});
    EXPECT_EQ(number, hash({first, second}));
    EXPECT_NE(number, hash({second, first}));
    EXPECT_NE(number, hash({first}));
    for (const schedule_record::event &other :
         events{{101, happening::instruction, 1, {0x1000, 1}},
                {100, happening::command, 1, {0x1000, 1}},
                {100, happening::instruction, 2, {0x1000, 1}},
                {100, happening::instruction, 1, {0x1000, 0}}}) {
        EXPECT_NE(number, hash({other, second}));
    }
}

TEST(schedule_record, its_file_has_all_events)
{
    const std::string path = scratch_path("schedule-test.bin");
    schedule_record s;
    ASSERT_EQ(s.open_file(path), "");
    s.add({100, happening::instruction, 1, {0x1000, 1}});
    s.add({200, happening::exception, 0, {0x2000}});
    EXPECT_TRUE(s.finish_file());
    std::array<std::uint64_t, 10> words{};
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char *>(words.data()), sizeof words);
    EXPECT_EQ(words, (std::array<std::uint64_t, 10>{100, 1ull << 32 | 2, 0x1000, 1, 0, 200, 1,
                                                    0x2000, 0, 0}));
    std::filesystem::remove(path);
    EXPECT_EQ(schedule_record().open_file("/nonexistent/x"),
              "schedule=/nonexistent/x: No such file or directory");
}

TEST(schedule_record, tells_when_its_file_is_incomplete)
{
    schedule_record s;
    ASSERT_EQ(s.open_file("/dev/full"), "");
    s.add({100, happening::reset, 0, {}});
    EXPECT_FALSE(s.finish_file());
}

TEST_F(report_test, shows_findings_and_passes)
{
    watch w({.machine = m.get(), .clock = [] { return 1500 * guest_second / 1000; }, .on_new = {}});
    const place where{.cpu = 1, .rip_of = [](const void *) { return std::uint64_t{0x1234}; }};
    w.wrmsr(where, hw::msr::rmpopt_base, 1, hw::msr_result::gp0);
    w.rmpopt(where, 0, 0, {.cf = true});
    report_snapshot s = snapshot();
    s.watcher = &w;
    s.lstar = 0xffffffff81000040;
    const json r = json::parse(render_report(s));
    EXPECT_EQ(r["lstar"], "0xffffffff81000040");
    EXPECT_EQ(r["watch"]["bound_seconds"], 30);
    EXPECT_EQ(r["watch"]["pass_count"], 1);
    EXPECT_EQ(r["watch"]["passes"][0]["executed"], 1);
    EXPECT_EQ(r["watch"]["unmapped"], json::array());
    EXPECT_EQ(r["watch"]["awaited"], json::array());
    const json f = r["watch"]["findings"][0];
    EXPECT_EQ(f["id"], "msr-refused");
    EXPECT_EQ(f["severity"], "error");
    EXPECT_EQ(f["seconds"], 1.5);
    EXPECT_EQ(f["cpu"], 1);
    EXPECT_EQ(f["rip"], "0x1234");
    EXPECT_TRUE(f["address"].is_null());
    EXPECT_EQ(f["count"], 1);
}

TEST_F(report_test, counts_firmware_commands_by_name)
{
    report_snapshot s = snapshot();
    s.psp.by_command = {{0x83, 4}};
    s.psp.guests = 2;
    const json r = json::parse(render_report(s));
    EXPECT_EQ(r["psp"]["by_command"]["SNP_PLATFORM_STATUS"], 4);
    EXPECT_EQ(r["psp"]["guests"], 2);
}

} // namespace

} // namespace rmpopt
