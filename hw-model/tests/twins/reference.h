// SPDX-License-Identifier: GPL-2.0-or-later
// The machine as a reader of the manual would write it down first: one state for each 4 KB page
// and no 2 MB entries, sub-page counts, bookkeeping or bit tables. All else is derived by looking
// at every page. Policies have their defaults.
#pragma once

#include "hw-model/insn/rmpopt.h"
#include "hw-model/machine/msr.h"
#include "world.h"

#include <set>
#include <vector>

namespace rmpopt::hw
{

struct reference_page {
    bool assigned = false, immutable = false, validated = false, vmsa = false;
    bool part = false;        ///< of a 2 MB page
    bool first_of_2m = false; ///< of that page
    std::uint32_t asid = 0;
    std::uint64_t gpa = 0;
    std::array<std::uint8_t, 4> vmpl{};

    bool operator==(const reference_page &) const = default;
};

struct reference_core {
    bool snp_en = false;
    std::uint64_t rmpopt_base = 0;
    std::set<spa_t> optimised; ///< 1 GB regions

    bool operator==(const reference_core &) const = default;
};

class reference
{
  public:
    explicit reference(const world &w);

    fault host_fault(const insn_context &ctx) const;
    rmp_status rmpupdate(spa_t spa, const rmp_record &r);
    rmp_status psmash(spa_t spa);
    rmp_status rmpread(spa_t spa, rmp_record &out) const;
    rmpopt_result rmpopt(const insn_context &ctx, std::uint64_t rax, std::uint64_t rcx);
    msr_result write_rmpopt_base(unsigned thread, std::uint64_t value);
    msr_result write_vm_hsave_pa(unsigned thread, std::uint64_t value) const;

    /// A guest that uses its page: validated, a VMSA, readable and writable for VMPL1.
    bool may_be_used(spa_t spa) const;
    void use_as_guest(spa_t spa);
    void enter_guest(unsigned thread, spa_t page) { held_[thread] = {page}; }
    void leave_guest(unsigned thread) { held_[thread].clear(); }

    void enable_snp(unsigned thread);
    /// On this core. `large`: through a mapping of 2 MB.
    bool may_write(unsigned core, spa_t page, bool large) const;
    void clear_rmpopt_tables();
    void shutdown();
    void reset();

    bool covered(spa_t spa, std::uint64_t bytes = page_4k) const;
    bool snp_somewhere() const;
    bool host_writable(spa_t page) const { return !snp_somewhere() || !at(page).assigned; }
    bool assigned_in(spa_t region) const;
    bool in_use(spa_t spa, std::uint64_t bytes) const;
    bool reported(unsigned core, spa_t region) const
    {
        return cores_[core].optimised.contains(region);
    }
    std::uint64_t pages_of(std::uint32_t asid) const;
    /// The entry that hardware keeps for the page.
    rmp_entry entry(spa_t page) const;

    const std::vector<reference_page> &pages() const { return pages_; }
    std::vector<reference_page> &pages() { return pages_; }
    std::vector<reference_core> &cores() { return cores_; }

  private:
    reference_page &at(spa_t page);
    const reference_page &at(spa_t page) const { return const_cast<reference *>(this)->at(page); }
    reference_core &core_of(unsigned thread) { return cores_[thread / 2]; }
    const reference_core &core_of(unsigned thread) const { return cores_[thread / 2]; }
    /// Calls f for each 4 KB page of [spa, spa + bytes); true when one of the calls returned true.
    template <class F> bool any_page(spa_t spa, std::uint64_t bytes, F f) const
    {
        bool any = false;
        for (spa_t p = spa; p < spa + bytes; p += page_4k) {
            any = f(p) || any;
        }
        return any;
    }
    void forget_region(spa_t spa);

    world world_;
    std::vector<reference_page> pages_; ///< of all regions that have entries, one after the other
    std::vector<reference_core> cores_;
    std::vector<std::set<spa_t>> held_; ///< by running guests, for each thread
};

} // namespace rmpopt::hw
