// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/store_address.h"

#include "x86/decoder.h"

namespace rmpopt
{

namespace
{

ZydisRegisterContext context_of(const address_registers &regs, const ZydisDecodedInstruction &insn)
{
    ZydisRegisterContext c{};
    for (unsigned i = 0; i < 16; ++i) {
        c.values[ZYDIS_REGISTER_RAX + i] = regs.gpr[i];
        c.values[ZYDIS_REGISTER_EAX + i] = static_cast<std::uint32_t>(regs.gpr[i]);
    }
    c.values[ZYDIS_REGISTER_RIP] = regs.rip + insn.length;
    return c;
}

std::uint64_t segment_base(const address_registers &regs, ZydisRegister segment)
{
    return segment == ZYDIS_REGISTER_FS   ? regs.fs_base
           : segment == ZYDIS_REGISTER_GS ? regs.gs_base
                                          : 0;
}

bool is_stack_push(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand &op)
{
    return op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
           (op.mem.base == ZYDIS_REGISTER_RSP || op.mem.base == ZYDIS_REGISTER_ESP) &&
           (insn.meta.category == ZYDIS_CATEGORY_PUSH ||
            insn.meta.category == ZYDIS_CATEGORY_CALL || insn.mnemonic == ZYDIS_MNEMONIC_ENTER);
}

/// BTS and its like with a register operand reach beyond the operand: the bit number is signed.
std::int64_t bit_string_offset(const ZydisDecodedInstruction &insn,
                               const ZydisDecodedOperand *operands,
                               const ZydisRegisterContext &context)
{
    const bool bit_string = insn.mnemonic == ZYDIS_MNEMONIC_BTS ||
                            insn.mnemonic == ZYDIS_MNEMONIC_BTR ||
                            insn.mnemonic == ZYDIS_MNEMONIC_BTC;
    if (!bit_string || operands[1].type != ZYDIS_OPERAND_TYPE_REGISTER) {
        return 0;
    }
    const ZydisRegister full =
        ZydisRegisterGetLargestEnclosing(insn.machine_mode, operands[1].reg.value);
    const std::uint64_t value = context.values[full];
    const unsigned bits = operands[0].size;
    const std::int64_t bit = bits == 64   ? static_cast<std::int64_t>(value)
                             : bits == 32 ? static_cast<std::int32_t>(value)
                                          : static_cast<std::int16_t>(value);
    return (bit >> (bits == 64 ? 6 : bits == 32 ? 5 : 4)) * (bits / 8);
}

/// POP to memory finds its address with the stack pointer that it leaves behind.
bool is_pop_by_stack_pointer(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand &op)
{
    return insn.mnemonic == ZYDIS_MNEMONIC_POP &&
           op.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
           (op.mem.base == ZYDIS_REGISTER_RSP || op.mem.base == ZYDIS_REGISTER_ESP);
}

/// An XSAVE area has a size that only the CPU knows; Zydis tells the smallest. A page is more than
/// the states that QEMU has.
std::uint64_t bytes_of(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand &op)
{
    constexpr std::uint64_t largest_save_area = 4096;
    const bool save_area = insn.meta.category == ZYDIS_CATEGORY_XSAVE ||
                           insn.meta.category == ZYDIS_CATEGORY_XSAVEOPT || op.size == 0;
    return save_area ? largest_save_area : op.size / 8;
}

store_range range_of(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand *operands,
                     const ZydisDecodedOperand &op, const address_registers &regs)
{
    const ZydisRegisterContext context = context_of(regs, insn);
    ZyanU64 address = 0;
    ZydisCalcAbsoluteAddressEx(&insn, &op, regs.rip, &context, &address);
    address += segment_base(regs, op.mem.segment);
    const std::uint64_t bytes = bytes_of(insn, op);
    if (is_stack_push(insn, op)) {
        address = regs.gpr[4] - bytes;
    } else if (is_pop_by_stack_pointer(insn, op)) {
        address += bytes;
    }
    address += static_cast<std::uint64_t>(bit_string_offset(insn, operands, context));
    return {address, bytes, (op.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0};
}

} // namespace

std::vector<store_range> written_ranges(std::span<const std::uint8_t> code,
                                        const address_registers &regs)
{
    std::vector<store_range> out;
    decoded_insn d;
    if (!decode(code, regs.long_mode, d)) {
        return out;
    }
    for (const ZydisDecodedOperand &op : d.operands()) {
        if (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.type == ZYDIS_MEMOP_TYPE_MEM &&
            (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) {
            out.push_back(range_of(d.insn, d.operand.data(), op, regs));
        }
    }
    return out;
}

} // namespace rmpopt
