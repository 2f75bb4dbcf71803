// SPDX-License-Identifier: GPL-2.0-or-later
// Makes the model's answers take effect in QEMU: starts the checks of writes, protects pages, and
// drops translations when the RMP changes.
//
// Thread-safety: install_checks() and then start_protection() belong to the thread of vCPU 0 before
// the guest runs, and come before everything else; the other functions may be called from any
// thread.
#pragma once

#include "enforce/guest_ram.h"
#include "enforce/level.h"
#include "events/listener.h"
#include "hw-model/machine/machine.h"
#include "hw-model/rmp/rmp_changes.h"
#include "qemu/translator.h"

#include <functional>

namespace rmpopt
{

struct enforcement_settings {
    enforcement level = enforcement::on;
    hw::machine *machine = nullptr;
    const guest_ram *ram = nullptr;
    listener *heard = nullptr;
};

/// From now on translations are checked, and blocks of code go by `blocks`. Everything in `s` must
/// live until QEMU ends. `ra`: as for layout::try_facts(). Returns an empty string or what is
/// unexpected in this QEMU.
std::string install_checks(const enforcement_settings &s, const translator::rules &blocks,
                           std::uintptr_t ra);

/// From now on pages are protected, unless the level is off. Returns an empty string or why that is
/// impossible on this host, with what to do about it.
std::string start_protection();

/// Makes `changes` of the RMP true for QEMU. On a vCPU's thread: before its next instruction.
/// Elsewhere: before the function returns, for which it waits for the vCPUs; `given_up` is asked
/// now and then, and ends the waiting. The caller must hold no lock that a vCPU may wait for.
void take_effect(const hw::rmp_changes &changes, const std::function<bool()> &given_up = {});

/// The rules for writes have changed without a change of the RMP, as when SNP_EN gets set.
/// On a vCPU's thread.
void drop_translations();

/// All RAM becomes writable, once the machine was reset: what is still under way elsewhere then
/// protects nothing any more. vCPUs are stopped.
void release_protection();

/// How often the protection of a range was changed.
std::uint64_t protection_changes();

} // namespace rmpopt
