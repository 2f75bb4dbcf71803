// SPDX-License-Identifier: GPL-2.0-or-later
// Walks the assigned pages of a range and skips 2 MB blocks that have none.
#pragma once

#include "hw-model/rmp/rmp_table.h"

namespace rmpopt
{

/// Calls `is_it(spa, entry, pages)` for the assigned pages of the range until it returns true, and
/// returns whether it did. It is called once for a 2 MB page, with pages = 512. The range must
/// begin at a 2 MB boundary, and the caller must hold the RMP lock.
template <class F>
bool any_assigned_page(const hw::rmp_table &rmp, const hw::spa_range &range, F is_it)
{
    for (hw::spa_t block = range.base; block < range.end(); block += hw::page_2m) {
        const hw::rmp_entry base = rmp.load(block);
        if (base.assigned && base.size_2m) {
            if (is_it(block, base, hw::pages_per_2m)) {
                return true;
            }
            continue;
        }
        if (!base.assigned && base.subpage_count == 0) {
            continue;
        }
        for (hw::spa_t spa = block; spa != block + hw::page_2m; spa += hw::page_4k) {
            const hw::rmp_entry entry = rmp.load(spa);
            if (entry.assigned && is_it(spa, entry, 1u)) {
                return true;
            }
        }
    }
    return false;
}

} // namespace rmpopt
