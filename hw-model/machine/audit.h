// SPDX-License-Identifier: GPL-2.0-or-later
// Recounts from the raw table, entry by entry, what the model keeps about the RMP, and says where
// the two differ. It shares only the raw layout with the code that keeps those numbers.
//
// Sources of the rules: APM vol. 2, 15.36.4 to 15.36.7; APM vol. 3, RMPUPDATE; AMD's RMPOPT series.
//
// Thread-safety: the caller holds the RMP lock, or no other thread uses the machine.
#pragma once

#include "hw-model/machine/machine.h"

#include <string>
#include <vector>

namespace rmpopt::hw
{

/// No more findings than this are collected: a broken table breaks everywhere.
inline constexpr std::size_t max_findings = 64;

/// The findings, one line each; empty when nothing is wrong. Each line starts with its rule:
///   "rmpopt bit"        set although the region has an assigned page
///   "sub-page count"    differs from the assigned 4 KB pages of the 2 MB region
///   "asid count"        the bookkeeping area's page counter differs from the table
///   "2 MB page"         one of its 512 entries is not assigned or carries state of its own
///   "reserved bits"     raw entry -> decoded entry -> raw entry is not the same
///   "unassigned entry"  carries more than immutable and its sub-page count
/// Reads every entry: about 4 MB of table for each GB that is covered.
std::vector<std::string> audit(const machine &m);

/// The same for the 1 GB region that holds `spa`, without the ASID counters; takes some hundred
/// microseconds. An address without entries has no findings.
std::vector<std::string> audit_region(const machine &m, spa_t spa);

} // namespace rmpopt::hw
