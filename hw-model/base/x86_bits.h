// SPDX-License-Identifier: GPL-2.0-or-later
// Bits of x86's registers and tables that more than one file needs (APM vol. 2: control registers
// 3.1, RFLAGS 3.1.6, page-table entries 5.4, error code of #PF 8.4.2 and 15.36.10).
#pragma once

#include <cstdint>

namespace rmpopt
{

inline constexpr std::uint64_t cr0_pe = 1u << 0, cr0_ts = 1u << 3, cr0_wp = 1u << 16,
                               cr0_pg = 1u << 31;
inline constexpr std::uint64_t cr3_pcid = 0xfff, cr3_keep = 1ull << 63;
inline constexpr std::uint64_t cr4_pse = 1u << 4, cr4_pae = 1u << 5, cr4_pge = 1u << 7,
                               cr4_la57 = 1u << 12, cr4_pcide = 1u << 17, cr4_smep = 1u << 20,
                               cr4_smap = 1u << 21, cr4_pke = 1u << 22;
inline constexpr std::uint64_t cr4_osxsave = 1u << 18;
inline constexpr std::uint64_t efer_lme = 1u << 8, efer_lma = 1u << 10, efer_nxe = 1u << 11,
                               efer_svme = 1u << 12;
inline constexpr std::uint32_t rflags_cf = 1u << 0;
inline constexpr std::uint64_t rflags_if = 1u << 9, rflags_ac = 1u << 18;

inline constexpr std::uint64_t pte_present = 1u << 0, pte_write = 1u << 1, pte_user = 1u << 2,
                               pte_accessed = 1u << 5, pte_dirty = 1u << 6, pte_large = 1u << 7,
                               pte_global = 1u << 8, pte_no_execute = 1ull << 63;
inline constexpr unsigned pte_key_shift = 59; ///< of the protection key, 4 bits
/// The address in an entry or in CR3, without the C-bit (bit 51).
inline constexpr std::uint64_t pte_address = ((1ull << 51) - 1) & ~0xfffull;

inline constexpr std::uint32_t pf_present = 1u << 0, pf_write = 1u << 1, pf_user = 1u << 2,
                               pf_reserved = 1u << 3, pf_fetch = 1u << 4, pf_key = 1u << 5,
                               pf_rmp = 1u << 31;

} // namespace rmpopt
