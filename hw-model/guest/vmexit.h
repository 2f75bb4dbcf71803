// SPDX-License-Identifier: GPL-2.0-or-later
// Exit codes, and which exits of an SEV-ES guest its hypervisor sees (APM vol. 2, 15.35.4 and
// 15.35.5, appendix C).
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace rmpopt::hw
{

namespace exit_code
{
inline constexpr std::uint64_t machine_check = 0x52, interrupt = 0x60, nmi = 0x61, init = 0x63,
                               virtual_interrupt = 0x64, cpuid = 0x72, pause = 0x77, hlt = 0x78,
                               ioio = 0x7b, msr = 0x7c, shutdown = 0x7f, efer_write_trap = 0x8f,
                               cr0_write_trap = 0x90, cr15_write_trap = 0x9f, bus_lock = 0xa5,
                               idle_hlt = 0xa6, nested_page_fault = 0x400, vmgexit = 0x403,
                               page_not_validated = 0x404;
/// Negative codes are failures of VMRUN itself.
inline constexpr std::uint64_t first_failure = 1ull << 63;
} // namespace exit_code

/// What an exit of an SEV-ES guest is. `automatic`: the CPU saves the guest's registers in the VMSA
/// and enters the hypervisor. Otherwise it raises #VC in the guest, with the exit code as error
/// code, and the guest decides what the hypervisor gets to know.
enum class exit_class : std::uint8_t { automatic, vmm_communication };

/// `info1`: EXITINFO1; of a nested page fault its reserved bit counts, by which hypervisors mark
/// emulated devices.
exit_class class_of_exit(std::uint64_t code, std::uint64_t info1);

/// "0x1f".
std::string hexadecimal(std::uint64_t value);

/// The name in appendix C, without VMEXIT_: "IOIO", "CR3_WRITE"; of a code that is not there the
/// code.
std::string exit_name(std::uint64_t code);

} // namespace rmpopt::hw
