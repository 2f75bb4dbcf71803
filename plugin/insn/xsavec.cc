// SPDX-License-Identifier: GPL-2.0-or-later
// XSAVEC (0F C7 /4): stores the components that EDX:EAX asks for, in the compacted form (APM vol.
// 4, XSAVEC). As QEMU's XSAVEOPT, it takes no component for one in its initial state.
#include "insn/xsave.h"
#include "qemu/svm.h"
#include "qemu/tlb_fill.h"

namespace rmpopt
{

void emulate_xsavec(insn_event event)
{
    const xsave_layout *layout = emulated_xsavec(event.cpu);
    if (layout == nullptr) {
        return;
    }
    synchronise(event);
    const vcpu &cpu = event.cpu;
    const xsave_operands o = operands_of_xsave(event);
    tlb_fill::try_access(cpu, o.address, layout->compacted_bytes(o.components),
                         translation::access::write, 0);
    alignas(xsave::alignment) xsave::area state;
    svm::read_vectors(cpu, state);
    const xsave_pieces pieces =
        layout->compacted_pieces(o.components, o.components, status_word(state));
    for (const xsave_piece &p : pieces.all()) {
        tlb_fill::write(cpu, o.address + p.in_memory,
                        std::span(state).subspan(p.in_state, p.bytes));
    }
    const std::array<std::uint64_t, 2> header{o.components, o.components | xsave::compacted};
    tlb_fill::write(cpu, o.address + xsave::xstate_bv, std::as_bytes(std::span(header)));
    complete(event);
}

} // namespace rmpopt
