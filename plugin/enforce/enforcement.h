// SPDX-License-Identifier: GPL-2.0-or-later
// Makes the model's answers take effect in QEMU: checks writes, protects pages, and drops
// translations when the RMP changes.
//
// Thread-safety: install_checks() and then start_protection() must be called first, on vCPU 0's
// thread before the guest runs. The other functions may be called from any thread, except where
// they say otherwise.
#pragma once

#include "enforce/guest_ram.h"
#include "enforce/level.h"
#include "events/listener.h"
#include "hw-model/machine/machine.h"
#include "hw-model/rmp/rmp_changes.h"
#include "qemu/tlb_fill.h"
#include "qemu/translator.h"

#include <string>

namespace rmpopt
{

struct enforcement_settings {
    enforcement level = enforcement::on;
    hw::machine *machine = nullptr;
    const guest_ram *ram = nullptr;
    listener *heard = nullptr;
};

/// Starts to check translations, by rules that `extend` may add to, and to translate blocks of code
/// by the rules `blocks`. Everything in `s` must live until QEMU ends. `ra`: as for
/// layout::try_facts(). Returns an empty string, or what is unexpected in this QEMU.
std::string install_checks(const enforcement_settings &s, void (*extend)(translation_rules &),
                           const translator::rules &blocks, std::uintptr_t ra);

/// Starts to protect pages, unless the level is off. Returns an empty string, or why this host
/// cannot do it and what to do about that.
std::string start_protection();

/// Makes `changes` of the RMP take effect in QEMU before the calling vCPU's next instruction. To be
/// called on a vCPU's thread.
void take_effect(const hw::rmp_changes &changes);

/// Likewise for memory whose content was encrypted or decrypted in place, and nothing else.
void take_effect(const hw::spa_range &recoded);

/// Makes them take effect at once. To be called while no vCPU executes anything.
void take_effect_now(const hw::rmp_changes &changes);

/// To be called on a vCPU's thread when the rules for writes change without a change of the RMP, as
/// when SNP_EN is set.
void drop_translations();

/// Makes all RAM writable. To be called with the vCPUs stopped, and only after the model was reset:
/// changes still in progress on other threads then find nothing to protect.
void release_protection();

/// How many times the protection of a range has been changed.
std::uint64_t protection_changes();

} // namespace rmpopt
