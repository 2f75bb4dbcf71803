// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/rmpopt.h"

#include <algorithm>
#include <optional>

namespace rmpopt::hw
{

namespace
{

/// Returns the exception that RAX causes, `fault::none` if RMPOPT completes with CF = 0 because of
/// it, or nothing if RAX is accepted. It is not documented whether the window or the physical
/// address width is checked first; the window is checked first here.
std::optional<fault> refused_address(const machine &m, const core_state &core, spa_t rax)
{
    const policy &p = m.choices();
    if (!is_aligned(rax, region_1g) && p.rax_align == choice::rax_align::gp) {
        return fault::gp0;
    }
    if (!core.rmpopt.in_window(align_down(rax, region_1g))) {
        return p.out_of_window == choice::out_of_window::gp ? fault::gp0 : fault::none;
    }
    if (rax >> m.phys_bits() != 0) {
        return p.maxphys == choice::maxphys::gp ? fault::gp0 : fault::none;
    }
    return std::nullopt;
}

/// The checks before RMPOPT accesses its table, in this order: feature and mode, RMPOPT_EN (AMD,
/// 2026-05-28), SNP_EN, guest mode, privilege, operands. The result is as for refused_address().
std::optional<fault> refused(const machine &m, const insn_context &ctx, spa_t rax,
                             std::uint64_t rcx)
{
    const core_state &core = m.core_of(ctx.thread);
    const policy &p = m.choices();
    if (!m.cpu().rmpopt || !ctx.long_mode || !core.rmpopt.enabled()) {
        return fault::ud;
    }
    if (!m.snp_enabled(ctx.thread)) {
        return p.snpoff_exec == choice::snpoff_exec::ud ? fault::ud : fault::none;
    }
    if (ctx.guest_mode) {
        return p.rmpopt_guest == choice::rmpopt_guest::gp ? fault::gp0 : fault::ud;
    }
    if (ctx.cpl != 0) {
        return p.cpl == choice::cpl::gp ? fault::gp0 : fault::ud;
    }
    if (rcx > static_cast<std::uint64_t>(rmpopt_function::report)) {
        return p.reserved_function == choice::reserved_function::gp ? fault::gp0 : fault::none;
    }
    return refused_address(m, core, rax);
}

/// True when another core's table already holds the answer. Hardware keeps a positive scan result
/// in reserved memory, from which later cores take it (AMD, 2026-05-05). That cached result is
/// dropped together with the bits of all cores, so any core's set bit means that it is still valid.
bool known_clean(const machine &m, spa_t region)
{
    return std::ranges::any_of(
        m.cores(), [region](const core_state &core) { return core.rmpopt.test(region); });
}

/// True when any page of the region has an RMP entry.
bool has_entries(const rmp_table &rmp, spa_t region)
{
    return std::ranges::any_of(rmp.extents(), [region](const rmp_extent &e) {
        return spa_range{e.covered, e.covered_bytes}.overlaps({region, region_1g});
    });
}

bool has_immutable(const rmp_table &rmp, spa_t region)
{
    for (spa_t spa = region; spa != region + region_1g; spa += page_4k) {
        if (rmp.load(spa).immutable) {
            return true;
        }
    }
    return false;
}

/// True when a policy keeps a clean region from being optimised.
bool kept_out(const machine &m, spa_t region)
{
    const policy &p = m.choices();
    return (p.uncovered_region == choice::uncovered_region::cf0 && !has_entries(m.rmp(), region)) ||
           (p.hv_fixed == choice::hv_fixed::block && has_immutable(m.rmp(), region));
}

bool verify(machine &m, spa_t region, rmpopt_result &result)
{
    if (known_clean(m, region)) {
        result.cached = true;
        count(m.counters().rmpopt_cached);
        return true;
    }
    result.scanned = true;
    const bool clean = region_is_clean(m.rmp(), region, result.looked_at);
    count(m.counters().rmpopt_scans);
    m.counters().rmpopt_scanned_2m.fetch_add(result.looked_at, std::memory_order_relaxed);
    return clean && !kept_out(m, region);
}

/// Function 0.
void verify_and_report(machine &m, rmpopt_table &table, spa_t region, rmpopt_result &result)
{
    const std::scoped_lock lock(m.rmp_lock());
    result.cf = verify(m, region, result);
    if (result.cf) {
        table.set(region);
    } // otherwise no core has the bit, or verify() would have gone by it
}

} // namespace

bool region_is_clean(const rmp_table &rmp, spa_t region, unsigned &looked_at)
{
    looked_at = 0;
    if (rmp.has_reserved_bits(region)) { // a bad RST entry: the region's entries cannot be found
        return false;
    }
    for (spa_t spa = region; spa != region + region_1g; spa += page_2m) {
        ++looked_at;
        const rmp_entry e = rmp.load(spa);
        if (e.assigned || e.subpage_count != 0) {
            return false;
        }
    }
    return true;
}

rmpopt_result rmpopt(machine &m, const insn_context &ctx, std::uint64_t rax, std::uint64_t rcx)
{
    rmpopt_result result;
    if (m.choices().rmpopt_flags == choice::rmpopt_flags::clear) {
        result.changed_flags |= status_flags_mask;
    }
    if (const auto refusal = refused(m, ctx, rax, rcx)) {
        result.exception = *refusal;
        return result;
    }
    const spa_t region = align_down(rax, region_1g);
    rmpopt_table &table = m.core_of(ctx.thread).rmpopt;
    const bool only_report = rcx == static_cast<std::uint64_t>(rmpopt_function::report);
    if (only_report) {
        result.cf = table.test(region);
    } else {
        verify_and_report(m, table, region, result);
    }
    count(m.counters().rmpopt);
    if (result.cf) {
        count(m.counters().rmpopt_set);
    }
    return result;
}

} // namespace rmpopt::hw
