// SPDX-License-Identifier: GPL-2.0-or-later
// XRSTOR (0F AE /5) of an image in the compacted form (APM vol. 4, XRSTOR). QEMU's own does it for
// the standard form.
#include "insn/xsave.h"
#include "qemu/svm.h"
#include "qemu/tlb_fill.h"

#include <cstring>

namespace rmpopt
{

namespace
{

template <class T> T word(const xsave::area &image, std::size_t at)
{
    T value;
    std::memcpy(&value, &image[at], sizeof value);
    return value;
}

} // namespace

void emulate_xrstor(insn_event event)
{
    const xsave_layout *layout = emulated_xsavec(event.cpu);
    if (layout == nullptr) {
        return;
    }
    synchronise(event);
    const vcpu &cpu = event.cpu;
    const xsave_operands o = operands_of_xsave(event);
    alignas(xsave::alignment) xsave::area image, state;
    const auto fetch = [&](std::size_t bytes) {
        tlb_fill::try_access(cpu, o.address, bytes, translation::access::read, 0);
        tlb_fill::read(cpu, o.address, translation::access::read, std::span(image).first(bytes));
    };
    fetch(xsave::header_end);
    const auto places = word<std::uint64_t>(image, xsave::xcomp_bv);
    if ((places & xsave::compacted) == 0) {
        svm::xrstor(cpu, o.address, o.components);
        complete(event);
    }
    if (!is_valid_compacted_header(image, o.xcr0)) {
        raise(event, hw::fault::gp0);
    }
    fetch(layout->compacted_bytes(places));
    svm::read_vectors(cpu, state);
    const auto saved = word<std::uint64_t>(image, xsave::xstate_bv) & o.components;
    if ((saved & xsave::sse) != 0 && (word<std::uint32_t>(image, xsave::mxcsr) &
                                      ~word<std::uint32_t>(state, xsave::mxcsr_mask)) != 0) {
        raise(event, hw::fault::gp0);
    }
    reset_components(o.components & ~saved, *layout, state);
    const xsave_pieces pieces = layout->pieces(saved, places, status_word(image));
    for (const xsave_piece &p : pieces.all()) {
        std::memcpy(&state[p.standard], &image[p.compacted], p.bytes);
    }
    svm::write_vectors(cpu, state);
    if ((o.components & xsave::pkru) != 0) {
        svm::flush_tlb(cpu);
    }
    complete(event);
}

} // namespace rmpopt
