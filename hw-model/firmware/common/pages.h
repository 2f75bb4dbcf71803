// SPDX-License-Identifier: GPL-2.0-or-later
// Pages as commands see them: their state, whether firmware may write them.
#pragma once

#include "hw-model/firmware/common/page_state.h"
#include "hw-model/firmware/common/state.h"

namespace rmpopt::hw
{

/// A page that a command names.
struct page_operand {
    spa_t spa = 0;
    bool size_2m = false;

    std::uint64_t bytes() const { return size_2m ? page_2m : page_4k; }
    spa_range range() const { return {spa, bytes()}; }
};

/// True for pages that firmware itself needs: RMP, trusted memory region, non-volatile storage.
bool in_use_by_firmware(const firmware_call &c, spa_t page);
/// INVALID_ADDRESS when a page is not aligned, is no RAM or has no RMP entry.
firmware_status check_page_address(const firmware_call &c, const page_operand &page);
/// True when `bytes`, of which there is at least one, do not lie in a single 4 KB page.
constexpr bool crosses_page(spa_t spa, std::uint64_t bytes)
{
    return align_down(spa, page_4k) != align_down(spa + bytes - 1, page_4k);
}
/// Whether firmware may write `bytes` at `spa`. Before SNP_INIT any RAM will do. After it the pages
/// must be firmware-owned or, unless `firmware_only`, the hypervisor's.
firmware_status check_output(const firmware_call &c, spa_t spa, std::uint64_t bytes,
                             bool firmware_only);
/// A 4 KB firmware page that firmware itself does not use: address, state, size.
firmware_status check_firmware_page(const firmware_call &c, spa_t page);
/// True when every page of the range is in state `wanted`. A page without an RMP entry is the
/// hypervisor's.
bool all_pages_are(const machine &m, spa_range range, page_state wanted);

} // namespace rmpopt::hw
