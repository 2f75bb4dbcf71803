// SPDX-License-Identifier: GPL-2.0-or-later
// Guest memory of a PC as QEMU lays it out: RAM below 3 GB at 0, the rest from 4 GB on.
#pragma once

#include "platform/iommu.h"
#include "platform/memory_map.h"
#include "platform/rmp_setup.h"
#include "sparse_memory.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>

namespace rmpopt
{

inline constexpr std::uint64_t mib = 1ull << 20, gib = 1ull << 30, tib = 1ull << 40;

class pc_memory
{
  public:
    explicit pc_memory(std::uint64_t bytes, std::uint64_t low_limit = 2 * gib)
        : ram_(bytes), low_(bytes <= low_limit ? bytes : low_limit)
    {
        std::vector<hw::ram_range> ranges{{0, low_, ram_.data()}};
        if (bytes > low_) {
            ranges.push_back({4 * gib, bytes - low_, ram_.data() + low_});
        }
        view_ = hw::memory_view(std::move(ranges));
    }

    const hw::memory_view &view() const { return view_; }
    std::uint64_t low() const { return low_; }

  private:
    hw::sparse_memory ram_;
    std::uint64_t low_;
    hw::memory_view view_;
};

struct map_entry {
    std::uint64_t base = 0, bytes = 0;
    std::uint32_t type = 1;

    std::uint64_t end() const { return base + bytes; }
    bool operator==(const map_entry &) const = default;
};
inline constexpr std::uint32_t e820_usable = 1, e820_taken = 2;

/// Linux's boot_params as a boot loader leaves them.
class boot_params
{
  public:
    explicit boot_params(const hw::memory_view &memory, hw::spa_t at = 0x90000)
        : memory_(memory), at_(at)
    {
        put<std::uint32_t>(0x202, 0x53726448); // "HdrS"
        put<std::uint16_t>(0x206, 0x20f);
        set_kernel(16 * mib, 48 * mib);
    }
    hw::spa_t address() const { return at_; }
    template <class T> void put(std::uint64_t offset, T value)
    {
        memory_.store(at_ + offset, value);
    }

    void set_kernel(std::uint32_t load, std::uint32_t room)
    {
        put<std::uint32_t>(0x214, load);
        put<std::uint64_t>(0x258, load);
        put<std::uint32_t>(0x260, room);
    }
    void set_initrd(std::uint64_t base, std::uint64_t bytes)
    {
        put(0x218, static_cast<std::uint32_t>(base));
        put(0x21c, static_cast<std::uint32_t>(bytes));
        put(0x0c0, static_cast<std::uint32_t>(base >> 32));
        put(0x0c4, static_cast<std::uint32_t>(bytes >> 32));
    }
    void set_map(const std::vector<map_entry> &map)
    {
        put(0x1e8, static_cast<std::uint8_t>(map.size()));
        for (std::size_t i = 0; i < map.size(); ++i) {
            const std::uint64_t o = 0x2d0 + 20 * i;
            put(o, map[i].base);
            put(o + 8, map[i].bytes);
            put(o + 16, map[i].type);
        }
    }
    /// What QEMU and SeaBIOS say for this memory.
    void set_usual_map()
    {
        std::vector<map_entry> map{{0, 0x9fc00}, {0x9fc00, 0x400, 2}, {0xf0000, 0x10000, 2}};
        for (const hw::ram_range &r : memory_.ranges()) {
            if (r.base == 0) {
                map.push_back({mib, r.bytes - mib - 128 * 1024});
                map.push_back({r.bytes - 128 * 1024, 128 * 1024, 2});
            } else {
                map.push_back({r.base, r.bytes});
            }
        }
        set_map(map);
    }
    std::vector<map_entry> map() const
    {
        std::vector<map_entry> out(*memory_.load<std::uint8_t>(at_ + 0x1e8));
        for (std::size_t i = 0; i < out.size(); ++i) {
            const std::uint64_t o = at_ + 0x2d0 + 20 * i;
            out[i] = {*memory_.load<std::uint64_t>(o), *memory_.load<std::uint64_t>(o + 8),
                      *memory_.load<std::uint32_t>(o + 16)};
        }
        return out;
    }
    std::uint64_t bytes_of_type(std::uint32_t type) const
    {
        std::uint64_t sum = 0;
        for (const map_entry &e : map()) {
            sum += e.type == type ? e.bytes : 0;
        }
        return sum;
    }

  private:
    const hw::memory_view &memory_;
    hw::spa_t at_;
};

} // namespace rmpopt
