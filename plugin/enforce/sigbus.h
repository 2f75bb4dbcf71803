// SPDX-License-Identifier: GPL-2.0-or-later
// Handles the SIGBUS that the host's MMU raises for a write to a protected page. Ordinary stores of
// the guest are refused earlier (write_check.h). The writes that arrive here are made by page walks
// that update their tables, by devices, and by stores that race with firmware taking the page.
//
// The handler allocates, takes locks, and may leave by QEMU's longjmp. A handler of an asynchronous
// signal must do none of that, because it may interrupt malloc, or a thread that holds a lock. This
// signal is synchronous: the interrupted instruction is one that stores to guest RAM through QEMU's
// mapping. Neither malloc nor the log nor the model makes such a store: guest RAM is a mapping of
// its own, from which nothing is allocated, and the plugin itself writes guest RAM only through the
// second mapping, which is never protected. So the interrupted code is generated code, QEMU's page
// walk, or a device's copy loop, and none of the locks taken here can be held by this thread. (A
// store by the host's kernel, as in read(2) into guest RAM, fails with EFAULT and raises nothing.)
//
// Leaving by longjmp is what QEMU's own helpers do from the same places: cpu_loop_exit() drops the
// big lock if the vCPU holds it, and page walks hold no other. SA_NODEFER keeps the signal from
// staying blocked when the handler is left that way. Devices are never left: their store is stepped
// over (blocked_dma.h).
#pragma once

namespace rmpopt
{

/// Installs the handler for SIGBUS, before the guest runs. Signals that do not concern guest RAM go
/// to the handler that was there before.
void install_guard_signal();

/// Unblocks SIGBUS for the calling thread, because QEMU starts its threads with it blocked.
void accept_guard_signal();

} // namespace rmpopt
