// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/host_store.h"

#include "x86/decoder.h"

#include <algorithm>
#include <array>
#include <cpuid.h>
#include <cstring>

namespace rmpopt
{

namespace
{

constexpr std::uintptr_t page = 4096;
constexpr greg_t direction_flag = 1 << 10;

/// Registers of the signal context in encoding order.
constexpr std::array<int, 16> gpr_slots{REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                        REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                        REG_R12, REG_R13, REG_R14, REG_R15};

/// Instructions that do nothing but copy their second operand to the first.
bool is_move(ZydisMnemonic m)
{
    static constexpr std::array moves{
        ZYDIS_MNEMONIC_MOV,       ZYDIS_MNEMONIC_MOVNTI,    ZYDIS_MNEMONIC_MOVD,
        ZYDIS_MNEMONIC_MOVQ,      ZYDIS_MNEMONIC_MOVUPS,    ZYDIS_MNEMONIC_MOVAPS,
        ZYDIS_MNEMONIC_MOVUPD,    ZYDIS_MNEMONIC_MOVAPD,    ZYDIS_MNEMONIC_MOVDQU,
        ZYDIS_MNEMONIC_MOVDQA,    ZYDIS_MNEMONIC_MOVNTDQ,   ZYDIS_MNEMONIC_MOVNTPS,
        ZYDIS_MNEMONIC_VMOVD,     ZYDIS_MNEMONIC_VMOVQ,     ZYDIS_MNEMONIC_VMOVUPS,
        ZYDIS_MNEMONIC_VMOVAPS,   ZYDIS_MNEMONIC_VMOVUPD,   ZYDIS_MNEMONIC_VMOVAPD,
        ZYDIS_MNEMONIC_VMOVDQU,   ZYDIS_MNEMONIC_VMOVDQA,   ZYDIS_MNEMONIC_VMOVNTDQ,
        ZYDIS_MNEMONIC_VMOVNTPS,  ZYDIS_MNEMONIC_VMOVDQU8,  ZYDIS_MNEMONIC_VMOVDQU16,
        ZYDIS_MNEMONIC_VMOVDQU32, ZYDIS_MNEMONIC_VMOVDQU64, ZYDIS_MNEMONIC_VMOVDQA32,
        ZYDIS_MNEMONIC_VMOVDQA64,
    };
    return std::ranges::find(moves, m) != moves.end();
}

std::uint64_t gpr(const ucontext_t &c, unsigned number)
{
    return static_cast<std::uint64_t>(c.uc_mcontext.gregs[gpr_slots[number]]);
}

/// A component of the XSAVE area that the kernel left on the stack; zero when it holds no state.
void read_component(const ucontext_t &c, unsigned component, std::size_t offset,
                    std::span<std::byte> to)
{
    constexpr std::size_t xstate_bv = 512;
    const auto *area = reinterpret_cast<const std::byte *>(c.uc_mcontext.fpregs);
    std::uint64_t present = 0;
    std::memcpy(&present, area + xstate_bv, sizeof present);
    unsigned size = 0, start = 0, ecx = 0, edx = 0;
    std::ranges::fill(to, std::byte{0});
    if ((present >> component & 1) != 0 &&
        __get_cpuid_count(0xd, component, &size, &start, &ecx, &edx) != 0 &&
        offset + to.size() <= size) {
        std::memcpy(to.data(), area + start + offset, to.size());
    }
}

/// 64 bytes of vector register `number`.
std::array<std::byte, 64> vector_register(const ucontext_t &c, unsigned number)
{
    constexpr unsigned ymm_high = 2, zmm_high = 6, zmm_upper_half = 7;
    std::array<std::byte, 64> v{};
    const std::span all(v);
    if (number >= 16) {
        read_component(c, zmm_upper_half, 64ull * (number - 16), all);
        return v;
    }
    std::memcpy(v.data(), &c.uc_mcontext.fpregs->_xmm[number], 16);
    if (__builtin_cpu_supports("avx") != 0) {
        read_component(c, ymm_high, 16ull * number, all.subspan(16, 16));
    }
    if (__builtin_cpu_supports("avx512f") != 0) {
        read_component(c, zmm_high, 32ull * number, all.subspan(32, 32));
    }
    return v;
}

/// The bytes that `source` holds; empty when it is of a kind that moves do not have.
std::span<const std::byte> value_of(const ucontext_t &c, const ZydisDecodedOperand &source,
                                    std::size_t bytes, std::array<std::byte, 64> &buffer)
{
    std::uint64_t word = 0;
    if (source.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        word = source.imm.value.u;
        std::memcpy(buffer.data(), &word, sizeof word);
        return std::span(buffer).first(bytes);
    }
    if (source.type != ZYDIS_OPERAND_TYPE_REGISTER || bytes > buffer.size()) {
        return {};
    }
    const ZydisRegister r = source.reg.value;
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: {
        const auto whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
        const bool high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
        word = gpr(c, static_cast<unsigned>(whole - ZYDIS_REGISTER_RAX)) >> (high ? 8 : 0);
        break;
    }
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
    case ZYDIS_REGCLASS_ZMM:
        buffer = vector_register(c, static_cast<unsigned>(ZydisRegisterGetId(r)));
        return std::span(buffer).first(bytes);
    default:
        return {};
    }
    std::memcpy(buffer.data(), &word, sizeof word);
    return std::span(buffer).first(bytes);
}

void send(std::uintptr_t address, std::span<const std::byte> bytes, store_sink sink)
{
    while (!bytes.empty()) {
        const std::size_t n = std::min<std::size_t>(bytes.size(), page - address % page);
        sink(address, bytes.first(n));
        address += n;
        bytes = bytes.subspan(n);
    }
}

std::uintptr_t address_of(const ucontext_t &c, const decoded_insn &d, const ZydisDecodedOperand &op)
{
    ZydisRegisterContext registers{};
    for (unsigned i = 0; i < gpr_slots.size(); ++i) {
        registers.values[ZYDIS_REGISTER_RAX + i] = gpr(c, i);
        registers.values[ZYDIS_REGISTER_EAX + i] = static_cast<std::uint32_t>(gpr(c, i));
    }
    ZyanU64 address = 0;
    ZydisCalcAbsoluteAddressEx(&d.insn, &op, static_cast<ZyanU64>(c.uc_mcontext.gregs[REG_RIP]),
                               &registers, &address);
    return address;
}

/// The operand that a move copies. With AVX-512 the mask register comes first.
const ZydisDecodedOperand &source_of(const decoded_insn &d)
{
    const bool has_mask = d.operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                          ZydisRegisterGetClass(d.operand[1].reg.value) == ZYDIS_REGCLASS_MASK;
    return d.operand[has_mask ? 2 : 1];
}

/// FS and GS have bases that the signal context does not tell.
bool has_known_segment(const ZydisDecodedOperand &op)
{
    return op.type != ZYDIS_OPERAND_TYPE_MEMORY ||
           (op.mem.segment != ZYDIS_REGISTER_FS && op.mem.segment != ZYDIS_REGISTER_GS);
}

/// AVX-512: which elements are written; all of them without a mask.
std::uint64_t mask_of(const ucontext_t &c, const decoded_insn &d)
{
    constexpr unsigned opmask = 5; // component of the XSAVE area: k0 to k7
    const ZydisRegister k = d.insn.avx.mask.reg;
    if (d.insn.avx.mask.mode != ZYDIS_MASK_MODE_MERGING) {
        return ~std::uint64_t{0};
    }
    std::array<std::byte, 8> value{};
    read_component(c, opmask, 8ull * static_cast<unsigned>(ZydisRegisterGetId(k)), value);
    std::uint64_t mask = 0;
    std::memcpy(&mask, value.data(), sizeof mask);
    return mask;
}

bool step_over_move(ucontext_t &c, const decoded_insn &d, store_sink sink)
{
    const ZydisDecodedOperand &to = d.operand[0];
    if (!is_move(d.insn.mnemonic) || to.type != ZYDIS_OPERAND_TYPE_MEMORY ||
        !has_known_segment(to)) {
        return false;
    }
    std::array<std::byte, 64> buffer{};
    const auto bytes = value_of(c, source_of(d), to.size / 8, buffer);
    if (bytes.empty()) {
        return false;
    }
    const std::uintptr_t address = address_of(c, d, to);
    const std::uint64_t mask = mask_of(c, d);
    if (mask == ~std::uint64_t{0}) {
        send(address, bytes, sink);
        return true;
    }
    const std::size_t element = to.element_size / 8;
    for (std::size_t at = 0; at < bytes.size(); at += element) {
        if ((mask >> (at / element) & 1) != 0) {
            send(address + at, bytes.subspan(at, element), sink);
        }
    }
    return true;
}

/// MOVS and STOS, with REP all that is left of them.
bool step_over_string(ucontext_t &c, const decoded_insn &d, store_sink sink)
{
    auto &regs = c.uc_mcontext.gregs;
    const bool moves =
        d.insn.meta.category == ZYDIS_CATEGORY_STRINGOP &&
        (d.insn.mnemonic == ZYDIS_MNEMONIC_MOVSB || d.insn.mnemonic == ZYDIS_MNEMONIC_MOVSW ||
         (d.insn.mnemonic == ZYDIS_MNEMONIC_MOVSD && d.insn.opcode == 0xa5) ||
         d.insn.mnemonic == ZYDIS_MNEMONIC_MOVSQ);
    const bool stores = d.insn.meta.category == ZYDIS_CATEGORY_STRINGOP &&
                        (d.insn.opcode == 0xaa || d.insn.opcode == 0xab);
    if ((!moves && !stores) || (regs[REG_EFL] & direction_flag) != 0 ||
        d.insn.address_width != 64 || (moves && !has_known_segment(d.operand[1]))) {
        return false;
    }
    const std::size_t size = d.operand[0].size / 8;
    // With these instructions REPNE does what REP does.
    const bool repeat = (d.insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNZ)) != 0;
    const auto count = repeat ? static_cast<std::uint64_t>(regs[REG_RCX]) : 1;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::array<std::byte, 8> value{};
        if (moves) {
            std::memcpy(value.data(), reinterpret_cast<const void *>(regs[REG_RSI]), size);
            regs[REG_RSI] += static_cast<greg_t>(size);
        } else {
            std::memcpy(value.data(), &regs[REG_RAX], size);
        }
        send(static_cast<std::uintptr_t>(regs[REG_RDI]), std::span(value).first(size), sink);
        regs[REG_RDI] += static_cast<greg_t>(size);
    }
    if (repeat) {
        regs[REG_RCX] = 0;
    }
    return true;
}

} // namespace

bool step_over_store(ucontext_t &interrupted, store_sink sink)
{
    auto &regs = interrupted.uc_mcontext.gregs;
    decoded_insn d;
    const auto *code = reinterpret_cast<const std::uint8_t *>(regs[REG_RIP]);
    if (!decode({code, longest_instruction}, true, d)) {
        return false;
    }
    if (!step_over_move(interrupted, d, sink) && !step_over_string(interrupted, d, sink)) {
        return false;
    }
    regs[REG_RIP] += d.insn.length;
    return true;
}

} // namespace rmpopt
