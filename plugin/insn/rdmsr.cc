// SPDX-License-Identifier: GPL-2.0-or-later
// RDMSR (0F 32) of the registers that the model holds.
#include "hw-model/machine/msr.h"
#include "insn/dispatch.h"

namespace rmpopt
{

void emulate_rdmsr(const insn_event &event)
{
    const auto index = static_cast<std::uint32_t>(event.reg(rcx));
    if (!hw::is_modelled_msr(index) || !event.cpu.long_mode() || event.cpu.in_guest()) {
        return;
    }
    if (event.cpu.cpl() != 0) {
        raise(event, hw::fault::gp0);
    }
    std::uint64_t value = 0;
    const hw::msr_result r = hw::rdmsr(event.machine(), event.cpu.index(), index, value);
    event.heard().rdmsr(place_of(event), index, r);
    switch (r) {
    case hw::msr_result::pass:
        return;
    case hw::msr_result::gp0:
        raise(event, hw::fault::gp0);
    case hw::msr_result::done:
        break;
    }
    event.reg(rax) = static_cast<std::uint32_t>(value);
    event.reg(rdx) = value >> 32;
    complete(event);
}

} // namespace rmpopt
