// SPDX-License-Identifier: GPL-2.0-or-later
// The MSRs of SNP hosts and their write rules. Sources: APM vol. 2, 15.34.10 and 15.36.2;
// Linux msr-index.h for layouts; AMD's RMPOPT series for RMPOPT_BASE.
#pragma once

#include "hw-model/machine/machine.h"

#include <optional>

namespace rmpopt::hw
{

namespace msr
{
inline constexpr std::uint32_t syscfg = 0xc0010010;
inline constexpr std::uint32_t hwcr = 0xc0010015;
inline constexpr std::uint32_t iorr_first = 0xc0010016, iorr_last = 0xc0010019;
inline constexpr std::uint32_t top_mem = 0xc001001a, top_mem2 = 0xc001001d;
inline constexpr std::uint32_t vm_hsave_pa = 0xc0010117;
inline constexpr std::uint32_t smm_key = 0xc0010119;
inline constexpr std::uint32_t vm_page_flush = 0xc001011e;
inline constexpr std::uint32_t sev_status = 0xc0010131;
inline constexpr std::uint32_t rmp_base = 0xc0010132;
inline constexpr std::uint32_t rmp_end = 0xc0010133;
inline constexpr std::uint32_t rmp_cfg = 0xc0010136;
inline constexpr std::uint32_t rmpopt_base = 0xc0010139;
} // namespace msr

inline constexpr std::uint64_t syscfg_mfdm = 1ull << 19;
inline constexpr std::uint64_t syscfg_mem_encrypt = 1ull << 23;
inline constexpr std::uint64_t syscfg_snp_en = 1ull << 24;
inline constexpr std::uint64_t syscfg_vmpl_en = 1ull << 25;
/// What a BIOS leaves: MtrrFixDramEn, MtrrVarDramEn, MemEncryptionModEn.
inline constexpr std::uint64_t syscfg_reset = 1ull << 18 | 1ull << 20 | syscfg_mem_encrypt;

inline constexpr std::uint64_t hwcr_smmlock = 1ull << 0;
inline constexpr std::uint64_t hwcr_tsc_freq_sel = 1ull << 24;
inline constexpr std::uint64_t hwcr_reset = hwcr_smmlock | hwcr_tsc_freq_sel;

inline constexpr std::uint64_t vm_page_flush_asid = 0xfff; ///< above it a linear address

inline constexpr std::uint64_t rmp_cfg_seg_en = 1, rmp_cfg_shift_bits = 0x3f00;
inline constexpr std::uint64_t rmp_end_low_bits = 0x1fff;
constexpr std::uint64_t rmp_cfg_value(unsigned segment_shift)
{
    return rmp_cfg_seg_en | static_cast<std::uint64_t>(segment_shift) << 8;
}
constexpr unsigned rmp_cfg_shift(std::uint64_t value)
{
    return (value & rmp_cfg_shift_bits) >> 8;
}

enum class msr_result : std::uint8_t {
    pass, ///< not this model's: let the emulator's own register answer
    done,
    gp0,
};

/// False when rdmsr() and wrmsr() always answer `pass`, so that the register need not be watched.
bool is_modelled_msr(std::uint32_t index);

/// A register with two values.
struct unequal_msr {
    std::uint32_t index;
    unsigned first, other; ///< threads
    std::uint64_t first_value, other_value;
};
/// The first of MTRRs, IORRs, TOP_MEM and TOP_MEM2 that software wrote with different values on two
/// CPUs; SNP_INIT refuses that. One that it did not write is the BIOS's, alike everywhere.
std::optional<unequal_msr> unequal_memory_msr(const machine &m);

/// RDMSR of one logical CPU.
msr_result rdmsr(const machine &m, unsigned thread, std::uint32_t index, std::uint64_t &value);

/// WRMSR of one logical CPU. Setting SNP_EN for the first time makes the RMP that the registers
/// describe take effect; the pages that are assigned in it come back in `changes`.
msr_result wrmsr(machine &m, unsigned thread, std::uint32_t index, std::uint64_t value,
                 rmp_changes &changes);

} // namespace rmpopt::hw
