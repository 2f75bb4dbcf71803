// SPDX-License-Identifier: GPL-2.0-or-later
// The RMPOPT instruction (F2 0F 01 FC). Source: AMD's RMPOPT series on linux-crypto, 2026.
#pragma once

#include "hw-model/insn/host_insn.h"

namespace rmpopt::hw
{

/// RCX.
enum class rmpopt_function : std::uint64_t { verify_and_report = 0, report = 1 };

inline constexpr std::uint32_t flag_cf = 1;

struct rmpopt_result {
    fault exception = fault::none;
    bool cf = false;                       ///< the region is optimised on this core
    std::uint32_t changed_flags = flag_cf; ///< arithmetic flags to write; all but CF become 0
    // For counters; invisible to software.
    bool cached = false;    ///< function 0, answered from another core's scan
    bool scanned = false;   ///< function 0, walked the RMP
    unsigned looked_at = 0; ///< 2 MB entries read by the scan
};

/// Executes RMPOPT on the core of ctx.thread. Rounds RAX down to 1 GB and never writes it; the only
/// result is CF. Thread-safety: takes the RMP lock, so the scan either sees a racing RMPUPDATE or
/// the RMPUPDATE clears the bit afterwards (AMD, 2026-02-17).
rmpopt_result rmpopt(machine &m, const insn_context &ctx, std::uint64_t rax, std::uint64_t rcx);

/// True when the 1 GB region holds no assigned page. Reads only the entries of its 512 2 MB blocks,
/// and sets `looked_at` to the number read. Pages without an entry are hypervisor-owned. The caller
/// must hold the RMP lock.
bool region_is_clean(const rmp_table &rmp, spa_t region, unsigned &looked_at);

} // namespace rmpopt::hw
