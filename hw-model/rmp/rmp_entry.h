// SPDX-License-Identifier: GPL-2.0-or-later
// One RMP entry in its two forms: the raw 16 bytes in memory (Zen 3/4 layout; not
// architectural, kept for all CPU models) and the architectural record of RMPUPDATE and RMPREAD.
#pragma once

#include "hw-model/base/types.h"

#include <array>

namespace rmpopt::hw
{

/// The assigned bit in the low half of the raw form.
inline constexpr std::uint64_t rmp_assigned_bit = 1;

/// The raw form, as in memory.
struct rmp_entry_raw {
    std::uint64_t lo = 0;
    std::uint64_t hi = 0;

    bool operator==(const rmp_entry_raw &) const = default;
};

/// Permission byte of one VMPL (APM vol. 2, 15.36.7).
namespace vmpl_perm
{
inline constexpr std::uint8_t read = 1, write = 2, user_exec = 4, supervisor_exec = 8, sss = 16;
inline constexpr std::uint8_t all = read | write | user_exec | supervisor_exec;
} // namespace vmpl_perm

/// The decoded form. Ranges: gpa is 4 KB aligned and < 2^51, asid < asid_limit, subpage_count <
/// 512.
struct rmp_entry {
    static constexpr std::uint32_t asid_limit = 1024;

    bool assigned = false;
    bool size_2m = false;
    bool immutable = false;
    bool vmsa = false;
    bool validated = false;
    bool lock = false;               ///< firmware's lock bit; the CPU only keeps it
    std::uint16_t subpage_count = 0; ///< other assigned 4 KB pages of the 2 MB region (base entry)
    std::uint16_t asid = 0;
    std::uint64_t gpa = 0;
    std::array<std::uint8_t, vmpls> vmpl{};

    bool operator==(const rmp_entry &) const = default;

    static rmp_entry decode(rmp_entry_raw raw);
    rmp_entry_raw encode() const;

    /// Hypervisor-owned pages are the writable ones (APM vol. 2, table 15-35).
    bool host_writable() const { return !assigned; }
};

/// The architectural record: RMPUPDATE's input and RMPREAD's output.
struct rmp_record {
    static constexpr std::size_t bytes = 16;

    std::uint64_t gpa = 0;
    bool assigned = false;
    bool size_2m = false;
    bool hpage_region_status = false; ///< RMPREAD only
    bool immutable = false;
    std::uint32_t asid = 0;

    bool operator==(const rmp_record &) const = default;

    static rmp_record decode(const std::array<std::byte, bytes> &raw);
    std::array<std::byte, bytes> encode() const;
};

} // namespace rmpopt::hw
