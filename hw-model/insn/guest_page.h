// SPDX-License-Identifier: GPL-2.0-or-later
// Finds and checks the page of PVALIDATE, RMPADJUST and RMPQUERY.
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

/// Either a refusal, with which the instruction ends, or the RMP entry that governs the page, and
/// the address of that entry's page.
struct guest_page {
    std::optional<guest_result> refusal;
    spa_t slot = 0;
    rmp_entry entry;
};

/// Checks ownership and size, in the order of APM vol. 2, 15.36.10. `asked_2m` is the size that the
/// instruction asks for, if it asks for one. The caller must hold the RMP lock.
guest_page find_guest_page(const machine &m, const guest_context &ctx, const guest_operand &page,
                           std::optional<bool> asked_2m);

/// #VC: the guest has not validated the page.
guest_result not_validated();

} // namespace rmpopt::hw
