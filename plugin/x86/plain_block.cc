// SPDX-License-Identifier: GPL-2.0-or-later
// A decoder of lengths for the common instructions of 64-bit mode (APM vol. 3, appendix A). Zydis
// would take as long for a block as there is to save; the tests compare the two. What is rare, new
// or differs between vendors has no length here, so that its block is not plain.
#include "x86/plain_block.h"

#include "x86/decoder.h"
#include "x86/insn_match.h"
#include "x86/split_store.h"
#include "x86/tlb_insn.h"

#include <array>

namespace rmpopt
{

namespace
{

/// What follows an opcode, and what it means for the block.
enum form : std::uint16_t {
    known = 1 << 0, ///< the length is
    modrm = 1 << 1,
    imm8 = 1 << 2,
    imm_z = 1 << 3, ///< 2 or 4 bytes, by the operand size
    group = 1 << 4, ///< the register field of ModRM says more
    look = 1 << 5,  ///< may be one of the plugin's instructions
    ends = 1 << 6,  ///< QEMU goes on in another block
    loads = 1 << 7,
    stores = 1 << 8,
    to_modrm = 1 << 9, ///< stores to the memory that ModRM names, if any; without it, loads
};
using opcode_map = std::array<std::uint16_t, 256>;

constexpr void set(opcode_map &map, unsigned first, unsigned last, unsigned what)
{
    for (unsigned i = first; i <= last; ++i) {
        map[i] = static_cast<std::uint16_t>(what | known);
    }
}

// Loading a segment register may set a bit in its descriptor.

constexpr opcode_map one_byte = [] {
    opcode_map m{};
    for (unsigned row = 0x00; row < 0x40; row += 8) { // ADD, OR, ADC, SBB, AND, SUB, XOR, CMP
        set(m, row, row + 1, modrm | (row == 0x38 ? 0 : to_modrm));
        set(m, row + 2, row + 3, modrm);
        set(m, row + 4, row + 4, imm8);
        set(m, row + 5, row + 5, imm_z);
    }
    set(m, 0x50, 0x57, stores); // PUSH
    set(m, 0x58, 0x5f, loads);  // POP
    set(m, 0x63, 0x63, modrm);
    set(m, 0x68, 0x68, imm_z | stores);
    set(m, 0x69, 0x69, modrm | imm_z);
    set(m, 0x6a, 0x6a, imm8 | stores);
    set(m, 0x6b, 0x6b, modrm | imm8);
    set(m, 0x6c, 0x6f, loads | stores);
    set(m, 0x70, 0x7f, ends); // Jcc
    set(m, 0x80, 0x80, modrm | imm8 | to_modrm | group);
    set(m, 0x81, 0x81, modrm | imm_z | to_modrm | group);
    set(m, 0x83, 0x83, modrm | imm8 | to_modrm | group);
    set(m, 0x84, 0x85, modrm);            // TEST
    set(m, 0x86, 0x89, modrm | to_modrm); // XCHG, MOV
    set(m, 0x8a, 0x8b, modrm);
    set(m, 0x8c, 0x8c, modrm | to_modrm);
    set(m, 0x8d, 0x8d, modrm);
    set(m, 0x8e, 0x8e, modrm | loads | stores); // MOV to a segment register
    set(m, 0x90, 0x99, 0);
    set(m, 0x9b, 0x9b, 0);
    set(m, 0x9c, 0x9c, look | stores); // PUSHF
    set(m, 0x9d, 0x9d, loads);
    set(m, 0x9e, 0x9f, 0);
    set(m, 0xa4, 0xa5, loads | stores); // MOVS
    set(m, 0xa6, 0xa7, loads);
    set(m, 0xa8, 0xa8, imm8);
    set(m, 0xa9, 0xa9, imm_z);
    set(m, 0xaa, 0xab, stores); // STOS
    set(m, 0xac, 0xaf, loads);
    set(m, 0xb0, 0xb7, imm8);
    set(m, 0xc0, 0xc1, modrm | imm8 | to_modrm);
    set(m, 0xc2, 0xc3, ends | loads); // RET
    set(m, 0xc6, 0xc6, modrm | imm8 | group | to_modrm);
    set(m, 0xc7, 0xc7, modrm | imm_z | group | to_modrm);
    set(m, 0xc9, 0xc9, loads);
    set(m, 0xcc, 0xcd, ends);                  // INT3, INT
    set(m, 0xcf, 0xcf, ends | loads | stores); // IRET
    set(m, 0xd0, 0xd3, modrm | to_modrm);
    set(m, 0xd8, 0xdf, modrm | to_modrm);
    set(m, 0xe0, 0xe3, ends); // LOOP, JRCXZ
    set(m, 0xe4, 0xe7, imm8 | loads);
    set(m, 0xe8, 0xe8, ends | stores); // CALL
    set(m, 0xe9, 0xe9, ends);
    set(m, 0xeb, 0xeb, ends);
    set(m, 0xec, 0xef, loads);
    set(m, 0xf4, 0xf4, look); // HLT
    set(m, 0xf5, 0xf5, 0);
    set(m, 0xf6, 0xf7, modrm | group | to_modrm);
    set(m, 0xf8, 0xfd, 0);
    set(m, 0xfe, 0xff, modrm | group | to_modrm);
    return m;
}();

constexpr opcode_map two_bytes = [] {
    opcode_map m{};
    set(m, 0x01, 0x01, modrm | to_modrm | look); // the RMP's instructions, SVM, SGDT and others
    set(m, 0x02, 0x03, modrm);
    set(m, 0x05, 0x05, ends); // SYSCALL
    set(m, 0x06, 0x06, 0);
    set(m, 0x07, 0x07, ends); // SYSRET
    set(m, 0x0b, 0x0b, ends); // UD2
    set(m, 0x0d, 0x0d, modrm);
    set(m, 0x10, 0x10, modrm);
    set(m, 0x11, 0x11, modrm | to_modrm);
    set(m, 0x12, 0x12, modrm);
    set(m, 0x13, 0x13, modrm | to_modrm);
    set(m, 0x14, 0x16, modrm);
    set(m, 0x17, 0x17, modrm | to_modrm);
    set(m, 0x18, 0x19, modrm);
    set(m, 0x1e, 0x1e, modrm);
    set(m, 0x1f, 0x1f, modrm | look); // NOP
    set(m, 0x28, 0x28, modrm);
    set(m, 0x29, 0x29, modrm | to_modrm);
    set(m, 0x2a, 0x2a, modrm);
    set(m, 0x2b, 0x2b, modrm | to_modrm);
    set(m, 0x2c, 0x2f, modrm);
    set(m, 0x30, 0x30, look); // WRMSR
    set(m, 0x31, 0x31, 0);
    set(m, 0x32, 0x32, look); // RDMSR
    set(m, 0x33, 0x33, 0);
    set(m, 0x40, 0x6f, modrm);
    set(m, 0x70, 0x73, modrm | imm8);
    set(m, 0x74, 0x76, modrm);
    set(m, 0x77, 0x77, 0);
    set(m, 0x7e, 0x7f, modrm | to_modrm);
    set(m, 0x80, 0x8f, ends);                    // Jcc
    set(m, 0x90, 0x9f, modrm | to_modrm | look); // SETcc
    set(m, 0xa0, 0xa0, stores);
    set(m, 0xa1, 0xa1, loads | stores);
    set(m, 0xa2, 0xa2, look); // CPUID
    set(m, 0xa3, 0xa3, modrm);
    set(m, 0xa4, 0xa4, modrm | imm8 | to_modrm);
    set(m, 0xa5, 0xa5, modrm | to_modrm);
    set(m, 0xa8, 0xa8, stores);
    set(m, 0xa9, 0xa9, loads | stores);
    set(m, 0xab, 0xab, modrm | to_modrm);
    set(m, 0xac, 0xac, modrm | imm8 | to_modrm);
    set(m, 0xad, 0xad, modrm | to_modrm);
    set(m, 0xae, 0xae, modrm | to_modrm | look); // XRSTOR
    set(m, 0xaf, 0xaf, modrm);
    set(m, 0xb0, 0xb1, modrm | to_modrm);
    set(m, 0xb3, 0xb3, modrm | to_modrm);
    set(m, 0xb6, 0xb8, modrm);
    set(m, 0xba, 0xba, modrm | imm8 | to_modrm);
    set(m, 0xbb, 0xbb, modrm | to_modrm);
    set(m, 0xbc, 0xbf, modrm);
    set(m, 0xc0, 0xc1, modrm | to_modrm);
    set(m, 0xc2, 0xc2, modrm | imm8);
    set(m, 0xc3, 0xc3, modrm | to_modrm);
    set(m, 0xc4, 0xc6, modrm | imm8);
    set(m, 0xc7, 0xc7, modrm | to_modrm | look); // XSAVEC
    set(m, 0xc8, 0xcf, 0); // BSWAP
    set(m, 0xd1, 0xd5, modrm);
    set(m, 0xd6, 0xd6, modrm | to_modrm);
    set(m, 0xd7, 0xe6, modrm);
    set(m, 0xe7, 0xe7, modrm | to_modrm);
    set(m, 0xe8, 0xf6, modrm);
    set(m, 0xf7, 0xf7, modrm | to_modrm | stores); // MASKMOVQ
    set(m, 0xf8, 0xfe, modrm);
    return m;
}();

constexpr std::uint8_t escape = 0x0f;
constexpr std::uint8_t rex_w = 0x48; ///< with any other bits of REX

constexpr bool is_legacy_prefix(std::uint8_t b)
{
    return is_size_or_segment_prefix(b) || is_repeat_prefix(b) || b == prefix::lock;
}

/// Walks through the bytes of an instruction.
class length_decoder
{
  public:
    explicit length_decoder(std::span<const std::uint8_t> code) : code_(code) {}

    /// False when the length is unknown or the instruction reaches beyond the code.
    bool decode()
    {
        skip_prefixes();
        const std::uint8_t opcode = next();
        if (opcode == escape) {
            form_ = two_bytes[next()];
        } else if (is_mov_immediate(opcode)) { // the only immediate of 8 bytes
            form_ = known;
            at_ += rex_w_ ? 8 : z();
        } else {
            form_ = one_byte[opcode];
        }
        if ((form_ & modrm) != 0) {
            skip_modrm(opcode);
        }
        at_ += (form_ & imm8) != 0 ? 1 : 0;
        at_ += (form_ & imm_z) != 0 ? z() : 0;
        return has(known) && at_ <= code_.size() && at_ <= longest_instruction;
    }

    std::size_t size() const { return at_; } ///< but of branches
    bool has(form what) const { return (form_ & what) != 0; }
    bool accesses(watched_accesses watched) const
    {
        const bool store = has(stores) || (memory_ && has(to_modrm));
        return watched == watched_accesses::stores ? store
               : watched == watched_accesses::all  ? store || has(loads) || memory_
                                                   : false;
    }

  private:
    /// 0 behind the end, where at_ tells that it is.
    std::uint8_t next()
    {
        const std::size_t i = at_++;
        return i < code_.size() ? code_[i] : std::uint8_t{0};
    }

    static bool is_mov_immediate(std::uint8_t opcode) { return (opcode & 0xf8) == 0xb8; }

    std::size_t z() const { return short_ && !rex_w_ ? 2 : 4; }

    void skip_prefixes()
    {
        while (at_ < code_.size() && is_legacy_prefix(code_[at_])) {
            short_ |= code_[at_++] == prefix::operand_size;
        }
        if (at_ < code_.size() && is_rex_prefix(code_[at_])) {
            rex_w_ = (code_[at_++] & rex_w) == rex_w;
        }
    }

    void skip_modrm(std::uint8_t opcode)
    {
        const std::uint8_t m = next();
        const unsigned mod = m >> 6, reg = m >> 3 & 7, rm = m & 7;
        memory_ = mod != 3;
        if (memory_) {
            const bool no_base = rm == 4 ? (next() & 7) == 5 : rm == 5;
            at_ += mod == 1 ? 1 : mod == 2 || no_base ? 4 : 0;
        }
        if (has(group)) {
            choose(opcode, reg);
        }
    }

    void choose(std::uint8_t opcode, unsigned reg)
    {
        switch (opcode) {
        case 0x80:
        case 0x81:
        case 0x83:
            drop_if(reg == 7, to_modrm); // CMP
            break;
        case 0xc6:
        case 0xc7:
            drop_if(reg != 0, known); // MOV
            break;
        case 0xf6:
        case 0xf7:
            form_ |= reg >= 2 ? 0 : opcode == 0xf6 ? imm8 : imm_z; // TEST
            drop_if(reg != 2 && reg != 3, to_modrm);               // NOT, NEG
            break;
        case 0xfe:
            drop_if(reg > 1, known); // INC, DEC
            break;
        default: // INC, DEC, CALL, CALL far, JMP, JMP far, PUSH
            form_ |= reg >= 2 && reg <= 5 ? ends : 0;
            form_ |= reg == 2 || reg == 3 || reg == 6 ? stores : 0;
            drop_if(reg > 1, to_modrm);
            drop_if(reg == 7, known);
        }
    }

    void drop_if(bool condition, form what)
    {
        form_ &= static_cast<std::uint16_t>(condition ? ~what : ~0);
    }

    std::span<const std::uint8_t> code_;
    std::size_t at_ = 0;
    std::uint16_t form_ = 0;
    bool short_ = false, rex_w_ = false, memory_ = false;
};

bool concerns_plugin(std::span<const std::uint8_t> insn, const block_start &block)
{
    return match_insn(insn) != emulated_insn::none ||
           (block.tries_stores && find_split_store(insn, true).has_value()) ||
           (block.watched == watched_accesses::all && find_tlb_insn(insn, true).has_value());
}

} // namespace

bool is_plain_block(const block_start &block)
{
    if (!block.code_64) {
        return false;
    }
    std::span<const std::uint8_t> rest = block.code;
    for (;;) {
        length_decoder insn(rest);
        if (!insn.decode() || insn.accesses(block.watched)) {
            return false;
        }
        if (insn.has(ends)) {
            return true;
        }
        if (insn.has(look) && concerns_plugin(rest.first(insn.size()), block)) {
            return false;
        }
        rest = rest.subspan(insn.size());
    }
}

bool may_follow_string_or_guest(std::span<const std::uint8_t> page, std::size_t offset)
{
    if (offset == 0) {
        return true;
    }
    switch (page[offset - 1]) { // the last byte
    case 0x6c:
    case 0x6d: // INS
    case 0xa4:
    case 0xa5: // MOVS
    case 0xaa:
    case 0xab: // STOS
    case 0xd8: // VMRUN
        return true;
    default:
        return false;
    }
}

} // namespace rmpopt
