// SPDX-License-Identifier: GPL-2.0-or-later
// Page states: what firmware may write to, and SNP_PAGE_RECLAIM.
#include "hw-model/firmware/internal.h"

#include <algorithm>
#include <optional>

namespace rmpopt::hw
{

namespace
{

constexpr spa_t reclaim_size_2m = 1u << 0;

/// What the entry becomes; nothing when its state does not allow it. AMD 56860: metadata and
/// firmware pages go to Reclaim, a launch or swap in progress is given back to the guest. A page
/// that is mutable already stays as it is, because commands hand out pages in that state.
std::optional<rmp_entry> reclaimed(rmp_entry e)
{
    switch (state_of(e)) {
    case page_state::firmware:
    case page_state::metadata: {
        rmp_entry out;
        out.assigned = true;
        out.size_2m = e.size_2m;
        return out;
    }
    case page_state::pre_guest:
    case page_state::pre_swap:
        e.immutable = false;
        e.lock = false;
        return e;
    case page_state::reclaim:
    case page_state::guest_invalid:
    case page_state::guest_valid:
        return e;
    default:
        return std::nullopt;
    }
}

bool is_writable_state(page_state state, bool firmware_only)
{
    return state == page_state::firmware || (state == page_state::hypervisor && !firmware_only);
}

bool is_rmp_memory(const machine &m, spa_t page)
{
    return std::ranges::any_of(m.rmp().table_memory(), [page](const spa_range &r) {
        return r.overlaps({page, page_4k});
    });
}

} // namespace

rmp_entry governing_entry(const machine &m, spa_t page)
{
    const rmp_entry base = m.rmp().load(align_down(page, page_2m));
    return base.assigned && base.size_2m ? base : m.rmp().load(page);
}

bool in_use_by_firmware(const firmware_call &c, spa_t page)
{
    const spa_range p{align_down(page, page_4k), page_4k};
    return is_rmp_memory(c.m, p.base) || (c.s.tmr.bytes != 0 && c.s.tmr.overlaps(p)) ||
           (c.s.nv.bytes != 0 && c.s.nv.overlaps(p));
}

firmware_status check_output(const firmware_call &c, spa_t spa, std::uint64_t bytes,
                             bool firmware_only)
{
    if (c.m.memory().at(spa, bytes) == nullptr) {
        return firmware_status::invalid_address;
    }
    for (spa_t p = align_down(spa, page_4k); p < spa + bytes; p += page_4k) {
        const page_state state = state_of(governing_entry(c.m, p));
        const bool writable = !c.s.snp_init || is_writable_state(state, firmware_only);
        if (!writable || in_use_by_firmware(c, p)) {
            return firmware_status::invalid_page_state;
        }
    }
    return firmware_status::success;
}

firmware_status check_firmware_page(const firmware_call &c, spa_t page)
{
    const firmware_status status = check_page_address(c, {.spa = page});
    if (status != firmware_status::success) {
        return status;
    }
    const rmp_entry e = governing_entry(c.m, page);
    if (state_of(e) != page_state::firmware || in_use_by_firmware(c, page)) {
        return firmware_status::invalid_page_state;
    }
    return e.size_2m ? firmware_status::invalid_page_size : firmware_status::success;
}

firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> raw)
{
    const firmware_status status = check_output(c, out, raw.size(), true);
    if (status != firmware_status::success) {
        return status;
    }
    const bool crosses = align_down(out, page_4k) != align_down(out + raw.size() - 1, page_4k);
    if (c.s.snp_init && crosses) {
        return firmware_status::invalid_address;
    }
    c.m.memory().write(out, raw.data(), raw.size());
    if (c.s.snp_init && c.m.rmp().covers(out)) {
        rmp_entry reclaim;
        reclaim.assigned = true;
        reclaim.size_2m = governing_entry(c.m, out).size_2m;
        const std::uint64_t bytes = reclaim.size_2m ? page_2m : page_4k;
        c.m.replace_entry(align_down(out, bytes), reclaim, c.result.rmp_changes);
        c.result.reclaimed.push_back({align_down(out, bytes), bytes});
    }
    return firmware_status::success;
}

bool all_pages_are(const machine &m, spa_range range, page_state wanted)
{
    for (spa_t p = align_down(range.base, page_4k); p < range.end(); p += page_4k) {
        if (state_of(governing_entry(m, p)) != wanted) {
            return false;
        }
    }
    return true;
}

firmware_status snp_page_reclaim(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const spa_t operand = c.get_address(0);
    const bool size_2m = (operand & reclaim_size_2m) != 0;
    const spa_t page = operand & ~reclaim_size_2m;
    if (!is_aligned(page, size_2m ? page_2m : page_4k) || !c.m.rmp().covers(page)) {
        return firmware_status::invalid_address;
    }
    if (in_use_by_firmware(c, page)) {
        return firmware_status::invalid_page_state;
    }
    const rmp_entry old = governing_entry(c.m, page);
    const auto entry = reclaimed(old);
    if (!entry.has_value()) {
        return firmware_status::invalid_page_state;
    }
    if (old.size_2m != size_2m) {
        return firmware_status::invalid_page_size;
    }
    if (*entry != old) {
        c.m.replace_entry(page, *entry, c.result.rmp_changes);
        c.result.reclaimed.push_back({page, size_2m ? page_2m : page_4k});
    }
    return firmware_status::success;
}

} // namespace rmpopt::hw
