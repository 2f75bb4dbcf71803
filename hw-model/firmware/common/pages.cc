// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/pages.h"

#include "hw-model/firmware/common/command.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

bool is_writable_state(page_state state, bool firmware_only)
{
    return state == page_state::firmware || (state == page_state::hypervisor && !firmware_only);
}

} // namespace

firmware_status check_page_address(const firmware_call &c, const page_operand &page)
{
    const bool good =
        is_aligned(page.spa, page.bytes()) && c.m.memory().at(page.spa, page.bytes()) != nullptr &&
        c.m.rmp().covers(page.spa) && c.m.rmp().covers(page.spa + page.bytes() - page_4k);
    return must(good, invalid_address);
}

bool in_use_by_firmware(const firmware_call &c, spa_t page)
{
    const spa_range p{align_down(page, page_4k), page_4k};
    return c.m.rmp().is_table_memory(p.base) || c.s.tmr.overlaps(p) || c.s.nv.overlaps(p);
}

firmware_status check_output(const firmware_call &c, spa_t spa, std::uint64_t bytes,
                             bool firmware_only)
{
    if (c.m.memory().at(spa, bytes) == nullptr) {
        return invalid_address;
    }
    for (spa_t p = align_down(spa, page_4k); p < spa + bytes; p += page_4k) {
        const page_state state = state_of(c.m.rmp().governing(p));
        const bool writable = !c.s.snp_init || is_writable_state(state, firmware_only);
        if (!writable || in_use_by_firmware(c, p)) {
            return invalid_page_state;
        }
    }
    return success;
}

firmware_status check_firmware_page(const firmware_call &c, spa_t page)
{
    const rmp_entry e = c.m.rmp().governing(page);
    return in_order([&] { return check_page_address(c, {.spa = page}); },
                    must(state_of(e) == page_state::firmware && !in_use_by_firmware(c, page),
                         invalid_page_state),
                    must(!e.size_2m, invalid_page_size));
}

bool all_pages_are(const machine &m, spa_range range, page_state wanted)
{
    for (spa_t p = align_down(range.base, page_4k); p < range.end(); p += page_4k) {
        if (state_of(m.rmp().governing(p)) != wanted) {
            return false;
        }
    }
    return true;
}

} // namespace rmpopt::hw
