// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/operand.h"

#include "enforce/fault.h"
#include "enforce/write_check.h"
#include "hw-model/base/x86_bits.h"
#include "qemu/machine.h"
#include "x86/page_tables.h"

#include <algorithm>
#include <array>

namespace rmpopt
{

using hw::page_4k;
using hw::spa_t;

namespace
{

/// The part of an operand that lies in one page.
struct piece {
    std::uint64_t va = 0;
    spa_t spa = 0;
    std::size_t offset = 0; ///< in the operand
    std::size_t bytes = 0;
};

/// An operand of at most a page's size, as one or two pieces.
struct pieces {
    std::array<piece, 2> part;
    std::size_t count = 0;
    operand_fault fault;
};

operand_fault fault_of(const vcpu &cpu, const walk_result &w, std::uint64_t va, access_kind access)
{
    switch (w.kind) {
    case walk_result::outcome::ok:
        break;
    case walk_result::outcome::general_protection:
        return {.what = operand_fault::kind::general_protection};
    case walk_result::outcome::page_fault:
        return {.what = operand_fault::kind::page_fault, .address = va, .error_code = w.error_code};
    case walk_result::outcome::refused_mark:
        return {.what = operand_fault::kind::rmp_walk,
                .address = va,
                .access = access == access_kind::write ? translation::access::write
                                                       : translation::access::read,
                .spa = w.table_entry,
                .verdict = check_write(cpu, w.table_entry, hw::rmp_access_kind::walk_write)};
    }
    return {};
}

/// True when the CPU's page walk may set bits in the table entry at `entry`.
bool may_mark(const void *cpu, spa_t entry)
{
    return check_write(*static_cast<const vcpu *>(cpu), entry, hw::rmp_access_kind::walk_write)
               .outcome == hw::rmp_outcome::allowed;
}

pieces find_pieces(const hw::memory_view &memory, const vcpu &cpu, std::uint64_t va,
                   std::size_t bytes, access_kind access)
{
    pieces out;
    const paging_state paging = cpu.paging();
    for (std::size_t done = 0; done < bytes && out.fault.what == operand_fault::kind::none;) {
        piece p{.va = va + done, .offset = done};
        p.bytes = std::min<std::size_t>(bytes - done, page_4k - p.va % page_4k);
        const walk_result w = walk(memory, paging, p.va, access, may_mark, &cpu);
        out.fault = fault_of(cpu, w, p.va, access);
        p.spa = w.spa;
        out.part[out.count++] = p;
        done += p.bytes;
    }
    return out;
}

} // namespace

operand_fault read_operand(const hw::memory_view &memory, const vcpu &cpu, std::uint64_t va,
                           std::span<std::byte> to)
{
    const pieces ps = find_pieces(memory, cpu, va, to.size(), access_kind::read);
    if (ps.fault.what != operand_fault::kind::none) {
        return ps.fault;
    }
    for (std::size_t i = 0; i < ps.count; ++i) {
        const piece &p = ps.part[i];
        read_system_memory(p.spa, &to[p.offset], p.bytes);
    }
    return {};
}

operand_fault write_operand(const hw::memory_view &memory, const vcpu &cpu, std::uint64_t va,
                            std::span<const std::byte> from)
{
    const pieces ps = find_pieces(memory, cpu, va, from.size(), access_kind::write);
    if (ps.fault.what != operand_fault::kind::none) {
        return ps.fault;
    }
    for (std::size_t i = 0; i < ps.count; ++i) {
        const piece &p = ps.part[i];
        const hw::rmp_verdict verdict = check_write(cpu, p.spa);
        if (verdict.outcome != hw::rmp_outcome::allowed) {
            return {.what = operand_fault::kind::rmp,
                    .address = p.va,
                    .error_code = pf_write,
                    .spa = p.spa,
                    .verdict = verdict};
        }
    }
    for (std::size_t i = 0; i < ps.count; ++i) {
        const piece &p = ps.part[i];
        memory.write(p.spa, &from[p.offset], p.bytes);
    }
    return {};
}

} // namespace rmpopt
