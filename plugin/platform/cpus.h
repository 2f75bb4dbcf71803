// SPDX-License-Identifier: GPL-2.0-or-later
// The vCPUs that QEMU was given, as the model sees them. At vCPU 0's first instruction.
#pragma once

#include "hw-model/machine/cpu_model.h"
#include "hw-model/machine/machine.h"

#include <string>

namespace rmpopt
{

/// Empty when the guest's CPUs can be the persona; otherwise one line that says what to change.
std::string check_cpu(const hw::cpu_model &p);

/// Cores from the same APIC ids that the guest reads (leaf 0Bh).
hw::topology read_topology(unsigned vcpus);

/// MAXPHYADDR.
unsigned read_phys_bits();

} // namespace rmpopt
