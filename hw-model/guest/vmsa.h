// SPDX-License-Identifier: GPL-2.0-or-later
// The registers of an SEV-ES guest while it does not run: the VMSA, by offsets (APM vol. 2,
// appendix B, table B-4). Its first part has the layout of the VMCB's save area.
//
// Thread-safety: a VMSA is used by one CPU at a time.
#pragma once

#include "hw-model/base/memory_view.h"

#include <span>

namespace rmpopt::hw
{

namespace vmsa_field
{
inline constexpr std::uint64_t vmpl = 0xca, efer = 0xd0, cr3 = 0x150, rip = 0x178, rsp = 0x1d8,
                               rax = 0x1f8, pkru = 0x2e8, sev_features = 0x3b0, xcr0 = 0x3e8;
} // namespace vmsa_field

/// Bits of SEV_FEATURES.
namespace sev_feature
{
inline constexpr std::uint64_t snp_active = 1u << 0;
}

/// From here on, the VMCB's save area is laid out as a VMSA is.
inline constexpr std::uint64_t vmcb_save_area = 0x400;
/// Bytes of what both have in common.
inline constexpr std::uint64_t common_save_bytes = 0x298;

/// Copies what VMRUN and VMLOAD read, or #VMEXIT and VMSAVE write, from one save area to another:
/// segments, control registers, RIP, RSP, RAX and the registers of system calls.
void copy_save_area(const memory_view &memory, spa_t from, spa_t to);

/// Offset in the VMSA of general register `index`, 0 to 15 in the order of their encoding.
std::uint64_t general_register(unsigned index);

/// What the VMSA has of x87, SSE and AVX, laid out as by XSAVE in its standard form, with the upper
/// halves of the YMM registers at offset 576.
inline constexpr std::size_t vector_state_bytes = 576 + 256;
using vector_state = std::span<std::byte, vector_state_bytes>;

// The VMSA holds the x87 registers as XSAVE does, beginning with ST(0); `to` and `from` hold them
// by their number, as the emulator has them.

/// `to` gets what the VMSA holds; its header, bytes 512 to 575, is left alone.
void load_vector_state(const memory_view &memory, spa_t vmsa, vector_state to);
void store_vector_state(const memory_view &memory, spa_t vmsa, vector_state from);

/// The state of x87, SSE and AVX after a reset, which #VMEXIT of an SEV-ES guest leaves (APM vol.
/// 2, 15.35.8, table 14-1).
void reset_vector_state(vector_state state);

} // namespace rmpopt::hw
