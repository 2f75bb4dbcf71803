// SPDX-License-Identifier: GPL-2.0-or-later
// What XSAVEC and XRSTOR have in common. All EPYCs with SNP have both, and
// Linux as an SNP guest ends itself on a CPU that has XSAVE without the
// compacted form, which QEMU does not know.
#pragma once

#include "hw-model/machine/cpuid.h"
#include "insn/dispatch.h"
#include "x86/xsave_area.h"

namespace rmpopt
{

/// Where the components of QEMU's CPU are, or nullptr when XSAVEC is not the plugin's: QEMU has it,
/// or has no XSAVE, or has a component that the plugin does not know.
const xsave_layout *emulated_xsavec(const vcpu &cpu);

/// True for the CPUID leaf that add_xsavec() completes.
bool tells_of_xsavec(std::uint32_t leaf, std::uint32_t subleaf);
/// Adds XSAVEC, if it is the plugin's, with the bytes that it stores of all that is enabled.
void add_xsavec(const vcpu &cpu, hw::cpuid_regs &regs);

/// The operands of an instruction of this family.
struct xsave_operands {
    std::uint64_t address = 0;
    std::uint64_t components = 0; ///< that are asked for and enabled in XCR0
    std::uint64_t xcr0 = 0;
};

/// Reads the operands and corrects the event's length, which QEMU does not know for XSAVEC. Raises
/// the exceptions that do not depend on the area's contents. After synchronise().
xsave_operands operands_of_xsave(insn_event &event);

} // namespace rmpopt
