// SPDX-License-Identifier: GPL-2.0-or-later
// A small machine whose every step is told to a watch, with a clock that the test winds.
#pragma once

#include "machine_fixture.h"
#include "watch/watch.h"

#include <algorithm>

namespace rmpopt
{

class watch_fixture : public hw::machine_fixture
{
  protected:
    static constexpr guest_time bound = 30 * guest_second;
    static constexpr hw::spa_t region_0 = 0, region_1 = hw::region_1g, region_2 = 2 * hw::region_1g;

    void SetUp() override { begin(); }

    void begin(const hw::policy &choices = {}, std::string_view persona = "venice",
               hw::rmp_layout layout = hw::rmp_layout::segmented)
    {
        build(persona, layout, choices);
        w = std::make_unique<watch>(watch::settings{.machine = m.get(),
                                                    .clock = [this] { return time; },
                                                    .bound = bound,
                                                    .on_new = {},
                                                    .mapped_by_kernel =
                                                        [this](const hw::memory_view &memory) {
                                                            is_asked_for(memory);
                                                            return mapped;
                                                        }});
    }
    void wait(guest_time t)
    {
        time += t;
        w->tick();
    }

    static place on(unsigned cpu)
    {
        return {.cpu = cpu, .rip_of = [](const void *) { return rip; }};
    }

    void wrmsr(unsigned cpu, std::uint32_t index, std::uint64_t value)
    {
        const hw::msr_result r = write_msr(cpu, index, value);
        tell_effects();
        w->wrmsr(on(cpu), index, value, r);
    }
    bool rmpopt(unsigned cpu, hw::spa_t spa, std::uint64_t function = 0)
    {
        const hw::rmpopt_result r = optimise(cpu, spa, function);
        w->rmpopt(on(cpu), spa, function, r);
        return r.cf;
    }
    hw::rmp_status rmpupdate(unsigned cpu, hw::spa_t spa, const hw::rmp_record &r)
    {
        const hw::rmp_status s = update(spa, r);
        tell_effects();
        w->rmpupdate(on(cpu), spa, s);
        return s;
    }
    void command(hw::firmware_command c, std::uint16_t status = 0)
    {
        w->command(static_cast<std::uint16_t>(c), {.status = status,
                                                   .guests = guest_events(),
                                                   .snp_init = firmware.snp_init,
                                                   .own_memory = firmware.memory});
        told = firmware;
    }
    /// How firmware came from what was told last to what it is now.
    std::vector<hw::guest_event> guest_events() const
    {
        using kind = hw::guest_event::kind;
        std::vector<hw::guest_event> out;
        const auto compare = [&](const auto &from, const auto &to, auto add) {
            for (const auto &name : to) {
                if (!from.contains(name)) {
                    add(name);
                }
            }
        };
        compare(told.contexts, firmware.contexts, [&](hw::spa_t context) {
            out.push_back({.what = kind::created, .context = context});
        });
        compare(told.asids, firmware.asids, [&](std::uint32_t asid) {
            out.push_back({.what = kind::activated, .asid = asid});
        });
        compare(firmware.contexts, told.contexts, [&](hw::spa_t context) {
            out.push_back({.what = kind::ended, .context = context});
        });
        compare(firmware.asids, told.asids,
                [&](std::uint32_t asid) { out.push_back({.what = kind::ended, .asid = asid}); });
        return out;
    }

    void set_snp_en()
    {
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            wrmsr(t, hw::msr::syscfg, hw::syscfg_reset | hw::syscfg_snp_en | hw::syscfg_vmpl_en);
        }
    }
    /// What a kernel does until SNP_INIT.
    void initialise_snp()
    {
        set_snp_en();
        firmware.snp_init = true;
        firmware.memory = m->rmp().table_memory();
        command(hw::firmware_command::snp_init_ex);
    }
    void pass(std::initializer_list<unsigned> cpus)
    {
        for (const unsigned cpu : cpus) {
            for (const hw::spa_t region : {region_0, region_1, region_2}) {
                rmpopt(cpu, region);
            }
        }
    }
    void enable(std::initializer_list<unsigned> cpus, std::uint64_t base = 0)
    {
        for (const unsigned cpu : cpus) {
            wrmsr(cpu, hw::msr::rmpopt_base, base | hw::rmpopt_enable);
        }
    }
    /// Until all is optimised that can be.
    void bring_up()
    {
        initialise_snp();
        enable({0, 2});
        pass({0, 2});
    }
    void launch_guest(std::uint32_t asid, std::initializer_list<hw::spa_t> pages)
    {
        firmware.asids.insert(asid);
        command(hw::firmware_command::snp_activate);
        for (const hw::spa_t page : pages) {
            ASSERT_EQ(rmpupdate(0, page, guest_page(asid)), hw::rmp_status::success);
        }
    }
    void decommission(std::uint32_t asid)
    {
        firmware.asids.erase(asid);
        command(hw::firmware_command::snp_decommission);
    }

    std::vector<std::string> ids() const
    {
        std::vector<std::string> out;
        for (const finding &f : w->findings()) {
            out.emplace_back(f.kind->id);
        }
        return out;
    }
    finding only() const
    {
        const auto all = w->findings();
        EXPECT_EQ(all.size(), 1u) << testing::PrintToString(ids());
        return all.empty() ? finding{} : all.front();
    }
    using list = std::vector<std::string>;

    static constexpr std::uint64_t rip = 0xffffffff81234567;
    guest_time time = guest_second;
    std::function<void(const hw::memory_view &)> is_asked_for = [](const hw::memory_view &) {};
    std::optional<std::vector<bool>> mapped; ///< by the kernel; nothing: not known
    firmware_view firmware;                  ///< as a test wants it to be
    firmware_view told;
    std::unique_ptr<watch> w;

  private:
    void tell_effects()
    {
        w->rmp_changed(changes);
        changes.clear();
    }
};

} // namespace rmpopt
