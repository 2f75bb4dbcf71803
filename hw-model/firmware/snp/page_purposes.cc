// SPDX-License-Identifier: GPL-2.0-or-later
// Pages for other purposes: metadata of swapped guest pages, memory that stays the hypervisor's.
#include "hw-model/firmware/snp/snp.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

bool are_2m_ranges(const std::vector<spa_range> &ranges)
{
    return std::ranges::all_of(ranges, [](const spa_range &r) {
        return is_aligned(r.base, page_2m) && is_aligned(r.bytes, page_2m);
    });
}

bool may_be_fixed(const firmware_call &c, spa_t page)
{
    const page_state state = state_of(c.m.rmp().governing(page));
    return state == page_state::hypervisor || state == page_state::hv_fixed;
}

} // namespace

/// AMD 56860, SNP_PAGE_MD_INIT: a firmware page becomes an empty metadata page for a guest.
firmware_status snp_page_md_init(firmware_call &c, const snp_page_md_init_buffer &b)
{
    const spa_t page = b.page_paddr;
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest(c, b.gctx_paddr, guest); },
                    [&] { return check_firmware_page(c, page); },
                    [&] {
                        std::memset(c.m.memory().at(page, page_4k), 0, page_4k);
                        c.m.replace_entry(page, metadata_entry(), c.result.rmp_changes);
                    });
}

/// AMD 56860, SNP_PAGE_SET_STATE: pages of a list become HV-fixed, all of them or none. It takes
/// ranges of 2 MB only (AMD, in the patches for seamless firmware servicing; the status is ours).
firmware_status snp_page_set_state(firmware_call &c, const snp_page_set_state_buffer &b)
{
    std::vector<spa_range> ranges;
    const auto all_may_be_fixed = [&] {
        bool possible = true;
        for_each_covered_page(c.m.rmp(), ranges,
                              [&](spa_t p) { possible = possible && may_be_fixed(c, p); });
        return possible;
    };
    return in_order(
        must(c.s.snp_init, invalid_platform_state), must(b.length == sizeof b, invalid_length),
        must(reserved_zero(b.reserved), invalid_param),
        [&] { return read_range_list(c, b.list_paddr, ranges); },
        [&] { return must(are_2m_ranges(ranges), invalid_address); },
        [&] { return must(all_may_be_fixed(), invalid_page_state); },
        [&] {
            for_each_covered_page(c.m.rmp(), ranges, [&](spa_t p) {
                c.m.replace_entry(p, hv_fixed_entry(), c.result.rmp_changes);
            });
        });
}

} // namespace rmpopt::hw
