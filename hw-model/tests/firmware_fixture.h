// SPDX-License-Identifier: GPL-2.0-or-later
// A small machine with a firmware: two runs of RAM with a hole between them, two cores, an RMP
// that covers the first 1 GB. SNP_EN is set where a test asks for it.
#pragma once

#include "firmware_inside.h"
#include "hw-model/firmware/common/page_state.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/rmpupdate.h"
#include "hw-model/machine/msr.h"
#include "sparse_memory.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <ostream>
#include <set>

namespace rmpopt::hw
{

inline void PrintTo(firmware_status s, std::ostream *os)
{
    *os << "status " << static_cast<unsigned>(s);
}
inline void PrintTo(page_state s, std::ostream *os)
{
    *os << "page state " << static_cast<unsigned>(s);
}

class firmware_fixture : public testing::Test
{
  protected:
    static constexpr std::uint64_t mb = 1ull << 20;
    static constexpr spa_range low{0, 64 * mb};
    static constexpr spa_range high{128 * mb, 64 * mb};
    static constexpr spa_t rmp_base = 32 * mb;
    static constexpr spa_t segment = 33 * mb; ///< entries of the first 1 GB: 4 MB
    static constexpr spa_t uncovered = region_1g;
    static constexpr spa_t command_page = 0x10000; ///< where tests put command buffers
    static constexpr spa_t output_page = 0x12000;
    static constexpr spa_t tmr = 4 * mb;

    virtual std::string_view model() const { return "venice"; }
    virtual std::vector<unsigned> core_of_thread() const { return {0, 1, 0, 1}; }
    void SetUp() override { build(model(), find_cpu_model(model())->layout); }

    void build(std::string_view cpu_model_name, rmp_layout layout, const policy &choices = {})
    {
        machine::settings s;
        s.cpu = find_cpu_model(cpu_model_name);
        s.choices = choices;
        s.cpus.core_of_thread = core_of_thread();
        s.memory = memory_view(
            {{low.base, low.bytes, low_ram_.data()}, {high.base, high.bytes, high_ram_.data()}});
        m = std::make_unique<machine>(std::move(s));
        fw = std::make_unique<firmware>(*m);
        const bool segmented = layout == rmp_layout::segmented;
        m->memory().store<std::uint64_t>(rmp_base + rmp_bookkeeping_bytes,
                                         segmented ? segment | 1 : 0);
        if (segmented) {
            m->bios_setup({.layout = layout, .base = rmp_base, .end = 0, .segment_shift = 36});
        } else if (layout == rmp_layout::contiguous) {
            m->bios_setup({.layout = layout, .base = rmp_base, .end = rmp_base + 5 * mb - 1});
        }
    }

    /// As software does it: MFDM everywhere before SNP_EN anywhere, because SYSCFG of a core is
    /// locked once SNP_EN is set.
    void enable_mfdm()
    {
        rmp_changes ignored;
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            wrmsr(*m, t, msr::syscfg, m->thread(t).syscfg | syscfg_mfdm, ignored);
        }
    }
    void enable_snp(unsigned thread)
    {
        rmp_changes ignored;
        wrmsr(*m, thread, msr::syscfg, m->thread(thread).syscfg | syscfg_snp_en | syscfg_vmpl_en,
              ignored);
    }
    void enable_snp()
    {
        enable_mfdm();
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            enable_snp(t);
        }
    }

    /// Every command of every test: what its result tells is what changed, no more and no less.
    std::uint16_t run(firmware_command command, spa_t buffer = 0)
    {
        const guest_list before = guests_of_firmware();
        const bool snp_init = fw->snapshot().snp_init;
        const std::vector<spa_range> memory = firmware_inside::own_memory(*fw);
        result = fw->execute(static_cast<std::uint16_t>(command), buffer);
        changes = result.rmp_changes;
        EXPECT_EQ(after(before, result.guests), guests_of_firmware());
        EXPECT_EQ(result.snp_init.value_or(snp_init), fw->snapshot().snp_init);
        EXPECT_EQ(result.own_memory.value_or(memory), firmware_inside::own_memory(*fw));
        return result.status;
    }
    const snp_guest_table &guests() const { return firmware_inside::guests(*fw); }
    /// ASID and whether it is launched, by context.
    using guest_list = std::map<spa_t, std::pair<std::uint32_t, bool>>;
    guest_list guests_of_firmware() const
    {
        guest_list list;
        for (const auto &[context, guest] : guests()) {
            list[context] = {guest.asid, guest.state == snp_guest_state::running};
        }
        return list;
    }
    /// The list as the events make it; each event must fit what was before it.
    static guest_list after(guest_list list, const std::vector<guest_event> &events)
    {
        for (const guest_event &e : events) {
            EXPECT_EQ(list.contains(e.context), e.what != guest_event::kind::created);
            auto &[asid, launched] = list[e.context];
            switch (e.what) {
            case guest_event::kind::created:
                EXPECT_EQ(e.asid, 0u);
                break;
            case guest_event::kind::activated:
                EXPECT_EQ(asid, 0u);
                asid = e.asid;
                break;
            case guest_event::kind::launched:
                EXPECT_FALSE(launched);
                EXPECT_EQ(e.asid, asid);
                launched = true;
                break;
            case guest_event::kind::ended:
                EXPECT_EQ(e.asid, asid);
                list.erase(e.context);
                break;
            }
        }
        return list;
    }
    /// Lays the fields out as given and runs the command on them.
    template <class... T> firmware_status run_with(firmware_command command, T... fields)
    {
        spa_t at = command_page;
        ((m->memory().store(at, fields), at += sizeof fields), ...);
        return static_cast<firmware_status>(run(command, command_page));
    }
    firmware_status status_of(firmware_command command)
    {
        return static_cast<firmware_status>(run(command));
    }

    /// SNP_INIT_EX with a list of ranges.
    firmware_status init_ex(std::uint32_t flags, const std::vector<spa_range> &ranges = {},
                            spa_t list = output_page)
    {
        m->memory().store(list, static_cast<std::uint64_t>(ranges.size()));
        spa_t at = list + 8;
        for (const spa_range &r : ranges) {
            m->memory().store(at, r.base);
            m->memory().store(at + 8, r.bytes / page_4k);
            at += 16;
        }
        return run_with(firmware_command::snp_init_ex, flags, 0u, list, std::uint64_t{0},
                        std::array<std::uint64_t, 5>{});
    }
    /// SNP_INIT_EX with ciphertext hiding: ASIDs up to `max_snp_asid` are for SNP guests.
    firmware_status init_hiding(std::uint64_t max_snp_asid)
    {
        return run_with(firmware_command::snp_init_ex, 1u | 1u << 3, 0u, spa_t{0}, max_snp_asid,
                        std::array<std::uint64_t, 5>{});
    }
    void snp_up()
    {
        enable_snp();
        ASSERT_EQ(status_of(firmware_command::snp_init), firmware_status::success);
    }
    void snp_down()
    {
        ASSERT_EQ(status_of(firmware_command::snp_df_flush), firmware_status::success);
        ASSERT_EQ(shutdown_ex(0), firmware_status::success);
    }
    firmware_status reclaim(spa_t operand)
    {
        return run_with(firmware_command::snp_page_reclaim, operand);
    }
    firmware_status shutdown_ex(std::uint32_t flags)
    {
        return run_with(firmware_command::snp_shutdown_ex, 8u, flags);
    }
    firmware_status platform_init_es(spa_t region, std::uint32_t bytes)
    {
        return run_with(firmware_command::init, 1u, 0u, region, bytes);
    }

    rmp_entry entry(spa_t page) const { return m->rmp().load(page); }
    page_state state(spa_t page) const { return state_of(entry(page)); }
    /// Sets an entry directly, as another party would have.
    void set(spa_t page, const rmp_entry &e)
    {
        const std::scoped_lock lock(m->rmp_lock());
        rmp_changes ignored;
        m->replace_entry(page, e, ignored);
    }
    void make_firmware(spa_t page, bool size_2m = false)
    {
        rmp_record r;
        r.assigned = r.immutable = true;
        r.size_2m = size_2m;
        rmp_changes ignored;
        ASSERT_EQ(rmpupdate(*m, page, r, ignored), rmp_status::success);
    }
    void make_tmr_firmware()
    {
        for (spa_t p = tmr; p < tmr + page_2m; p += page_4k) {
            make_firmware(p);
        }
    }
    static rmp_entry guest_entry(bool immutable, bool validated)
    {
        rmp_entry e;
        e.assigned = true;
        e.immutable = immutable;
        e.validated = validated;
        e.asid = 7;
        e.gpa = 0x1234000;
        return e;
    }

    template <class T> T load(spa_t spa) const { return *m->memory().load<T>(spa); }
    bool memory_is_zero(spa_t spa, std::uint64_t bytes) const
    {
        const std::byte *p = m->memory().at(spa, bytes);
        return std::all_of(p, p + bytes, [](std::byte b) { return b == std::byte{0}; });
    }

    sparse_memory low_ram_{low.bytes};
    sparse_memory high_ram_{high.bytes};
    std::unique_ptr<machine> m;
    std::unique_ptr<firmware> fw;
    firmware_result result; ///< of the last command
    rmp_changes changes;    ///< its RMP changes
};

} // namespace rmpopt::hw
