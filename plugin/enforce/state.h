// SPDX-License-Identifier: GPL-2.0-or-later
// The state that the files of this folder share, set once by install_checks(). It is global because
// QEMU and the signal handler call into this folder without a pointer of ours.
#pragma once

#include "enforce/enforcement.h"

namespace rmpopt
{

extern enforcement_settings enforced;

} // namespace rmpopt
