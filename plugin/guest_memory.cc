// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_memory.h"

#include "qemu_api.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace rmpopt
{

using hw::page_4k;
using hw::spa_t;

namespace
{

/// #PF error code bit W (APM vol. 2, 8.4.2).
constexpr std::uint32_t pf_write = 2;

/// The run of an operand that lies in one page.
struct piece {
    std::uint64_t va = 0;
    spa_t spa = 0;
    std::size_t offset = 0; ///< in the operand
    std::size_t bytes = 0;
};

/// An operand of at most a page: one or two pieces.
struct pieces {
    std::array<piece, 2> part;
    std::size_t count = 0;
    operand_fault fault;
};

pieces translate(std::uint64_t va, std::size_t bytes)
{
    pieces out;
    for (std::size_t done = 0; done < bytes;) {
        piece p{.va = va + done, .offset = done};
        p.bytes = std::min<std::size_t>(bytes - done, page_4k - p.va % page_4k);
        if (!qemu_plugin_translate_vaddr(p.va, &p.spa)) {
            out.fault = {.happened = true, .address = p.va, .error_code = 0};
            return out;
        }
        out.part[out.count++] = p;
        done += p.bytes;
    }
    return out;
}

} // namespace

operand_fault read_operand(std::uint64_t va, std::span<std::byte> to)
{
    const pieces ps = translate(va, to.size());
    for (std::size_t i = 0; i < ps.count && !ps.fault.happened; ++i) {
        const piece &p = ps.part[i];
        read_system_memory(p.spa, &to[p.offset], p.bytes);
    }
    return ps.fault;
}

operand_fault write_operand(context &ctx, std::uint64_t va, std::span<const std::byte> from)
{
    pieces ps = translate(va, from.size());
    if (ps.fault.happened) {
        ps.fault.error_code |= pf_write;
        return ps.fault;
    }
    for (std::size_t i = 0; i < ps.count; ++i) {
        const piece &p = ps.part[i];
        if (!ctx.machine().rmp().load(p.spa).host_writable()) {
            return {.happened = true, .address = p.va, .is_rmp = true};
        }
    }
    for (std::size_t i = 0; i < ps.count; ++i) {
        const piece &p = ps.part[i];
        ctx.ram().hardware_view().write(p.spa, &from[p.offset], p.bytes);
    }
    return {};
}

} // namespace rmpopt
