// SPDX-License-Identifier: GPL-2.0-or-later
// A device's DMA into a page that the RMP does not let devices write. The IOMMU would drop the
// write, log an RMP_PAGE_FAULT event, and let the rest of the transfer go on (APM vol.
// 2, 15.36.10). QEMU's devices write with ordinary host instructions. The one that hit the
// protected page is stepped over; those of its bytes that lie in other pages are written.
#pragma once

#include <ucontext.h>

namespace rmpopt
{

/// Steps over the host instruction that was interrupted; called in a signal handler. Returns when
/// the thread can go on. Ends QEMU when instructions of this kind cannot be stepped over.
void block_device_write(ucontext_t &interrupted);

} // namespace rmpopt
