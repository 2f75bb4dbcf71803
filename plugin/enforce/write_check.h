// SPDX-License-Identifier: GPL-2.0-or-later
// The RMP's say in each translation that a vCPU caches.
#pragma once

#include "qemu/tlb_fill.h"

namespace rmpopt
{

/// For tlb_fill::hook(). Without `enforce` writes are not looked at.
translation_rules rmp_translation_rules(bool enforce);

/// Has the RMP been asked, and does it forbid the host or a guest on this vCPU to write?
bool is_write_forbidden(const vcpu &cpu, hw::spa_t spa);

/// Raises what a write meets that the RMP forbids; for translation_rules, too.
[[noreturn]] void refuse_write(const translation &access, std::uintptr_t ra);

/// Raises what an access meets whose page walk could not update a page table, because the RMP
/// forbids the host to write the page of the table at `table`.
[[noreturn]] void refuse_walk(const translation &access, hw::spa_t table, std::uintptr_t ra);

} // namespace rmpopt
