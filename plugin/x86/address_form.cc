// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/address_form.h"

namespace rmpopt
{

namespace
{

bool is_instruction_pointer(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP;
}

std::uint8_t register_number(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_NONE || is_instruction_pointer(r)
               ? address_form::no_register
               : static_cast<std::uint8_t>(ZydisRegisterGetId(r));
}

} // namespace

address_form form_of(const ZydisDecodedInstruction &insn, const ZydisDecodedOperand &op)
{
    address_form f;
    f.base = register_number(op.mem.base);
    f.index = register_number(op.mem.index);
    f.scale = op.mem.scale;
    f.address_bytes = static_cast<std::uint8_t>(insn.address_width / 8);
    f.rip_relative = is_instruction_pointer(op.mem.base);
    f.displacement = op.mem.disp.value + (f.rip_relative ? insn.length : 0);
    f.segment = op.mem.segment == ZYDIS_REGISTER_FS   ? address_form::segment::fs
                : op.mem.segment == ZYDIS_REGISTER_GS ? address_form::segment::gs
                                                      : address_form::segment::none;
    return f;
}

} // namespace rmpopt
