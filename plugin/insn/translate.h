// SPDX-License-Identifier: GPL-2.0-or-later
// Registers the plugin's callbacks while QEMU translates a block of code.
#pragma once

#include "qemu/api.h"
#include "qemu/translator.h"

namespace rmpopt
{

/// `start` is called before the guest's first instruction, and again before each one until it has
/// called start_emulation(). `ra` is the return address of the callback from which it is called. To
/// be called before any block is translated.
void before_first_instruction(void (*start)(std::uintptr_t ra));

/// The plugin's only callback for blocks.
void on_translate(qemu_plugin_tb *tb, void *);

/// The rules by which QEMU skips the plugin for blocks that do not concern it. With `audits` no
/// block is skipped, and QEMU ends when one that would have been skipped does concern the plugin.
translator::rules block_rules(bool audits);

} // namespace rmpopt
