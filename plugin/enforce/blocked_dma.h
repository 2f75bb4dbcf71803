// SPDX-License-Identifier: GPL-2.0-or-later
// Drops a device's DMA into a page that the RMP does not let devices write. On hardware the IOMMU
// drops the write, logs an RMP_PAGE_FAULT event, and lets the rest of the transfer go on (APM vol.
// 2, 15.36.10). QEMU's devices write with ordinary host instructions, so the instruction that hit
// the protected page is stepped over, after its bytes that lie in other pages have been written.
//
// The IOMMU itself is QEMU's device, too. It may write its own buffers, which SNP_INIT has taken
// from the host. Another device's write there is not told from its own, and passes.
#pragma once

#include <ucontext.h>

namespace rmpopt
{

/// Steps over the interrupted host instruction. To be called in a signal handler, which then
/// returns. Ends QEMU if it cannot step over an instruction of this kind.
void block_device_write(ucontext_t &interrupted);

} // namespace rmpopt
