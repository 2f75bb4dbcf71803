// SPDX-License-Identifier: GPL-2.0-or-later
// Work that QEMU does between the instructions of its vCPUs.
#pragma once

namespace rmpopt
{

/// Calls `alone(data)` while no vCPU executes anything and without QEMU's big lock, and then
/// `after(data)` with that lock held. On a vCPU's thread both come before that vCPU's next block of
/// code; elsewhere soon. The caller holds the big lock.
void between_blocks(void (*alone)(void *data), void (*after)(void *data), void *data);

} // namespace rmpopt
