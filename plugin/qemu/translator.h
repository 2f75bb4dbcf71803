// SPDX-License-Identifier: GPL-2.0-or-later
// The part of the adapter that stands in front of QEMU's function that translates a block of code.
// For blocks without any instruction that concerns the plugin it is told that there is none, so
// that they cost what they cost without a plugin. Where that is not possible, as another plugin
// wants to see all blocks or QEMU keeps its record elsewhere, all are translated for plugins.
#pragma once

#include "qemu/api.h"
#include "qemu/vcpu.h"

#include <span>
#include <string>

namespace rmpopt
{

class translator
{
  public:
    struct rules {
        /// Is the block that begins at `offset` of `page`, in 4 KB of code, none of the plugin's
        /// business? On the vCPU's thread.
        bool (*is_plain)(const vcpu &, std::span<const std::uint8_t> page, std::size_t offset);
        /// The only plugin's callback for blocks.
        qemu_plugin_vcpu_tb_trans_cb_t callback;
        /// Plain blocks are translated for the plugin all the same: see said_plain().
        bool audits;
    };

    /// Puts our function into `ops`, a copy of QEMU's table of the functions of x86 CPUs, before it
    /// is used. False: it is not as QEMU 11 has it.
    static bool hook(std::span<void *> ops, const rules &r);

    // Probes for layout.h, after hook().
    static std::string probe_events();
    static std::string probe_instruction();
    /// After the probes: from now on plain blocks are spared, if all facts hold that this needs.
    static void start();

    /// Why the plugin is asked about all blocks; empty when plain ones are spared.
    static std::string why_all_blocks();

    /// In the plugin's callback for `tb`, before it registers anything. True: the block is one that
    /// was called plain.
    static bool said_plain(const qemu_plugin_tb *tb);
};

} // namespace rmpopt
