// SPDX-License-Identifier: GPL-2.0-or-later
// What PVALIDATE, RMPADJUST and RMPQUERY have in common: checks, translation of their operand,
// exceptions.
#pragma once

#include "hw-model/insn/guest_insn.h"
#include "insn/dispatch.h"

namespace rmpopt
{

using guest_insn_function = hw::guest_result (*)(hw::machine &, const hw::guest_context &,
                                                 const hw::guest_registers &,
                                                 const hw::guest_operand &);

/// Executes `insn` up to its result, which is no exception any more. The vCPU's state is exact
/// then.
hw::guest_result execute_guest_insn(insn_event &event, hw::guest_insn insn,
                                    guest_insn_function execute);

} // namespace rmpopt
