// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/tlb_insn.h"

#include <array>

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

std::optional<tlb_insn> mov_to_cr(const ZydisDecodedOperand *operands)
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
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    if (!may_drop(code)) {
        return std::nullopt;
    }
    ZydisDecoderInit(&decoder,
                     code_64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
                     code_64 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &insn, operands.data()))) {
        return std::nullopt;
    }
    switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        return mov_to_cr(operands.data());
    case ZYDIS_MNEMONIC_INVLPG:
        return tlb_insn{.what = tlb_insn::kind::invlpg, .address = form_of(insn, operands[0])};
    case ZYDIS_MNEMONIC_INVPCID:
        return tlb_insn{.what = tlb_insn::kind::invpcid,
                        .reg = number_of(operands[0]),
                        .address = form_of(insn, operands[1])};
    case ZYDIS_MNEMONIC_INVLPGA:
        return tlb_insn{.what = tlb_insn::kind::invlpga};
    default:
        return std::nullopt;
    }
}

} // namespace rmpopt
