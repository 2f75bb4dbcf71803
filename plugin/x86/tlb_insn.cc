// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/tlb_insn.h"

#include "x86/decoder.h"

namespace rmpopt
{

namespace
{

/// A look at the bytes that spares most instructions the decoder.
bool may_drop(std::span<const std::uint8_t> code)
{
    constexpr std::uint8_t escape = 0x0f, group7 = 0x01, mov_to_cr = 0x22, three_bytes = 0x38;
    for (std::size_t i = 0; i + 1 < code.size(); ++i) {
        if (code[i] == escape) {
            return code[i + 1] == group7 || code[i + 1] == mov_to_cr || code[i + 1] == three_bytes;
        }
    }
    return false;
}

std::uint8_t number_of(const ZydisDecodedOperand &op)
{
    return static_cast<std::uint8_t>(ZydisRegisterGetId(op.reg.value));
}

std::optional<tlb_insn> mov_to_cr(std::span<const ZydisDecodedOperand> operands)
{
    if (operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
        operands[1].type != ZYDIS_OPERAND_TYPE_REGISTER) {
        return std::nullopt;
    }
    tlb_insn out{.reg = number_of(operands[1])};
    switch (operands[0].reg.value) {
    case ZYDIS_REGISTER_CR0:
        out.what = tlb_insn::kind::mov_cr0;
        return out;
    case ZYDIS_REGISTER_CR3:
        out.what = tlb_insn::kind::mov_cr3;
        return out;
    case ZYDIS_REGISTER_CR4:
        out.what = tlb_insn::kind::mov_cr4;
        return out;
    default:
        return std::nullopt;
    }
}

} // namespace

std::optional<tlb_insn> find_tlb_insn(std::span<const std::uint8_t> code, bool code_64)
{
    decoded_insn d;
    if (!may_drop(code) || !decode(code, code_64, d)) {
        return std::nullopt;
    }
    const auto &operands = d.operand;
    switch (d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        return mov_to_cr(operands);
    case ZYDIS_MNEMONIC_INVLPG:
        return tlb_insn{.what = tlb_insn::kind::invlpg, .address = form_of(d.insn, operands[0])};
    case ZYDIS_MNEMONIC_INVPCID:
        return tlb_insn{.what = tlb_insn::kind::invpcid,
                        .reg = number_of(operands[0]),
                        .address = form_of(d.insn, operands[1])};
    case ZYDIS_MNEMONIC_INVLPGA:
        return tlb_insn{.what = tlb_insn::kind::invlpga};
    default:
        return std::nullopt;
    }
}

} // namespace rmpopt
