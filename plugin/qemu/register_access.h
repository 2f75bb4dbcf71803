// SPDX-License-Identifier: GPL-2.0-or-later
// Accesses of any width to a device whose registers are 32 bits wide. A narrower or unaligned read
// returns the bytes that it covers; of a write only what fills a register counts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rmpopt
{

/// What `bytes` bytes (1 to 8) at `offset` hold, by `read(offset of a register)`.
template <class F> std::uint64_t read_registers(std::uint64_t offset, unsigned bytes, F read)
{
    std::uint64_t value = 0;
    for (unsigned done = 0; done < bytes;) {
        const auto at = static_cast<std::uint32_t>(offset) + done;
        const unsigned first = at % 4, n = std::min(4 - first, bytes - done);
        const std::uint32_t whole = read(at - first);
        std::memcpy(reinterpret_cast<std::byte *>(&value) + done,
                    reinterpret_cast<const std::byte *>(&whole) + first, n);
        done += n;
    }
    return value;
}

/// Passes a write on as `write(offset of a register, value)`.
template <class F>
void write_registers(std::uint64_t offset, unsigned bytes, std::uint64_t value, F write)
{
    const auto first = static_cast<std::uint32_t>(offset);
    for (std::uint32_t at = (first + 3) & ~3u; at + 4 <= first + bytes; at += 4) {
        write(at, static_cast<std::uint32_t>(value >> (at - first) * 8));
    }
}

} // namespace rmpopt
