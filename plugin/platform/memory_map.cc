// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/memory_map.h"

#include <algorithm>
#include <vector>

namespace rmpopt
{

using namespace hw;

namespace
{

// Linux's boot_params (Documentation/arch/x86/zero-page.rst).
namespace zero_page
{
constexpr std::uint64_t bytes = 4096;
constexpr std::uint64_t e820_count = 0x1e8, header_magic = 0x202, version = 0x206,
                        code32_start = 0x214, ramdisk_image = 0x218, ramdisk_size = 0x21c,
                        cmd_line_ptr = 0x228, pref_address = 0x258, init_size = 0x260,
                        e820_table = 0x2d0, ext_ramdisk_image = 0x0c0, ext_ramdisk_size = 0x0c4;
constexpr unsigned e820_capacity = 128;
constexpr std::uint32_t hdrs = 0x53726448;
constexpr std::uint16_t version_with_init_size = 0x20a;
} // namespace zero_page

// PVH's hvm_start_info (Xen public headers).
namespace start_info
{
constexpr std::uint64_t version = 4, module_count = 12, module_list = 16, memory_map = 40,
                        memory_map_count = 48;
constexpr std::uint32_t magic_value = 0x336ec578;
constexpr std::uint32_t version_with_memory_map = 1, most_entries = 128;

struct map_entry {
    std::uint64_t base;
    std::uint64_t bytes;
    std::uint32_t type;
    std::uint32_t reserved;
};
struct module {
    std::uint64_t base;
    std::uint64_t bytes;
    std::uint64_t cmdline;
    std::uint64_t reserved;
};
} // namespace start_info

constexpr std::uint32_t e820_ram = 1, e820_reserved = 2;

struct __attribute__((packed)) e820_entry {
    std::uint64_t base;
    std::uint64_t bytes;
    std::uint32_t type;
};
static_assert(sizeof(e820_entry) == 20);

std::vector<e820_entry> read_e820(const memory_view &memory, spa_t boot_params)
{
    const unsigned n = std::min<unsigned>(
        memory.load<std::uint8_t>(boot_params + zero_page::e820_count).value_or(0),
        zero_page::e820_capacity);
    std::vector<e820_entry> map(n);
    memory.read(boot_params + zero_page::e820_table, map.data(), n * sizeof(e820_entry));
    return map;
}

/// Memory that the boot loader has filled: real-mode area, kernel with room to unpack itself,
/// initial ramdisk, command line.
std::vector<spa_range> loaded_ranges(const memory_view &memory, spa_t bp)
{
    const auto u32 = [&](std::uint64_t o) -> std::uint64_t {
        return memory.load<std::uint32_t>(bp + o).value_or(0);
    };
    const std::uint64_t init_size = u32(zero_page::init_size);
    const std::uint64_t pref = memory.load<std::uint64_t>(bp + zero_page::pref_address).value_or(0);
    const std::uint64_t load = u32(zero_page::code32_start);
    return {
        {0, 1ull << 20},
        {load, init_size},
        {pref, init_size},
        {u32(zero_page::ramdisk_image) | u32(zero_page::ext_ramdisk_image) << 32,
         u32(zero_page::ramdisk_size) | u32(zero_page::ext_ramdisk_size) << 32},
        {u32(zero_page::cmd_line_ptr), page_4k},
        {bp, zero_page::bytes},
    };
}

/// The highest 2 MB aligned address in `room` where `bytes` overlap none of `avoid`.
std::optional<spa_t> highest_place(const spa_range &room, std::uint64_t bytes,
                                   const std::vector<spa_range> &avoid)
{
    if (room.bytes < bytes) {
        return std::nullopt;
    }
    spa_t at = align_down(room.end() - bytes, page_2m);
    while (at >= room.base) {
        const spa_range here{at, bytes};
        const auto hit = std::ranges::find_if(
            avoid, [&](const spa_range &r) { return r.bytes != 0 && r.overlaps(here); });
        if (hit == avoid.end()) {
            return at;
        }
        if (hit->base < bytes) {
            return std::nullopt;
        }
        at = align_down(hit->base - bytes, page_2m);
    }
    return std::nullopt;
}

/// What the BIOS may have reserved at the end of low memory. Only the guest's memory map would
/// tell.
constexpr std::uint64_t firmware_margin = 4ull << 20;

/// Memory that the PVH boot loader has filled: kernel and low memory, start info, modules.
std::vector<spa_range> pvh_loaded_ranges(const memory_view &memory, spa_t info)
{
    std::vector<spa_range> out{{0, 1ull << 24}, {info, page_4k}};
    const auto count = memory.load<std::uint32_t>(info + start_info::module_count).value_or(0);
    const auto list = memory.load<std::uint64_t>(info + start_info::module_list).value_or(0);
    for (std::uint32_t i = 0; i < std::min(count, start_info::most_entries); ++i) {
        const auto m = memory.load<start_info::module>(list + i * sizeof(start_info::module));
        if (m.has_value()) {
            out.push_back({m->base, m->bytes});
        }
    }
    return out;
}

} // namespace

bool is_boot_params(const memory_view &memory, spa_t address)
{
    return memory.load<std::uint32_t>(address + zero_page::header_magic) == zero_page::hdrs &&
           memory.load<std::uint16_t>(address + zero_page::version).value_or(0) >=
               zero_page::version_with_init_size;
}

bool is_pvh_start_info(const memory_view &memory, spa_t address)
{
    return memory.load<std::uint32_t>(address) == start_info::magic_value &&
           memory.load<std::uint32_t>(address + start_info::version).value_or(0) >=
               start_info::version_with_memory_map;
}

std::optional<spa_t> place_in_map(const memory_view &memory, spa_t boot_params, std::uint64_t bytes)
{
    std::vector<e820_entry> map = read_e820(memory, boot_params);
    std::ranges::sort(map, [](const auto &a, const auto &b) { return a.base > b.base; });
    const std::vector<spa_range> avoid = loaded_ranges(memory, boot_params);
    for (const e820_entry &e : map) {
        if (e.type != e820_ram) {
            continue;
        }
        const auto at = highest_place({e.base, e.bytes}, bytes, avoid);
        if (at.has_value() && memory.at(*at, bytes) != nullptr) {
            return at;
        }
    }
    return std::nullopt;
}

bool reserve_in_map(const memory_view &memory, spa_t boot_params, const spa_range &hole)
{
    std::vector<e820_entry> out;
    for (const e820_entry &e : read_e820(memory, boot_params)) {
        const spa_t end = e.base + e.bytes;
        if (e.type != e820_ram || hole.base < e.base || hole.end() > end) {
            out.push_back(e);
            continue;
        }
        if (hole.base > e.base) {
            out.push_back({e.base, hole.base - e.base, e820_ram});
        }
        out.push_back({hole.base, hole.bytes, e820_reserved});
        if (end > hole.end()) {
            out.push_back({hole.end(), end - hole.end(), e820_ram});
        }
    }
    if (out.size() > zero_page::e820_capacity) {
        return false;
    }
    return memory.write(boot_params + zero_page::e820_table, out.data(),
                        out.size() * sizeof(e820_entry)) &&
           memory.store(boot_params + zero_page::e820_count, static_cast<std::uint8_t>(out.size()));
}

std::optional<spa_t> cut_from_pvh_map(const memory_view &memory, spa_t info, std::uint64_t bytes)
{
    const std::vector<spa_range> avoid = pvh_loaded_ranges(memory, info);
    const auto map = memory.load<std::uint64_t>(info + start_info::memory_map).value_or(0);
    const auto count = memory.load<std::uint32_t>(info + start_info::memory_map_count).value_or(0);
    std::optional<spa_t> entry_at;
    std::optional<spa_t> best;
    for (std::uint32_t i = 0; i < std::min(count, start_info::most_entries); ++i) {
        const spa_t at = map + i * sizeof(start_info::map_entry);
        const auto e = memory.load<start_info::map_entry>(at);
        if (!e.has_value() || e->type != e820_ram || e->bytes < bytes + page_2m) {
            continue;
        }
        const spa_t base = align_down(e->base + e->bytes - bytes, page_2m);
        const spa_range cut{base, e->base + e->bytes - base};
        const bool taken = std::ranges::any_of(
            avoid, [&](const spa_range &r) { return r.bytes != 0 && r.overlaps(cut); });
        if (!taken && base >= e->base && memory.at(base, bytes) != nullptr &&
            base > best.value_or(0)) {
            best = base;
            entry_at = at;
        }
    }
    if (best.has_value()) {
        auto e = *memory.load<start_info::map_entry>(*entry_at);
        e.bytes = *best - e.base;
        memory.store(*entry_at, e);
    }
    return best;
}

std::optional<spa_t> place_without_map(const memory_view &memory, std::uint64_t bytes)
{
    for (std::size_t i = memory.ranges().size(); i-- > 0;) {
        const ram_range &r = memory.ranges()[i];
        const std::uint64_t margin = r.base == 0 ? firmware_margin : 0;
        if (r.bytes <= margin) {
            continue;
        }
        const std::vector<spa_range> avoid{{0, 1ull << 24}};
        const auto at = highest_place({r.base, r.bytes - margin}, bytes, avoid);
        if (at.has_value()) {
            return at;
        }
    }
    return std::nullopt;
}

} // namespace rmpopt
