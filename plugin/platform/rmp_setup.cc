// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/rmp_setup.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>

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

constexpr std::uint64_t table_bytes_for(std::uint64_t covered)
{
    return covered / page_4k * rmp_entry_bytes;
}

/// Size of an RMP for memory up to `end`, and where its parts stand relative to its start.
struct rmp_plan {
    std::uint64_t bytes = 0;
    std::vector<std::uint64_t> segment_offset; ///< by segment; 0: no RAM there
    std::vector<std::uint64_t> segment_gb;
};

bool has_ram(const memory_view &memory, const spa_range &range)
{
    return std::ranges::any_of(memory.ranges(), [&](const ram_range &r) {
        return spa_range{r.base, r.bytes}.overlaps(range);
    });
}

rmp_plan plan_segmented(const memory_view &memory, unsigned shift)
{
    rmp_plan plan;
    const std::uint64_t segment = 1ull << shift;
    std::uint64_t offset = rmp_alignment; // bookkeeping and RST
    for (spa_t base = 0; base < memory.end() && plan.segment_gb.size() < rst_entries;
         base += segment) {
        const spa_t end = std::min(base + segment, align_up(memory.end(), region_1g));
        const bool used = has_ram(memory, {base, end - base});
        plan.segment_offset.push_back(used ? offset : 0);
        plan.segment_gb.push_back(used ? (end - base) / region_1g : 0);
        offset += used ? align_up(table_bytes_for(end - base), rmp_alignment) : 0;
    }
    plan.bytes = align_up(offset, page_2m);
    return plan;
}

rmp_plan plan_contiguous(const memory_view &memory)
{
    rmp_plan plan;
    plan.bytes = align_up(rmp_bookkeeping_bytes + table_bytes_for(memory.end()), page_2m);
    return plan;
}

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

/// Highest 2 MB aligned place for `bytes` in `room` that touches none of `avoid`.
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

/// RAM that a guest of unknown kind may find taken: what firmware keeps at the end of low memory.
constexpr std::uint64_t firmware_margin = 4ull << 20;

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

/// What PVH's boot loader has filled.
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

/// PVH's memory map has no room for another entry, so the RMP goes to the very end of the highest
/// RAM entry that can do without it, and that entry gets shorter. Nothing when none can.
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

/// Cuts `hole` out of the RAM entry that holds it and enters it as reserved.
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

std::optional<spa_t> place(const memory_view &memory, const rmp_request &request,
                           std::uint64_t bytes)
{
    if (request.boot_params.has_value()) {
        return place_in_map(memory, *request.boot_params, bytes);
    }
    if (request.pvh_start_info.has_value()) {
        return cut_from_pvh_map(memory, *request.pvh_start_info, bytes);
    }
    return place_without_map(memory, bytes);
}

void write_rst(const memory_view &memory, spa_t base, const rmp_plan &plan)
{
    for (std::size_t i = 0; i < plan.segment_gb.size(); ++i) {
        const std::uint64_t entry =
            plan.segment_gb[i] == 0 ? 0 : (base + plan.segment_offset[i]) | plan.segment_gb[i];
        memory.store(base + rmp_bookkeeping_bytes + 8 * i, entry);
    }
}

// ACPI.

constexpr std::uint64_t acpi_length = 4, acpi_checksum = 9, acpi_header = 36;

bool has_signature(const memory_view &memory, spa_t table, std::string_view signature)
{
    std::array<char, 4> s{};
    return memory.read(table, s.data(), s.size()) && std::string_view(s.data(), 4) == signature;
}

std::optional<spa_t> find_rsdp(const memory_view &memory)
{
    constexpr std::string_view magic = "RSD PTR ";
    for (spa_t a = 0xe0000; a < 0x100000; a += 16) {
        std::array<char, 8> s{};
        if (memory.read(a, s.data(), s.size()) && std::string_view(s.data(), 8) == magic) {
            return a;
        }
    }
    return std::nullopt;
}

/// Length of the table at `table`, 0 when not all of it is RAM.
std::uint32_t table_length(const memory_view &memory, spa_t table)
{
    const std::uint32_t length = memory.load<std::uint32_t>(table + acpi_length).value_or(0);
    return length >= acpi_header && memory.at(table, length) != nullptr ? length : 0;
}

/// Looks for a table in the RSDT (32-bit pointers) or XSDT (64-bit ones) at `root`.
std::optional<spa_t> find_in_root(const memory_view &memory, spa_t root, std::string_view signature)
{
    const std::uint64_t width = has_signature(memory, root, "XSDT") ? 8 : 4;
    const std::uint64_t end = table_length(memory, root);
    for (std::uint64_t o = acpi_header; o + width <= end; o += width) {
        std::uint64_t pointer = 0;
        if (memory.read(root + o, &pointer, width) && has_signature(memory, pointer, signature)) {
            return pointer;
        }
    }
    return std::nullopt;
}

std::optional<spa_t> find_acpi_table(const memory_view &memory, std::string_view signature)
{
    const auto rsdp = find_rsdp(memory);
    if (!rsdp.has_value()) {
        return std::nullopt;
    }
    const auto rsdt = memory.load<std::uint32_t>(*rsdp + 16);
    const auto revision = memory.load<std::uint8_t>(*rsdp + 15);
    if (revision.value_or(0) >= 2) {
        const auto xsdt = memory.load<std::uint64_t>(*rsdp + 24);
        if (xsdt.value_or(0) != 0) {
            return find_in_root(memory, *xsdt, signature);
        }
    }
    return rsdt.has_value() ? find_in_root(memory, *rsdt, signature) : std::nullopt;
}

void set_bits(const memory_view &memory, spa_t at, std::uint64_t bits)
{
    memory.store(at, memory.load<std::uint64_t>(at).value_or(0) | bits);
}

void mend_checksum(const memory_view &memory, spa_t table, std::uint32_t length)
{
    memory.store<std::uint8_t>(table + acpi_checksum, 0);
    std::uint8_t sum = 0;
    for (std::uint32_t i = 0; i < length; ++i) {
        sum = static_cast<std::uint8_t>(sum + memory.load<std::uint8_t>(table + i).value_or(0));
    }
    memory.store<std::uint8_t>(table + acpi_checksum, static_cast<std::uint8_t>(-sum));
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

rmp_setup prepare_rmp(const memory_view &memory, const rmp_request &request)
{
    rmp_setup setup;
    const bool segmented = request.layout == rmp_layout::segmented;
    const rmp_plan plan =
        segmented ? plan_segmented(memory, request.segment_shift) : plan_contiguous(memory);
    const auto at = place(memory, request, plan.bytes);
    if (!at.has_value()) {
        setup.error = fmt::format("no room for an RMP of {} MiB in the guest's free memory; give "
                                  "the guest more memory",
                                  plan.bytes >> 20);
        return setup;
    }
    setup.reserved = {*at, plan.bytes};
    if (request.boot_params.has_value() &&
        !reserve_in_map(memory, *request.boot_params, setup.reserved)) {
        setup.error = "the guest's memory map has no room for another entry";
        return setup;
    }
    request.zero(setup.reserved);
    setup.config = {.layout = request.layout,
                    .base = *at,
                    .end = segmented ? 0 : *at + plan.bytes - 1,
                    .segment_shift = segmented ? request.segment_shift : 0};
    if (segmented) {
        write_rst(memory, *at, plan);
    }
    return setup;
}

iommu_setup announce_iommu_snp(const memory_view &memory)
{
    constexpr std::uint64_t first_block = 48, block_base = 8, block_efr = 24, block_efr2 = 32;
    constexpr std::uint64_t efr_snp = 1ull << 63, efr2_snp_page_mode_0 = 1ull << 13;
    iommu_setup setup;
    const auto ivrs = find_acpi_table(memory, "IVRS");
    if (!ivrs.has_value()) {
        setup.error = "no ACPI IVRS table; add -device amd-iommu";
        return setup;
    }
    const std::uint32_t length = table_length(memory, *ivrs);
    for (std::uint64_t o = first_block; o + 4 <= length;) {
        const spa_t block = *ivrs + o;
        const unsigned type = memory.load<std::uint8_t>(block).value_or(0);
        const std::uint64_t bytes = memory.load<std::uint16_t>(block + 2).value_or(0);
        if (bytes < 4 || o + bytes > length) {
            break;
        }
        if ((type == 0x11 || type == 0x40) && bytes >= block_efr2 + 8) {
            if (setup.blocks == 0) {
                setup.register_base = memory.load<std::uint64_t>(block + block_base).value_or(0);
            }
            set_bits(memory, block + block_efr, efr_snp);
            set_bits(memory, block + block_efr2, efr2_snp_page_mode_0);
            ++setup.blocks;
        }
        o += bytes;
    }
    if (setup.blocks == 0) {
        setup.error = "the ACPI IVRS table has no IVHD of type 11h or 40h";
        return setup;
    }
    mend_checksum(memory, *ivrs, length);
    return setup;
}

std::vector<spa_range> iommu_buffers(const iommu_registers &regs)
{
    constexpr std::uint64_t address_mask = ((1ull << 52) - 1) & ~(page_4k - 1);
    constexpr unsigned length_shift = 56, length_mask = 0xf, min_length = 8;
    std::vector<spa_range> out;
    for (const std::uint64_t log : {regs.event_base, regs.ppr_base}) {
        const unsigned length = (log >> length_shift) & length_mask; // log2 of 16-byte entries
        if ((log & address_mask) != 0 && length >= min_length) {
            out.push_back({log & address_mask, 16ull << length});
        }
    }
    const spa_t last = regs.excl_limit & address_mask;
    const spa_t first = (regs.excl_base & address_mask) != 0 ? regs.excl_base & address_mask : last;
    if (last != 0 && first <= last) {
        out.push_back({first, last - first + page_4k});
    }
    return out;
}

} // namespace rmpopt
