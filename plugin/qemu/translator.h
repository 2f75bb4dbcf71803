// SPDX-License-Identifier: GPL-2.0-or-later
// Calls QEMU's function that translates a block of code through ours. When a block has nothing of
// interest, QEMU is told that no plugin wants to see blocks, so the block costs as little as
// without a plugin. When another plugin wants to see all blocks, or a fact of layout.h does not
// hold, all blocks are translated for plugins.
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
        /// True when the block that begins at `pc`, in a page with these 4 KB of code, has nothing
        /// of interest. On the vCPU's thread.
        bool (*is_plain)(const vcpu &, std::uint64_t pc, std::span<const std::uint8_t> page);
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

    /// True when is_plain() was true for `tb`. In the plugin's callback for `tb`, before it
    /// registers anything.
    static bool said_plain(const qemu_plugin_tb *tb);
};

} // namespace rmpopt
