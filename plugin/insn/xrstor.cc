// SPDX-License-Identifier: GPL-2.0-or-later
// XRSTOR (0F AE /5) of an image in either form (APM vol. 4, XRSTOR). QEMU's own knows the standard
// form only, and an emulation that has looked at the image cannot leave the instruction to it.
#include "insn/xsave.h"
#include "qemu/svm.h"
#include "qemu/tlb_fill.h"

#include <cstring>

namespace rmpopt
{

namespace
{

void fetch(const vcpu &cpu, std::uint64_t address, std::span<std::byte> to)
{
    tlb_fill::try_access(cpu, address, to.size(), translation::access::read, 0);
    tlb_fill::read(cpu, address, translation::access::read, to);
}

/// In the standard form MXCSR is loaded for SSE and for AVX, and whatever XSTATE_BV says.
bool loads_mxcsr(bool compacted, std::uint64_t asked, std::uint64_t saved)
{
    return compacted ? (saved & xsave::sse) != 0 : (asked & (xsave::sse | xsave::avx)) != 0;
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
    fetch(cpu, o.address, std::span(image).first(xsave::header_end));
    if (!is_valid_header(image, o.xcr0)) {
        raise(event, hw::fault::gp0);
    }
    const bool compacted = is_compacted(image);
    const auto saved = xsave::load<std::uint64_t>(image, xsave::xstate_bv) & o.components;
    const auto places = xsave::load<std::uint64_t>(image, xsave::xcomp_bv);
    const xsave_pieces pieces = compacted
                                    ? layout->compacted_pieces(saved, places, status_word(image))
                                    : layout->standard_pieces(saved, status_word(image));
    for (const xsave_piece &p : pieces.all()) {
        if (p.in_memory >= xsave::header_end) {
            fetch(cpu, o.address + p.in_memory, std::span(image).subspan(p.in_memory, p.bytes));
        }
    }
    svm::read_vectors(cpu, state);
    const bool mxcsr = loads_mxcsr(compacted, o.components, saved);
    const auto new_mxcsr = xsave::load<std::uint32_t>(image, xsave::mxcsr);
    if (mxcsr && (new_mxcsr & ~xsave::load<std::uint32_t>(state, xsave::mxcsr_mask)) != 0) {
        raise(event, hw::fault::gp0);
    }
    reset_components(o.components & ~saved, *layout, state);
    for (const xsave_piece &p : pieces.all()) {
        std::memcpy(&state[p.in_state], &image[p.in_memory], p.bytes);
    }
    if (mxcsr) {
        std::memcpy(&state[xsave::mxcsr], &new_mxcsr, sizeof new_mxcsr);
    }
    const std::uint32_t old_pkru = svm::pkru(cpu);
    svm::write_vectors(cpu, state);
    if (svm::pkru(cpu) != old_pkru) {
        svm::flush_tlb(cpu);
    }
    complete(event);
}

} // namespace rmpopt
