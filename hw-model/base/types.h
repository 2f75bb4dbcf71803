// SPDX-License-Identifier: GPL-2.0-or-later
// Units and constants shared by the whole model.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rmpopt::hw
{

/// System physical address in bytes, without C-bit.
using spa_t = std::uint64_t;

/// The C-bit, which makes a page private, in page-table entries, CR3 and addresses for firmware:
/// CPUID 8000_001F EBX[5:0].
inline constexpr unsigned c_bit_position = 51;
inline constexpr std::uint64_t c_bit = 1ull << c_bit_position;

/// How many virtual machine privilege levels there are: CPUID 8000_001F EBX[15:12].
inline constexpr unsigned vmpls = 4;

inline constexpr std::uint64_t page_4k = 1ull << 12;
inline constexpr std::uint64_t page_2m = 1ull << 21;
inline constexpr std::uint64_t region_1g = 1ull << 30;
inline constexpr unsigned pages_per_2m = 512;

constexpr std::uint64_t align_down(std::uint64_t v, std::uint64_t a)
{
    return v & ~(a - 1);
}
constexpr std::uint64_t align_up(std::uint64_t v, std::uint64_t a)
{
    return (v + a - 1) & ~(a - 1);
}
constexpr bool is_aligned(std::uint64_t v, std::uint64_t a)
{
    return (v & (a - 1)) == 0;
}

/// [base, base + bytes) of system memory.
struct spa_range {
    spa_t base = 0;
    std::uint64_t bytes = 0;

    constexpr spa_t end() const { return base + bytes; }
    constexpr bool overlaps(const spa_range &o) const { return base < o.end() && o.base < end(); }
    bool operator==(const spa_range &) const = default;
};

} // namespace rmpopt::hw
