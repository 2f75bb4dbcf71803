// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/fast_tlb.h"

#include "base/format.h"
#include "qemu/layout.h"

#include <array>
#include <bit>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

namespace rmpopt::fast_tlb
{

namespace
{

struct entry {
    std::uint64_t read, write, fetch; ///< page and flags; all bits set: none
    std::uint64_t addend;
};

struct table {
    std::uint64_t mask;
    std::byte *entries;
};

constexpr unsigned entry_shift = 5;
static_assert(sizeof(entry) == 1u << entry_shift);

/// Offset in the CPU object of the table of each kind of access.
std::array<std::size_t, layout::mmu_last_program + 1> offsets;

const std::byte *object(const vcpu &cpu)
{
    return static_cast<const std::byte *>(vcpu::all()[cpu.index()]);
}

table table_at(const std::byte *place)
{
    table t{};
    std::memcpy(&t.mask, place, sizeof t.mask);
    std::memcpy(&t.entries, place + sizeof t.mask, sizeof t.entries);
    return t;
}

std::byte *entry_of(const table &t, std::uint64_t address)
{
    return t.entries + ((address >> (12 - entry_shift)) & t.mask);
}

/// Reads memory that may not exist.
class careful_reader
{
  public:
    careful_reader()
    {
        if (pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
            ends_ = {-1, -1};
        }
    }
    careful_reader(const careful_reader &) = delete;
    careful_reader &operator=(const careful_reader &) = delete;
    ~careful_reader()
    {
        for (const int end : ends_) {
            close(end);
        }
    }

    std::optional<entry> read(const void *from) const
    {
        entry e{};
        const bool ok = ::write(ends_[1], from, sizeof e) == sizeof e &&
                        ::read(ends_[0], &e, sizeof e) == sizeof e;
        return ok ? std::optional(e) : std::nullopt;
    }

  private:
    std::array<int, 2> ends_{-1, -1};
};

bool is_mask(std::uint64_t mask)
{
    const std::uint64_t entries = (mask >> entry_shift) + 1;
    return (mask & ((1u << entry_shift) - 1)) == 0 && entries > 1 && entries <= 1u << 24 &&
           std::has_single_bit(entries);
}

bool leads_to(const entry &e, std::uint64_t address, const void *host)
{
    return hw::align_down(e.read, hw::page_4k) == hw::align_down(address, hw::page_4k) &&
           address + e.addend == reinterpret_cast<std::uintptr_t>(host);
}

/// Offset of the only table in the CPU object that has the translation.
std::optional<std::size_t> find_table(const std::byte *cpu, std::uint64_t address, const void *host)
{
    const careful_reader reader;
    std::optional<std::size_t> found;
    for (std::size_t o = 0; o + sizeof(table) <= layout::found.env; o += sizeof(std::uint64_t)) {
        const table t = table_at(cpu + o);
        if (!is_mask(t.mask) || t.entries == nullptr) {
            continue;
        }
        const auto e = reader.read(entry_of(t, address));
        if (e.has_value() && leads_to(*e, address, host)) {
            if (found.has_value()) {
                return std::nullopt;
            }
            found = o;
        }
    }
    return found;
}

} // namespace

std::string probe(std::uint64_t address, void *(*fill)(int mmu_index, std::uint64_t address),
                  void (*flush)())
{
    for (int i = 0; i <= layout::mmu_last_program; ++i) {
        flush();
        const void *const host = fill(i, address);
        const auto found = find_table(object(vcpu::current()), address, host);
        if (host == nullptr || !found.has_value()) {
            flush();
            return formatted("the table for accesses of kind {} is not in the CPU object once", i);
        }
        offsets[static_cast<std::size_t>(i)] = *found;
    }
    flush();
    return {};
}

bool redirect(const vcpu &cpu, int mmu_index, std::uint64_t address, const void *host,
              std::ptrdiff_t distance)
{
    const table t = table_at(object(cpu) + offsets.at(static_cast<std::size_t>(mmu_index)));
    std::byte *const place = entry_of(t, address);
    entry e{};
    std::memcpy(&e, place, sizeof e);
    const bool fetches =
        hw::align_down(e.fetch, hw::page_4k) == hw::align_down(address, hw::page_4k);
    if (!leads_to(e, address, host) || fetches) {
        return false;
    }
    e.addend += static_cast<std::uint64_t>(distance);
    std::memcpy(place, &e, sizeof e);
    return true;
}

} // namespace rmpopt::fast_tlb
