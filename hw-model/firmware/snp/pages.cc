// SPDX-License-Identifier: GPL-2.0-or-later
// Pages that go back to the hypervisor: SNP_PAGE_RECLAIM, and those that took an answer.
#include "hw-model/firmware/snp/snp.h"

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

/// The page in which a command has written its answer goes back in state Reclaim.
void hand_back(firmware_call &c, spa_t out)
{
    rmp_entry reclaim;
    reclaim.assigned = true;
    reclaim.size_2m = c.m.rmp().governing(out).size_2m;
    const page_operand page{.spa = align_down(out, reclaim.size_2m ? page_2m : page_4k),
                            .size_2m = reclaim.size_2m};
    c.m.replace_entry(page.spa, reclaim, c.result.rmp_changes);
    c.result.reclaimed.push_back(page.range());
}

} // namespace

firmware_status write_status(firmware_call &c, spa_t out, std::span<const std::byte> raw)
{
    return in_order([&] { return check_output(c, out, raw.size(), true); },
                    must(!c.s.snp_init || !crosses_page(out, raw.size()), invalid_address),
                    [&] {
                        c.m.memory().write(out, raw.data(), raw.size());
                        if (c.s.snp_init && c.m.rmp().covers(out)) {
                            hand_back(c, out);
                        }
                    });
}

/// AMD 56860, SNP_PAGE_RECLAIM. Bit 0 of the address is the size that the host expects.
firmware_status snp_page_reclaim(firmware_call &c, const snp_page_buffer &b)
{
    const bool size_2m = (b.page_paddr & b.page_size) != 0;
    const page_operand page{.spa = b.page_paddr & ~b.page_size, .size_2m = size_2m};
    const rmp_entry old = c.m.rmp().governing(page.spa);
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
