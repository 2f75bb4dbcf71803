// SPDX-License-Identifier: GPL-2.0-or-later
// Checks each translation that a vCPU caches against the RMP, and delivers the fault that the
// verdict asks for.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "qemu/tlb_fill.h"

namespace rmpopt
{

/// The verdict as qemu/ passes it from the check to refuse(), without knowing what it holds.
struct refusal {
    hw::rmp_verdict verdict;
};

/// The rules for tlb_fill::hook(). Without `enforce`, writes are not checked.
translation_rules rmp_translation_rules(bool enforce);

/// The verdict on a write to `spa` by this vCPU, through a mapping of 4 KB or, with
/// `large_mapping`, one of 2 MB or more. `kind`: write, or walk_write for the page walk's own.
hw::rmp_verdict check_write(const vcpu &cpu, hw::spa_t spa,
                            hw::rmp_access_kind kind = hw::rmp_access_kind::write,
                            bool large_mapping = false);

/// Delivers the fault that `why` demands for the write `access`. `ra`: as for vcpu::raise().
[[noreturn]] void refuse_write(const translation &access, const refusal &why, std::uintptr_t ra);

/// The same for an access whose page walk could not update the page table at `table`.
[[noreturn]] void refuse_walk(const translation &access, hw::spa_t table, const refusal &why,
                              std::uintptr_t ra);

} // namespace rmpopt
