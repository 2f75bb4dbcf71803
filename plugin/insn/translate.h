// SPDX-License-Identifier: GPL-2.0-or-later
// What happens while QEMU translates a block of code: the instructions that concern the plugin get
// their callbacks.
#pragma once

#include "qemu/translator.h"
#include "qemu/api.h"

namespace rmpopt
{

/// The plugin's only callback for blocks.
void on_translate(qemu_plugin_tb *tb, void *);

/// Which blocks the plugin need not be asked about. With `audits` it is asked all the same, and
/// contradicts when one concerns it.
translator::rules block_rules(bool audits);

} // namespace rmpopt
