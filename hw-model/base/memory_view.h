// SPDX-License-Identifier: GPL-2.0-or-later
// System memory as hardware and firmware see it: no RMP check, no paging.
//
// Thread-safety: built once, then only read; the bytes behind it are shared with the guest, so
// every access wider than a byte that the guest may race goes through std::atomic_ref.
#pragma once

#include "hw-model/base/types.h"

#include <cstring>
#include <optional>
#include <span>
#include <vector>

namespace rmpopt::hw
{

/// One run of RAM: `bytes` bytes of system memory from `base` on, located at `host`.
struct ram_range {
    spa_t base = 0;
    std::uint64_t bytes = 0;
    std::byte *host = nullptr;

    /// True when [spa, spa + len) lies inside. No overflow for any input.
    bool contains(spa_t spa, std::uint64_t len) const
    {
        return spa >= base && len <= bytes && spa - base <= bytes - len;
    }
};

class memory_view
{
  public:
    memory_view() = default;
    /// `ranges` must be sorted by base and not overlap.
    explicit memory_view(std::vector<ram_range> ranges) : ranges_(std::move(ranges)) {}

    std::span<const ram_range> ranges() const { return ranges_; }

    /// End of the highest RAM range (exclusive), 0 without RAM.
    spa_t end() const { return ranges_.empty() ? 0 : ranges_.back().base + ranges_.back().bytes; }

    /// Host address of [spa, spa + len), or nullptr unless all of it is RAM of one range.
    std::byte *at(spa_t spa, std::uint64_t len) const
    {
        for (const ram_range &r : ranges_) {
            if (r.contains(spa, len)) {
                return r.host + (spa - r.base);
            }
        }
        return nullptr;
    }

    /// Copies out of system memory; false (nothing copied) unless all of it is RAM.
    bool read(spa_t spa, void *to, std::uint64_t len) const
    {
        const std::byte *p = at(spa, len);
        if (p == nullptr) {
            return false;
        }
        copy(to, p, len);
        return true;
    }

    /// Copies into system memory; false (nothing written) unless all of it is RAM.
    bool write(spa_t spa, const void *from, std::uint64_t len) const
    {
        std::byte *p = at(spa, len);
        if (p == nullptr) {
            return false;
        }
        copy(p, from, len);
        return true;
    }

    template <class T> std::optional<T> load(spa_t spa) const
    {
        T v;
        return read(spa, &v, sizeof v) ? std::optional<T>(v) : std::nullopt;
    }

    template <class T> bool store(spa_t spa, const T &v) const { return write(spa, &v, sizeof v); }

  private:
    /// memcpy() takes no null pointers, not even for nothing.
    static void copy(void *to, const void *from, std::uint64_t len)
    {
        if (len != 0) {
            std::memcpy(to, from, len);
        }
    }

    std::vector<ram_range> ranges_;
};

} // namespace rmpopt::hw
