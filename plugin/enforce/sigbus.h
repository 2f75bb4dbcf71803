// SPDX-License-Identifier: GPL-2.0-or-later
// What to do when the host's MMU stops a write to a page that the guard protects. Stores of the
// guest are refused before they get this far (rmp_access.h); what arrives here are page walks that
// update their tables, devices, and stores of the moment in which firmware takes a page away.
#pragma once

namespace rmpopt
{

/// Before the guest runs. Takes SIGBUS over; what is not the guard's goes to the old handler.
void install_guard_signal();

/// Lets the calling thread receive the signal; QEMU starts its threads with it blocked.
void accept_guard_signal();

} // namespace rmpopt
