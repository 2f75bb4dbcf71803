// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/iommu.h"

#include <array>
#include <optional>
#include <string_view>

namespace rmpopt
{

using namespace hw;

namespace
{

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

/// Length of the table at `table`; 0 if it does not lie in RAM entirely.
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

iommu_setup announce_iommu_snp(const memory_view &memory, bool page_mode_0)
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
            set_bits(memory, block + block_efr2, page_mode_0 ? efr2_snp_page_mode_0 : 0);
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

iommu_state state_of_iommu(const iommu_registers &regs)
{
    constexpr std::uint64_t iommu_en = 1;
    constexpr std::uint64_t address_mask = ((1ull << 52) - 1) & ~(page_4k - 1);
    constexpr unsigned length_shift = 56, length_mask = 0xf, min_length = 8;
    iommu_state state{.enabled = (regs.control & iommu_en) != 0};
    std::vector<spa_range> &out = state.buffers;
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
    return state;
}

} // namespace rmpopt
