// SPDX-License-Identifier: GPL-2.0-or-later
// A small machine: RAM at 0 and at 2 GB with a hole between them, two cores of two threads, and an
// RMP for all of it in segments of 1 GB or in one piece.
#pragma once

#include "hw-model/insn/psmash.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/insn/rmpread.h"
#include "hw-model/insn/rmpupdate.h"
#include "hw-model/machine/msr.h"
#include "sparse_memory.h"

#include <gtest/gtest.h>
#include <memory>
#include <ostream>

namespace rmpopt::hw
{

inline void PrintTo(rmp_status s, std::ostream *os)
{
    *os << "rmp status " << static_cast<unsigned>(s);
}
inline void PrintTo(fault f, std::ostream *os)
{
    *os << (f == fault::none ? "no fault" : f == fault::ud ? "#UD" : "#GP(0)");
}
inline void PrintTo(msr_result r, std::ostream *os)
{
    *os << (r == msr_result::pass ? "pass" : r == msr_result::done ? "done" : "#GP(0)");
}

class machine_fixture : public testing::Test
{
  protected:
    static constexpr std::uint64_t mb = 1ull << 20;
    static constexpr spa_range low{0, region_1g};
    static constexpr spa_range high{2 * region_1g, region_1g};
    static constexpr spa_t hole = region_1g; ///< no RAM; the segmented RMP has no entry for it
    static constexpr spa_t beyond = 3 * region_1g; ///< above all RAM and both kinds of RMP
    static constexpr spa_t rmp_base = 512 * mb;
    static constexpr spa_t low_segment = rmp_base + mb;
    static constexpr spa_t high_segment = rmp_base + 8 * mb;
    static constexpr spa_t contiguous_end = // RMP_END, inclusive
        rmp_base + rmp_bookkeeping_bytes + beyond / page_4k * rmp_entry_bytes - 1;

    /// A free 2 MB region in each run of RAM.
    static constexpr spa_t low_2m = 64 * mb, high_2m = high.base + 64 * mb;

    void SetUp() override { build(); }

    void build(std::string_view cpu_model_name = "venice",
               rmp_layout layout = rmp_layout::segmented, const policy &choices = {},
               unsigned phys_bits = 48)
    {
        build(*find_cpu_model(cpu_model_name), layout, choices, phys_bits);
    }
    /// `cpu` must outlive the machine.
    void build(const cpu_model &cpu, rmp_layout layout = rmp_layout::segmented,
               const policy &choices = {}, unsigned phys_bits = 48)
    {
        machine::settings s;
        s.cpu = &cpu;
        s.choices = choices;
        s.cpus.core_of_thread = {0, 0, 1, 1};
        s.phys_bits = phys_bits;
        s.memory = memory_view(
            {{low.base, low.bytes, low_ram_.data()}, {high.base, high.bytes, high_ram_.data()}});
        m = std::make_unique<machine>(std::move(s));
        set_rst(0, layout == rmp_layout::segmented ? low_segment | 1 : 0);
        set_rst(2, layout == rmp_layout::segmented ? high_segment | 1 : 0);
        if (layout == rmp_layout::segmented) {
            m->bios_setup({.layout = layout, .base = rmp_base, .segment_shift = 30});
        } else if (layout == rmp_layout::contiguous) {
            m->bios_setup({.layout = layout, .base = rmp_base, .end = contiguous_end});
        }
        changes.clear();
    }
    void set_rst(unsigned index, std::uint64_t entry)
    {
        m->memory().store(rmp_base + rmp_bookkeeping_bytes + 8 * index, entry);
    }

    msr_result write_msr(unsigned thread, std::uint32_t index, std::uint64_t value)
    {
        return wrmsr(*m, thread, index, value, changes);
    }
    std::uint64_t read_msr(unsigned thread, std::uint32_t index) const
    {
        std::uint64_t value = 0;
        EXPECT_EQ(rdmsr(*m, thread, index, value), msr_result::done);
        return value;
    }
    void enable_snp(unsigned thread)
    {
        ASSERT_EQ(write_msr(thread, msr::syscfg, syscfg_reset | syscfg_snp_en | syscfg_vmpl_en),
                  msr_result::done);
    }
    void enable_snp()
    {
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            enable_snp(t);
        }
    }
    void enable_rmpopt(std::uint64_t base = 0)
    {
        for (unsigned t = 0; t < m->cpus().threads(); ++t) {
            ASSERT_EQ(write_msr(t, msr::rmpopt_base, base | rmpopt_enable), msr_result::done);
        }
    }
    /// SNP and RMPOPT on all cores.
    void enable_all()
    {
        enable_snp();
        enable_rmpopt();
    }
    /// A machine with all of that enabled.
    void start(const policy &choices = {}, unsigned phys_bits = 48)
    {
        build("venice", rmp_layout::segmented, choices, phys_bits);
        enable_all();
    }

    static rmp_record guest_page(std::uint32_t asid = 7, std::uint64_t gpa = 0x1234000)
    {
        rmp_record r;
        r.assigned = true;
        r.asid = asid;
        r.gpa = gpa;
        return r;
    }
    static rmp_record of_2m(rmp_record r)
    {
        r.size_2m = true;
        return r;
    }
    static rmp_record immutable(rmp_record r)
    {
        r.immutable = true;
        return r;
    }
    rmp_status update(spa_t spa, const rmp_record &r) { return rmpupdate(*m, spa, r, changes); }
    rmp_status assign(spa_t spa) { return update(spa, guest_page()); }
    rmp_status assign_2m(spa_t spa) { return update(spa, of_2m(guest_page(7, 0x40000000))); }
    rmp_status release(spa_t spa) { return update(spa, {}); }
    rmp_status release_2m(spa_t spa) { return update(spa, of_2m({})); }

    /// Puts an entry into the table as it is, without RMPUPDATE's rules.
    void set_entry(spa_t spa, const rmp_entry &e)
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->replace_entry(spa, e, changes);
    }
    rmp_entry entry(spa_t spa) const { return m->rmp().load(spa); }
    std::uint64_t asid_pages(unsigned asid) const
    {
        return *m->memory().load<std::uint64_t>(rmp_base + 8ull * asid);
    }

    void enter(unsigned thread, const pages_in_use &pages)
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->enter_guest(thread, pages);
    }
    /// A guest on the last thread uses the page.
    void hold(spa_t page) { enter(3, {.spa = {page}, .count = 1}); }

    rmpopt_result optimise(unsigned thread, spa_t spa, std::uint64_t function = 0)
    {
        return rmpopt(*m, {.thread = thread}, spa, function);
    }
    bool reports(unsigned thread, spa_t spa) { return optimise(thread, spa, 1).cf; }

    sparse_memory low_ram_{low.bytes};
    sparse_memory high_ram_{high.bytes};
    std::unique_ptr<machine> m;
    rmp_changes changes;
};

} // namespace rmpopt::hw
