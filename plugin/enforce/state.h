// SPDX-License-Identifier: GPL-2.0-or-later
// What the files of this folder work on. They are called by QEMU and by a signal, which pass
// nothing of ours, so it is found here. Set once by install_checks().
#pragma once

#include "enforce/enforcement.h"

namespace rmpopt
{

extern enforcement_settings enforced;

} // namespace rmpopt
