// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmsa.h"

#include <cstring>

namespace rmpopt::hw
{

namespace
{

struct field {
    std::uint64_t first, bytes;
};

constexpr std::array common_fields{
    field{0x000, 0xa0}, // ES to TR
    field{0x0cb, 1},    // CPL
    field{0x0d0, 8},    // EFER
    field{0x148, 0x38}, // CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP
    field{0x1d8, 8},    // RSP
    field{0x1f8, 0x50}, // RAX, STAR to SFMASK, KERNEL_GS_BASE, SYSENTER, CR2
    field{0x268, 8},    // G_PAT
};

// The XSAVE area (APM vol. 2, figure 11-9).
namespace xsave
{
constexpr std::size_t fcw = 0, fsw = 2, ftw = 4, fop = 6, fip = 8, fdp = 16, mxcsr = 24, st = 32,
                      xmm = 160, ymm_high = 576;
constexpr std::size_t st_stride = 16, st_count = 8, xmm_bytes = 256, ymm_high_bytes = 256;
} // namespace xsave

namespace vmsa_vector
{
constexpr std::uint64_t fdp = 0x400, mxcsr = 0x408, ftw = 0x40c, fsw = 0x40e, fcw = 0x410,
                        fop = 0x412, fip = 0x418, mantissas = 0x420, exponents = 0x460, xmm = 0x470,
                        ymm_high = 0x570;
constexpr std::size_t mantissa_bytes = 8, exponent_bytes = 2;
} // namespace vmsa_vector

struct moved {
    std::uint64_t in_vmsa;
    std::size_t in_xsave, bytes;
};

/// What both have in the same form.
constexpr std::array moved_fields{
    moved{vmsa_vector::fdp, xsave::fdp, 8},
    moved{vmsa_vector::mxcsr, xsave::mxcsr, 4},
    moved{vmsa_vector::ftw, xsave::ftw, 1}, // one bit for each register
    moved{vmsa_vector::fsw, xsave::fsw, 2},
    moved{vmsa_vector::fcw, xsave::fcw, 2},
    moved{vmsa_vector::fop, xsave::fop, 2},
    moved{vmsa_vector::fip, xsave::fip, 8},
    moved{vmsa_vector::xmm, xsave::xmm, xsave::xmm_bytes},
    moved{vmsa_vector::ymm_high, xsave::ymm_high, xsave::ymm_high_bytes},
};

/// Where the register is that is ST(i) by the TOP of the state's FSW.
std::size_t place_of_st(vector_state state, std::size_t i)
{
    std::uint16_t fsw = 0;
    std::memcpy(&fsw, &state[xsave::fsw], sizeof fsw);
    const std::size_t top = fsw >> 11 & 7;
    return xsave::st + xsave::st_stride * ((top + i) % xsave::st_count);
}

} // namespace

void copy_save_area(const memory_view &memory, spa_t from, spa_t to)
{
    std::array<std::byte, 0xa0> buffer;
    for (const field &f : common_fields) {
        memory.read(from + f.first, buffer.data(), f.bytes);
        memory.write(to + f.first, buffer.data(), f.bytes);
    }
}

std::uint64_t general_register(unsigned index)
{
    constexpr unsigned rax = 0, rsp = 4;
    constexpr std::uint64_t others = 0x300; // RCX is at 308h; the place of RSP in the row is unused
    return index == rax   ? vmsa_field::rax
           : index == rsp ? vmsa_field::rsp
                          : others + std::uint64_t{8} * index;
}

void load_vector_state(const memory_view &memory, spa_t vmsa, vector_state to)
{
    for (const moved &f : moved_fields) {
        memory.read(vmsa + f.in_vmsa, &to[f.in_xsave], f.bytes);
    }
    for (std::size_t i = 0; i < xsave::st_count; ++i) {
        std::byte *const st = &to[place_of_st(to, i)];
        memory.read(vmsa + vmsa_vector::mantissas + i * vmsa_vector::mantissa_bytes, st,
                    vmsa_vector::mantissa_bytes);
        memory.read(vmsa + vmsa_vector::exponents + i * vmsa_vector::exponent_bytes,
                    st + vmsa_vector::mantissa_bytes, vmsa_vector::exponent_bytes);
    }
}

void store_vector_state(const memory_view &memory, spa_t vmsa, vector_state from)
{
    for (const moved &f : moved_fields) {
        memory.write(vmsa + f.in_vmsa, &from[f.in_xsave], f.bytes);
    }
    for (std::size_t i = 0; i < xsave::st_count; ++i) {
        const std::byte *const st = &from[place_of_st(from, i)];
        memory.write(vmsa + vmsa_vector::mantissas + i * vmsa_vector::mantissa_bytes, st,
                     vmsa_vector::mantissa_bytes);
        memory.write(vmsa + vmsa_vector::exponents + i * vmsa_vector::exponent_bytes,
                     st + vmsa_vector::mantissa_bytes, vmsa_vector::exponent_bytes);
    }
}

void reset_vector_state(vector_state state)
{
    constexpr std::uint16_t fcw = 0x40;
    constexpr std::uint8_t no_register_empty = 0xff;
    constexpr std::uint32_t mxcsr = 0x1f80;
    std::memset(state.data(), 0, xsave::xmm + xsave::xmm_bytes);
    std::memset(&state[xsave::ymm_high], 0, xsave::ymm_high_bytes);
    std::memcpy(&state[xsave::fcw], &fcw, sizeof fcw);
    std::memcpy(&state[xsave::ftw], &no_register_empty, sizeof no_register_empty);
    std::memcpy(&state[xsave::mxcsr], &mxcsr, sizeof mxcsr);
}

} // namespace rmpopt::hw
