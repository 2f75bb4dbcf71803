// SPDX-License-Identifier: GPL-2.0-or-later
// What PVALIDATE, RMPADJUST and RMPQUERY have in common: the page that they work on.
#pragma once

#include "hw-model/insn/guest_insn.h"

namespace rmpopt::hw
{

constexpr guest_result raised(guest_exception what, std::uint64_t error = 0)
{
    return {.exception = what, .error = error};
}
constexpr guest_result failed(rmp_status status)
{
    return {.status = status};
}

/// The reason why the instruction ends here, or the entry that governs the page and its address.
struct guest_page {
    std::optional<guest_result> refusal;
    spa_t slot = 0;
    rmp_entry entry;
};

/// Ownership and size, in the order of APM vol. 2, 15.36.10. `asked_2m` is the size that the
/// instruction names, if it does. RMP lock held.
guest_page find_guest_page(const machine &m, const guest_context &ctx, const guest_operand &page,
                           std::optional<bool> asked_2m);

/// #VC: the guest has not validated the page.
guest_result not_validated();

} // namespace rmpopt::hw
