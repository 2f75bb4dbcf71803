// SPDX-License-Identifier: GPL-2.0-or-later
// Pages for other purposes: metadata of swapped guest pages, memory that stays the hypervisor's.
#include "hw-model/firmware/internal.h"

namespace rmpopt::hw
{

namespace
{

bool may_be_fixed(const firmware_call &c, spa_t page)
{
    const page_state state = state_of(governing_entry(c.m, page));
    return state == page_state::hypervisor || state == page_state::hv_fixed;
}

} // namespace

/// AMD 56860, SNP_PAGE_MD_INIT: a firmware page becomes an empty metadata page.
firmware_status snp_page_md_init(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const spa_t page = c.get_address(0);
    const firmware_status status = check_firmware_page(c, page);
    if (status != firmware_status::success) {
        return status;
    }
    std::memset(c.m.memory().at(page, page_4k), 0, page_4k);
    c.m.replace_entry(page, metadata_entry(), c.result.rmp_changes);
    return firmware_status::success;
}

/// AMD 56860, SNP_PAGE_SET_STATE: pages of a list become HV-fixed, all of them or none.
firmware_status snp_page_set_state(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    if (!c.is_zero(4, 4)) {
        return firmware_status::invalid_param;
    }
    std::vector<spa_range> ranges;
    const firmware_status status = read_range_list(c, c.get_address(8), ranges);
    if (status != firmware_status::success) {
        return status;
    }
    bool possible = true;
    for_each_covered_page(c.m.rmp(), ranges,
                          [&](spa_t p) { possible = possible && may_be_fixed(c, p); });
    if (!possible) {
        return firmware_status::invalid_page_state;
    }
    for_each_covered_page(c.m.rmp(), ranges, [&](spa_t p) {
        c.m.replace_entry(p, hv_fixed_entry(), c.result.rmp_changes);
    });
    return firmware_status::success;
}

} // namespace rmpopt::hw
