// SPDX-License-Identifier: GPL-2.0-or-later
// The CPUID leaves in which an SNP host differs from what the emulator itself reports.
// Sources: APM vol. 3, appendix E; Linux cpufeatures.h and scattered.c (8000_0025 EDX[0]).
#pragma once

#include "hw-model/machine/machine.h"

namespace rmpopt::hw
{

struct cpuid_regs {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// Limits of CPUID 8000_0025 EAX, log2 bytes as Linux reads them (AMD's own text says MB).
inline constexpr unsigned rmp_segment_shift_min = 30;
inline constexpr unsigned rmp_segment_shift_max = 42;

/// True for leaves that adjust_cpuid() may change.
bool is_modelled_leaf(std::uint32_t leaf);

/// Turns the emulator's answer for `leaf` into the CPU model's.
void adjust_cpuid(const machine &m, std::uint32_t leaf, cpuid_regs &regs);

} // namespace rmpopt::hw
