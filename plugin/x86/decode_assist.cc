// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/decode_assist.h"

#include "x86/decoder.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t first_dr = 0x20, first_exception = 0x40, first_insn = 0x65,
                        software_interrupt = 0x75, last_insn = 0x8e;

bool is_insn_exit(std::uint64_t code)
{
    return code < first_exception || (code >= first_insn && code <= last_insn);
}

/// Number of the general register among the operands of MOV to and from a control or debug
/// register; nothing for other instructions, such as CLTS.
std::optional<std::uint64_t> general_register(const decoded_insn &insn)
{
    if (insn.insn.mnemonic != ZYDIS_MNEMONIC_MOV) {
        return std::nullopt;
    }
    for (const ZydisDecodedOperand &o : insn.operands()) {
        const ZydisRegisterClass kind = o.type == ZYDIS_OPERAND_TYPE_REGISTER
                                            ? ZydisRegisterGetClass(o.reg.value)
                                            : ZYDIS_REGCLASS_INVALID;
        if (kind == ZYDIS_REGCLASS_GPR64 || kind == ZYDIS_REGCLASS_GPR32) {
            return static_cast<std::uint64_t>(ZydisRegisterGetId(o.reg.value));
        }
    }
    return std::nullopt;
}

} // namespace

decode_assist assist_of(std::uint64_t exit_code, std::span<const std::uint8_t> code, bool code_64)
{
    constexpr std::uint64_t is_mov = 1ull << 63;
    decoded_insn insn;
    if (!is_insn_exit(exit_code) || !decode(code, code_64, insn)) {
        return {};
    }
    decode_assist a{.length = insn.insn.length};
    if (exit_code < first_exception) {
        a.info1 = general_register(insn);
        if (a.info1.has_value() && exit_code < first_dr) {
            *a.info1 |= is_mov;
        }
    } else if (exit_code == software_interrupt && insn.insn.operand_count_visible == 1) {
        a.info1 = insn.operand[0].imm.value.u & 0xff;
    }
    return a;
}

} // namespace rmpopt
