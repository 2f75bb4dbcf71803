// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/rmpopt.h"

namespace rmpopt::hw
{

namespace
{

constexpr fault by_policy(choice c)
{
    return c == choice::gp ? fault::gp0 : c == choice::ud ? fault::ud : fault::none;
}

/// The exceptions in the order of checks: feature and mode, RMPOPT_EN (AMD, 2026-05-28), SNP_EN,
/// privilege, operands.
rmpopt_result refused(const machine &m, const insn_context &ctx, spa_t region, std::uint64_t rcx,
                      bool &is_refused)
{
    const core_state &core = m.core_of(ctx.thread);
    const policy &p = m.choices();
    is_refused = true;
    if (!m.cpu().rmpopt || !ctx.long_mode || !core.rmpopt.enabled()) {
        return {.exception = fault::ud};
    }
    if (!m.snp_enabled(ctx.thread)) {
        return {.exception = by_policy(p.snpoff_exec)};
    }
    if (ctx.cpl != 0) {
        return {.exception = by_policy(p.cpl)};
    }
    if (rcx > static_cast<std::uint64_t>(rmpopt_function::report)) {
        return {.exception = by_policy(p.rcx)};
    }
    if (!core.rmpopt.in_window(region)) {
        return {.exception = by_policy(p.oow)};
    }
    is_refused = false;
    return {};
}

/// Another core's table already holds the answer: hardware keeps a positive scan result in
/// reserved memory and lets later cores take it over (AMD, 2026-05-05). All bits fall together
/// with the cached result, so a set bit anywhere is that result.
bool known_clean(const machine &m, spa_t region)
{
    for (unsigned c = 0; c < m.cpus().cores(); ++c) {
        if (m.core(c).rmpopt.test(region)) {
            return true;
        }
    }
    return false;
}

bool verify(machine &m, spa_t region)
{
    if (known_clean(m, region)) {
        count(m.counters().rmpopt_cached);
        return true;
    }
    unsigned looked_at = 0;
    const bool clean = region_is_clean(m.rmp(), region, looked_at);
    count(m.counters().rmpopt_scans);
    m.counters().rmpopt_scanned_2m.fetch_add(looked_at, std::memory_order_relaxed);
    return clean;
}

} // namespace

bool region_is_clean(const rmp_table &rmp, spa_t region, unsigned &looked_at)
{
    looked_at = 0;
    if (rmp.has_reserved_bits(region)) { // there is no entry to verify
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
    const spa_t region = align_down(rax, region_1g);
    bool is_refused = false;
    const rmpopt_result refusal = refused(m, ctx, region, rcx, is_refused);
    if (is_refused) {
        return refusal;
    }
    rmpopt_table &table = m.core_of(ctx.thread).rmpopt;
    rmpopt_result result;
    if (rcx == static_cast<std::uint64_t>(rmpopt_function::report)) {
        result.cf = table.test(region);
    } else {
        const std::scoped_lock lock(m.rmp_lock());
        result.cf = verify(m, region);
        if (result.cf) {
            table.set(region);
        } else {
            table.clear(region);
        }
    }
    count(m.counters().rmpopt);
    if (result.cf) {
        count(m.counters().rmpopt_set);
    }
    return result;
}

} // namespace rmpopt::hw
