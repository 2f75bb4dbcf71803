// SPDX-License-Identifier: GPL-2.0-or-later
// Page states: what firmware may write to, and SNP_PAGE_RECLAIM.
#include "hw-model/firmware/snp/commands.h"

#include <algorithm>
#include <optional>

namespace rmpopt::hw
{

namespace
{

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

/// The page in which a command has written its answer goes back in state Reclaim.
void hand_back(firmware_call &c, spa_t out)
{
    rmp_entry reclaim;
    reclaim.assigned = true;
    reclaim.size_2m = governing_entry(c.m, out).size_2m;
    const page_operand page{.spa = align_down(out, reclaim.size_2m ? page_2m : page_4k),
                            .size_2m = reclaim.size_2m};
    c.m.replace_entry(page.spa, reclaim, c.result.rmp_changes);
    c.result.reclaimed.push_back(page.range());
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
        return invalid_address;
    }
    for (spa_t p = align_down(spa, page_4k); p < spa + bytes; p += page_4k) {
        const page_state state = state_of(governing_entry(c.m, p));
        const bool writable = !c.s.snp_init || is_writable_state(state, firmware_only);
        if (!writable || in_use_by_firmware(c, p)) {
            return invalid_page_state;
        }
    }
    return success;
}

firmware_status check_firmware_page(const firmware_call &c, spa_t page)
{
    const rmp_entry e = governing_entry(c.m, page);
    return in_order([&] { return check_page_address(c, {.spa = page}); },
                    must(state_of(e) == page_state::firmware && !in_use_by_firmware(c, page),
                         invalid_page_state),
                    must(!e.size_2m, invalid_page_size));
}

firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> raw)
{
    const bool crosses = align_down(out, page_4k) != align_down(out + raw.size() - 1, page_4k);
    return in_order([&] { return check_output(c, out, raw.size(), true); },
                    must(!c.s.snp_init || !crosses, invalid_address),
                    [&] {
                        c.m.memory().write(out, raw.data(), raw.size());
                        if (c.s.snp_init && c.m.rmp().covers(out)) {
                            hand_back(c, out);
                        }
                    });
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

/// AMD 56860, SNP_PAGE_RECLAIM. Bit 0 of the address is the size that the host expects.
firmware_status snp_page_reclaim(firmware_call &c, const snp_page_buffer &b)
{
    const bool size_2m = (b.page_paddr & b.page_size) != 0;
    const page_operand page{.spa = b.page_paddr & ~b.page_size, .size_2m = size_2m};
    const rmp_entry old = governing_entry(c.m, page.spa);
    const auto entry = reclaimed(old);
    const bool has_entry = is_aligned(page.spa, page.bytes()) && c.m.rmp().covers(page.spa);
    return in_order(must(c.s.snp_init, invalid_platform_state), must(has_entry, invalid_address),
                    must(!in_use_by_firmware(c, page.spa), invalid_page_state),
                    must(entry.has_value(), invalid_page_state),
                    must(old.size_2m == size_2m, invalid_page_size), [&] {
                        if (*entry != old) {
                            c.m.replace_entry(page.spa, *entry, c.result.rmp_changes);
                            c.result.reclaimed.push_back(page.range());
                        }
                    });
}

} // namespace rmpopt::hw
