// SPDX-License-Identifier: GPL-2.0-or-later
// Checks the vCPUs that QEMU was given and reads their topology for the model. All functions are to
// be called at vCPU 0's first instruction.
#pragma once

#include "hw-model/machine/cpu_model.h"
#include "hw-model/machine/machine.h"

#include <string>

namespace rmpopt
{

/// Empty when the guest's CPUs can play CPU model `p`; otherwise one line that says what to change.
std::string check_cpu(const hw::cpu_model &p);

/// Derives the cores from the APIC IDs that the guest itself reads (CPUID leaf 0Bh).
hw::topology read_topology(unsigned vcpus);

/// MAXPHYADDR.
unsigned read_phys_bits();

} // namespace rmpopt
