// SPDX-License-Identifier: GPL-2.0-or-later
#include "reference.h"

#include <algorithm>

namespace rmpopt::hw
{

reference::reference(const world &w)
    : world_(w), pages_(w.covered_regions() * w.pages), cores_(w.cores), held_(w.threads())
{
}

bool reference::covered(spa_t spa, std::uint64_t bytes) const
{
    for (unsigned i = 0; i < world_.covered_regions(); ++i) {
        const spa_t base = world::regions[i];
        if (spa >= base && spa + bytes <= base + world_.pages * page_4k) {
            return true;
        }
    }
    return false;
}

reference_page &reference::at(spa_t page)
{
    for (unsigned i = 0; i < world_.covered_regions(); ++i) {
        const spa_t base = world::regions[i];
        if (page >= base && page < base + world_.pages * page_4k) {
            return pages_[i * world_.pages + (page - base) / page_4k];
        }
    }
    static reference_page none;
    return none = {};
}

fault reference::host_fault(const insn_context &ctx) const
{
    if (!ctx.long_mode || !core_of(ctx.thread).snp_en) {
        return fault::ud;
    }
    return ctx.cpl == 0 ? fault::none : fault::gp0;
}

rmp_status reference::rmpupdate(spa_t spa, const rmp_record &r)
{
    const std::uint64_t bytes = r.size_2m ? page_2m : page_4k;
    if (spa % bytes != 0 || (!r.assigned && (r.immutable || r.asid != 0)) || r.asid > 1023 ||
        !covered(spa, bytes)) {
        return rmp_status::fail_input;
    }
    if (in_use(spa, bytes)) {
        return rmp_status::fail_inuse;
    }
    if (any_page(spa, bytes,
                 [&](spa_t p) { return at(p).immutable && (!at(p).part || at(p).first_of_2m); })) {
        return rmp_status::fail_permission;
    }
    if (any_page(spa, bytes, [&](spa_t p) {
            return at(p).part != r.size_2m && (at(p).part || at(p).assigned);
        })) {
        return rmp_status::fail_overlap;
    }
    for (spa_t p = spa; p < spa + bytes; p += page_4k) {
        const reference_page old = at(p);
        reference_page now;
        if (r.assigned) {
            now = {.assigned = true,
                   .immutable = r.immutable,
                   .part = r.size_2m,
                   .first_of_2m = r.size_2m && p == spa,
                   .asid = r.asid,
                   .gpa = r.gpa / page_4k * page_4k + (p - spa),
                   .vmpl = {vmpl_perm::all, 0, 0, 0}};
            if (old.assigned && old.asid == r.asid && r.asid != 0 && old.gpa == now.gpa) {
                now.validated = old.validated;
                now.vmsa = old.vmsa;
                now.vmpl = old.vmpl;
            }
        }
        at(p) = now;
    }
    forget_region(spa);
    return rmp_status::success;
}

rmp_status reference::psmash(spa_t spa)
{
    if (spa % page_2m != 0 || !covered(spa, page_2m)) {
        return rmp_status::fail_input;
    }
    if (in_use(spa, page_2m)) {
        return rmp_status::fail_inuse;
    }
    if (!at(spa).part || at(spa).immutable) {
        return rmp_status::fail_badaddr;
    }
    for (spa_t p = spa; p < spa + page_2m; p += page_4k) {
        at(p).part = at(p).first_of_2m = false;
    }
    forget_region(spa);
    return rmp_status::success;
}

rmp_status reference::rmpread(spa_t spa, rmp_record &out) const
{
    if (spa % page_4k != 0 || !covered(spa)) {
        return rmp_status::fail_input;
    }
    const reference_page &p = at(spa);
    out = {};
    out.assigned = p.assigned;
    if (!p.part || p.first_of_2m) {
        out.size_2m = p.part;
        out.immutable = p.immutable;
        out.asid = p.asid;
        out.gpa = p.gpa;
    }
    out.hpage_region_status =
        spa % page_2m == 0 && any_page(spa + page_4k, page_2m - page_4k,
                                       [&](spa_t q) { return at(q).assigned && !at(q).part; });
    return rmp_status::success;
}

rmpopt_result reference::rmpopt(const insn_context &ctx, std::uint64_t rax, std::uint64_t rcx)
{
    reference_core &core = core_of(ctx.thread);
    if (!ctx.long_mode || core.rmpopt_base % 2 == 0 || !core.snp_en || ctx.guest_mode) {
        return {.exception = fault::ud};
    }
    if (ctx.cpl != 0 || rcx > 1) {
        return {.exception = fault::gp0};
    }
    const spa_t region = rax / region_1g * region_1g;
    const spa_t base = core.rmpopt_base / region_1g * region_1g;
    if (region < base || region >= base + 2048 * region_1g || region >> world::phys_bits != 0) {
        return {};
    }
    if (rcx == 0 && assigned_in(region)) {
        core.optimised.erase(region);
    } else if (rcx == 0) {
        core.optimised.insert(region);
    }
    return {.cf = core.optimised.contains(region)};
}

msr_result reference::write_rmpopt_base(unsigned thread, std::uint64_t value)
{
    reference_core &core = core_of(thread);
    const bool reserved = value % region_1g > 1 || value >= 1ull << world::phys_bits;
    const bool possible = core.snp_en && world_.layout == rmp_layout::segmented;
    const bool locked = core.rmpopt_base % 2 != 0 && value != core.rmpopt_base;
    if (reserved || !core.snp_en || (value % 2 != 0 && !possible) || locked) {
        return msr_result::gp0;
    }
    core.rmpopt_base = value;
    core.optimised.clear();
    return msr_result::done;
}

msr_result reference::write_vm_hsave_pa(unsigned thread, std::uint64_t value) const
{
    if (value % page_4k != 0 || value >> world::phys_bits != 0) {
        return msr_result::gp0;
    }
    return value != 0 && core_of(thread).snp_en && at(value).assigned ? msr_result::gp0
                                                                      : msr_result::pass;
}

void reference::enable_snp(unsigned thread)
{
    if (!snp_somewhere()) {
        clear_rmpopt_tables();
    }
    core_of(thread).snp_en = true;
}

bool reference::may_write(unsigned core, spa_t page, bool large) const
{
    const std::uint64_t bytes = large ? page_2m : page_4k;
    return !cores_[core].snp_en ||
           !any_page(align_down(page, bytes), bytes, [&](spa_t p) { return at(p).assigned; });
}

bool reference::may_be_used(spa_t spa) const
{
    const reference_page &p = at(spa);
    return spa % page_4k == 0 && p.assigned && p.asid != 0 && !p.immutable &&
           (!p.part || p.first_of_2m);
}

void reference::use_as_guest(spa_t spa)
{
    const std::uint64_t bytes = at(spa).part ? page_2m : page_4k;
    for (spa_t p = spa; p < spa + bytes; p += page_4k) {
        at(p).validated = at(p).vmsa = true;
        at(p).vmpl[1] = vmpl_perm::read | vmpl_perm::write;
    }
}

void reference::forget_region(spa_t spa)
{
    for (reference_core &core : cores_) {
        core.optimised.erase(spa / region_1g * region_1g);
    }
}

void reference::clear_rmpopt_tables()
{
    for (reference_core &core : cores_) {
        core.optimised.clear();
    }
}

void reference::shutdown()
{
    for (reference_core &core : cores_) {
        core.snp_en = false;
        if (core.rmpopt_base >= region_1g) { // the window moves
            core.optimised.clear();
        }
        core.rmpopt_base = 0;
    }
}

/// Registers go; the RMP is memory and stays.
void reference::reset()
{
    std::ranges::fill(cores_, reference_core{});
    std::ranges::fill(held_, std::set<spa_t>{});
}

bool reference::snp_somewhere() const
{
    return std::ranges::any_of(cores_, &reference_core::snp_en);
}

bool reference::assigned_in(spa_t region) const
{
    return any_page(region, world_.pages * page_4k, [&](spa_t p) { return at(p).assigned; });
}

bool reference::in_use(spa_t spa, std::uint64_t bytes) const
{
    return any_page(spa, bytes, [&](spa_t p) {
        return std::ranges::any_of(held_, [p](const auto &pages) { return pages.contains(p); });
    });
}

std::uint64_t reference::pages_of(std::uint32_t asid) const
{
    return static_cast<std::uint64_t>(std::ranges::count_if(
        pages_, [&](const reference_page &p) { return p.assigned && p.asid == asid; }));
}

rmp_entry reference::entry(spa_t page) const
{
    const reference_page &p = at(page);
    rmp_entry e;
    e.assigned = p.assigned;
    if (p.part && !p.first_of_2m) {
        return e; // the first entry stands for it
    }
    e.size_2m = p.part;
    e.immutable = p.immutable;
    e.validated = p.validated;
    e.vmsa = p.vmsa;
    e.asid = static_cast<std::uint16_t>(p.asid);
    e.gpa = p.gpa;
    e.vmpl = p.vmpl;
    if (page % page_2m == 0 && !p.part) {
        any_page(page + page_4k, page_2m - page_4k, [&](spa_t q) {
            e.subpage_count = static_cast<std::uint16_t>(e.subpage_count + at(q).assigned);
            return false;
        });
    }
    return e;
}

} // namespace rmpopt::hw
