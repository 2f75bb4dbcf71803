// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/xsave.h"

#include "base/log.h"
#include "hw-model/base/x86_bits.h"
#include "qemu/svm.h"
#include "qemu/tlb_fill.h"
#include "x86/decoder.h"

namespace rmpopt
{

namespace
{

constexpr std::uint32_t xsave_leaf = 0xd, xsavec_subleaf = 1, xsavec = 1u << 1, aligned = 1u << 1;
constexpr std::uint64_t known_components = xsave::x87 | xsave::sse | xsave::avx | xsave::pkru;

const xsave_layout *find_layout(const vcpu &cpu)
{
    const cpuid_result all = cpu.native_cpuid(xsave_leaf, 0);
    const std::uint64_t offered = all.eax | std::uint64_t{all.edx} << 32;
    if (offered == 0 || (offered & ~known_components) != 0 ||
        (cpu.native_cpuid(xsave_leaf, xsavec_subleaf).eax & xsavec) != 0) {
        return nullptr;
    }
    std::array<xsave_component, 63> components{};
    for (unsigned bit = 2; bit < components.size(); ++bit) {
        if ((offered >> bit & 1) != 0) {
            const cpuid_result c = cpu.native_cpuid(xsave_leaf, bit);
            components[bit] = {.offset = c.ebx, .bytes = c.eax, .aligned = (c.ecx & aligned) != 0};
        }
    }
    return new xsave_layout(components); // lives on
}

/// The instruction that is being executed, from memory.
decoded_insn decode_current(const vcpu &cpu)
{
    const std::uint64_t rip = cpu.linear_rip();
    std::array<std::byte, longest_instruction> bytes{};
    const auto in_page = std::min<std::size_t>(bytes.size(), hw::page_4k - rip % hw::page_4k);
    decoded_insn d;
    for (const std::size_t n : {in_page, bytes.size()}) {
        tlb_fill::try_access(cpu, rip, n, translation::access::fetch, 0);
        tlb_fill::read(cpu, rip, translation::access::fetch, std::span(bytes).first(n));
        const std::span code(reinterpret_cast<const std::uint8_t *>(bytes.data()), n);
        if (decode(code, cpu.code_64(), d)) {
            return d;
        }
    }
    refuse("QEMU executes an XSAVEC or XRSTOR that is none; please report this");
}

} // namespace

const xsave_layout *emulated_xsavec(const vcpu &cpu)
{
    static const xsave_layout *const layout = find_layout(cpu);
    return layout;
}

bool tells_of_xsavec(std::uint32_t leaf, std::uint32_t subleaf)
{
    return leaf == xsave_leaf && subleaf == xsavec_subleaf;
}

void add_xsavec(const vcpu &cpu, hw::cpuid_regs &regs)
{
    if (const xsave_layout *layout = emulated_xsavec(cpu)) {
        regs.eax |= xsavec;
        regs.ebx = static_cast<std::uint32_t>(
            layout->compacted_bytes(svm::xcr0(cpu).value_or(xsave::x87)));
    }
}

xsave_operands operands_of_xsave(insn_event &event)
{
    const vcpu &cpu = event.cpu;
    const auto xcr0 = svm::xcr0(cpu);
    if (!xcr0.has_value()) {
        raise(event, hw::fault::ud);
    }
    if ((cpu.paging().cr0 & cr0_ts) != 0) {
        cpu.raise(vector::nm, 0, event.ra);
    }
    const decoded_insn d = decode_current(cpu);
    event.length = d.insn.length;
    const std::uint64_t asked = static_cast<std::uint32_t>(event.reg(rax)) | event.reg(rdx) << 32;
    const xsave_operands operands{.address =
                                      address_of(form_of(d.insn, d.operand[0]), cpu, cpu.rip()),
                                  .components = asked & *xcr0,
                                  .xcr0 = *xcr0};
    if (operands.address % xsave::alignment != 0) {
        raise(event, hw::fault::gp0);
    }
    return operands;
}

} // namespace rmpopt
