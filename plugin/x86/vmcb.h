// SPDX-License-Identifier: GPL-2.0-or-later
// Fields of the VMCB's control area (APM vol. 2, appendix B), by their offsets.
#pragma once

#include <cstdint>

namespace rmpopt
{

namespace vmcb_field
{
inline constexpr std::uint64_t cr_read_intercepts = 0x00, cr_write_intercepts = 0x02,
                               exception_intercepts = 0x08, write_traps = 0x10, asid = 0x58,
                               virtual_interrupt = 0x60, interrupt_state = 0x68, exit_code = 0x70,
                               exit_info1 = 0x78, exit_info2 = 0x80, exit_interrupt_info = 0x88,
                               nested_control = 0x90, ghcb = 0xa0, nested_cr3 = 0xb0,
                               next_rip = 0xc8, fetched_bytes = 0xd0, avic_backing_page = 0xe0,
                               vmsa = 0x108;
} // namespace vmcb_field

/// Bit of nested_control.
inline constexpr std::uint64_t nested_paging = 1u << 0;

} // namespace rmpopt
