// SPDX-License-Identifier: GPL-2.0-or-later
// A device's DMA into a page that the RMP does not let devices write: the IOMMU would drop the
// write, log an RMP_PAGE_FAULT event and let everything else go on (APM vol. 2, 15.36.10). QEMU's
// devices write with ordinary host instructions, so the one that hit the protected page is stepped
// over, with the bytes that it would have written elsewhere written.
#pragma once

#include <ucontext.h>

namespace rmpopt
{

/// In a signal handler, for the host instruction that was interrupted. Returns when the thread can
/// go on; ends QEMU when the instruction is of a kind that cannot be stepped over.
void block_device_write(ucontext_t &interrupted);

} // namespace rmpopt
