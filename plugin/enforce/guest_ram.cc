// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/guest_ram.h"

#include "base/format.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>

namespace rmpopt
{

using hw::spa_range;
using hw::spa_t;

namespace
{

/// True when both mappings show the same memory, probed at one place in each run.
bool same_memory(const hw::memory_view &view, const std::vector<spa_range> &layout)
{
    constexpr std::uint64_t probe_offset = 0x8000; // RAM in every run, below the video hole
    for (const spa_range &run : layout) {
        const spa_t spa = run.base + probe_offset;
        const auto old = view.load<std::uint64_t>(spa);
        const std::uint64_t mark = 0x706f706d72a5c301 ^ spa;
        if (!old.has_value() || !view.store(spa, mark)) {
            return false;
        }
        std::uint64_t seen = 0;
        const bool ok = read_system_memory(spa, &seen, sizeof seen) && seen == mark;
        view.store(spa, *old);
        if (!ok) {
            return false;
        }
    }
    return true;
}

} // namespace

std::string guest_ram::map(const guest_ram_block &block)
{
    block_ = block;
    void *p =
        mmap(nullptr, block.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, block.fd, 0);
    if (p == MAP_FAILED) {
        return formatted("cannot map guest RAM a second time: {}", std::strerror(errno));
    }
    mapping_ = static_cast<std::byte *>(p);
    std::vector<hw::ram_range> ranges;
    std::uint64_t offset = 0;
    for (const spa_range &run : block.layout) {
        ranges.push_back({run.base, run.bytes, mapping_ + offset});
        offset += run.bytes;
    }
    view_ = hw::memory_view(std::move(ranges));
    return same_memory(view_, block.layout) ? "" : "guest RAM is laid out in an unknown way";
}

std::optional<std::uint64_t> guest_ram::offset_of(spa_t spa, std::uint64_t bytes) const
{
    std::uint64_t offset = 0;
    for (const spa_range &run : block_.layout) {
        if (hw::ram_range{run.base, run.bytes, nullptr}.contains(spa, bytes)) {
            return offset + (spa - run.base);
        }
        offset += run.bytes;
    }
    return std::nullopt;
}

std::byte *guest_ram::hardware_address(void *address) const
{
    auto *const p = static_cast<std::byte *>(address);
    const auto is_in = [&](const std::byte *base) { return p >= base && p < base + block_.bytes; };
    return is_in(block_.qemu_host) ? p + to_hardware_view() : is_in(mapping_) ? p : nullptr;
}

std::optional<spa_t> guest_ram::spa_of(const void *qemu_address) const
{
    const auto *p = static_cast<const std::byte *>(qemu_address);
    if (p < block_.qemu_host || p >= block_.qemu_host + block_.bytes) {
        return std::nullopt;
    }
    auto offset = static_cast<std::uint64_t>(p - block_.qemu_host);
    for (const spa_range &run : block_.layout) {
        if (offset < run.bytes) {
            return run.base + offset;
        }
        offset -= run.bytes;
    }
    return std::nullopt;
}

std::byte *guest_ram::qemu_address(spa_t spa, std::uint64_t bytes) const
{
    const auto offset = offset_of(spa, bytes);
    return offset.has_value() ? block_.qemu_host + *offset : nullptr;
}

void guest_ram::zero(const spa_range &range) const
{
    const auto offset = offset_of(range.base, range.bytes);
    if (!offset.has_value()) {
        return;
    }
    if (fallocate(block_.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(*offset), static_cast<off_t>(range.bytes)) != 0) {
        std::memset(mapping_ + *offset, 0, range.bytes);
    }
}

} // namespace rmpopt
