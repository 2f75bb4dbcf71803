// SPDX-License-Identifier: GPL-2.0-or-later
// A fuzzer's input read as a row of small choices. An input that is used up chooses 0 for ever.
#pragma once

#include <cstdint>
#include <span>

namespace rmpopt::hw
{

class byte_source
{
  public:
    explicit byte_source(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    std::uint8_t byte()
    {
        if (empty()) {
            return 0;
        }
        const std::uint8_t b = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return b;
    }
    /// A number below n; n is at most 256.
    unsigned pick(unsigned n) { return byte() % n; }
    std::uint64_t u64()
    {
        std::uint64_t v = 0;
        for (unsigned i = 0; i < 8; ++i) {
            v = v << 8 | byte();
        }
        return v;
    }

  private:
    std::span<const std::uint8_t> bytes_;
};

} // namespace rmpopt::hw
