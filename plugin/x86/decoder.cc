// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/decoder.h"

namespace rmpopt
{

namespace
{

ZydisDecoder make_decoder(ZydisMachineMode mode, ZydisStackWidth stack)
{
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, mode, stack);
    return decoder;
}

} // namespace

bool decode(std::span<const std::uint8_t> code, bool code_64, decoded_insn &out)
{
    static const ZydisDecoder for_64 =
        make_decoder(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    static const ZydisDecoder for_32 =
        make_decoder(ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(code_64 ? &for_64 : &for_32, code.data(),
                                               code.size(), &out.insn, out.operand.data()));
}

} // namespace rmpopt
