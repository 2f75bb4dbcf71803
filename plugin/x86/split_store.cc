// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/split_store.h"

#include "x86/decoder.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

/// A look at the bytes that spares most instructions the decoder.
bool may_be_split(std::span<const std::uint8_t> code)
{
    constexpr std::uint8_t vex2 = 0xc5, vex3 = 0xc4, enter = 0xc8, pusha = 0x60, pushf = 0x9c,
                           escape = 0x0f, group7 = 0x01, setcc = 0x90;
    for (std::size_t i = 0; i < code.size(); ++i) {
        switch (code[i]) {
        case vex2:
        case vex3:
        case enter:
        case pusha:
        case pushf:
            return true;
        case escape:
            return i + 1 < code.size() && (code[i + 1] == group7 || (code[i + 1] & 0xf0) == setcc);
        default:
            // REP has no meaning for the instructions sought.
            if (!is_size_or_segment_prefix(code[i]) && !is_repeat_prefix(code[i]) &&
                !is_rex_prefix(code[i])) {
                return false;
            }
        }
    }
    return false;
}

void add_part(split_store &s, int offset, unsigned bytes)
{
    s.parts[s.count++] = {static_cast<std::int16_t>(offset), static_cast<std::uint8_t>(bytes)};
    s.low = std::min(s.low, static_cast<std::int16_t>(offset));
    s.high = std::max(s.high, static_cast<std::int16_t>(offset + static_cast<int>(bytes)));
}

/// `count` pushes of `bytes` each.
split_store pushes(const ZydisDecodedInstruction &insn, unsigned count, unsigned bytes)
{
    split_store s;
    s.address.base = 4;
    s.address.address_bytes = static_cast<std::uint8_t>(insn.stack_width / 8);
    for (unsigned i = 1; i <= count; ++i) {
        add_part(s, -static_cast<int>(i * bytes), bytes);
    }
    return s;
}

/// PUSH of RBP, of as many frame pointers as the level says, the last of them the new one. With
/// level 0 there is but the one push.
std::optional<split_store> enter(const decoded_insn &d)
{
    const auto level = static_cast<unsigned>(d.operand[1].imm.value.u % 32);
    if (level == 0) {
        return std::nullopt;
    }
    return pushes(d.insn, level + 1, d.insn.operand_width / 8);
}

split_store vector_store(const decoded_insn &d)
{
    constexpr unsigned part = 16;
    split_store s{.address = form_of(d.insn, d.operand[0])};
    add_part(s, 0, part);
    add_part(s, part, part);
    return s;
}

split_store descriptor_table(const decoded_insn &d)
{
    constexpr unsigned limit = 2;
    split_store s{.address = form_of(d.insn, d.operand[0])};
    add_part(s, 0, limit);
    add_part(s, limit, d.operand[0].size / 8u - limit);
    return s;
}

split_store set_byte(const decoded_insn &d)
{
    split_store s{.address = form_of(d.insn, d.operand[0])};
    add_part(s, 0, 1);
    s.spoils_flags = true;
    return s;
}

bool is_vector_store(const decoded_insn &d)
{
    const ZydisDecodedOperand &to = d.operand[0];
    const bool masked =
        d.insn.meta.category == ZYDIS_CATEGORY_AVX || d.insn.meta.category == ZYDIS_CATEGORY_AVX2
            ? d.insn.operand_count_visible > 2
            : false;
    return to.type == ZYDIS_OPERAND_TYPE_MEMORY && to.size == 256 && !masked &&
           (to.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

} // namespace

std::optional<split_store> find_split_store(std::span<const std::uint8_t> code, bool code_64)
{
    if (!may_be_split(code)) {
        return std::nullopt;
    }
    decoded_insn d;
    if (!decode(code, code_64, d)) {
        return std::nullopt;
    }
    if (d.insn.meta.category == ZYDIS_CATEGORY_SETCC) {
        return d.operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? std::optional(set_byte(d))
                                                              : std::nullopt;
    }
    switch (d.insn.mnemonic) {
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
        return descriptor_table(d);
    case ZYDIS_MNEMONIC_ENTER:
        return enter(d);
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
        return pushes(d.insn, 8, d.insn.operand_width / 8);
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ: {
        split_store s = pushes(d.insn, 1, d.insn.operand_width / 8);
        s.spoils_flags = true;
        return s;
    }
    default:
        return is_vector_store(d) ? std::optional(vector_store(d)) : std::nullopt;
    }
}

} // namespace rmpopt
