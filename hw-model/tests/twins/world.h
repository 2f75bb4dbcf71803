// SPDX-License-Identifier: GPL-2.0-or-later
// A world that is small enough to look at all of it after each step: RMP entries for the first few
// pages of two 1 GB regions. What cuts the coverage is that the table ends with its RAM.
#pragma once

#include "hw-model/insn/psmash.h"
#include "hw-model/insn/rmpread.h"
#include "hw-model/insn/rmpupdate.h"

#include <array>
#include <functional>
#include <ostream>

namespace rmpopt::hw
{

struct world {
    static constexpr std::array<spa_t, 2> regions{0, 2 * region_1g};
    static constexpr spa_t hole = region_1g, beyond = 3 * region_1g; ///< no entries
    static constexpr unsigned phys_bits = 48;

    unsigned cores = 2; ///< of two threads each
    rmp_layout layout = rmp_layout::segmented;
    /// Entries of each region; a contiguous table covers the first region only. One and a half
    /// 2 MB regions, so that one is cut.
    unsigned pages = 768;

    unsigned threads() const { return 2 * cores; }
    unsigned covered_regions() const { return layout == rmp_layout::segmented ? 2 : 1; }
};

enum class op : std::uint8_t {
    rmpupdate,
    psmash,
    rmpread,
    rmpopt,            ///< operand: RCX
    write_rmpopt_base, ///< operand: the value
    write_vm_hsave_pa,
    use_as_guest, ///< what PVALIDATE and RMPADJUST leave in an entry
    enter_guest,  ///< the thread holds the page at spa
    leave_guest,
    enable_snp, ///< on one core
    clear_rmpopt_tables,
    shutdown, ///< firmware clears SNP_EN
    reset,
};
inline constexpr unsigned ops = static_cast<unsigned>(op::reset) + 1;

struct step {
    op what = op::rmpupdate;
    insn_context ctx{};
    spa_t spa = 0;
    std::uint64_t operand = 0;
    rmp_record record{};
};

std::ostream &operator<<(std::ostream &os, const step &s);

/// A step made of small choices: `pick(n)` returns a number below n.
step draw_step(const world &w, const std::function<unsigned(unsigned)> &pick);

} // namespace rmpopt::hw
