// SPDX-License-Identifier: GPL-2.0-or-later
// What others see of an SNP guest's private pages (hw-model/machine/ciphertext.h). While the guest
// can use a page, memory holds its view; every other reader's translation leads to a copy in the
// host's view, which is made when the translation is. The copy may grow old, which only shows to
// who looks again and again.
//
// Not concealed: pages from debuggers and monitors of QEMU, from devices, and from page walks.
//
// Without enforcement, nothing is concealed.
//
// Thread-safety: any thread.
#pragma once

#include "hw-model/base/types.h"

#include <cstddef>
#include <string>

namespace rmpopt
{

/// After install_checks(). Returns an empty string, or what went wrong.
std::string start_concealing();

/// From QEMU's mapping of the page at `spa` to what somebody else than its guest reads there; 0 if
/// that is the page itself. To be called for each translation that is made for reading.
std::ptrdiff_t conceal(hw::spa_t spa);

/// The content or the owner of this memory has changed. True if a translation may exist that was
/// made while it belonged to a guest: then all must be dropped.
bool was_looked_at(const hw::spa_range &range);

} // namespace rmpopt
