// SPDX-License-Identifier: GPL-2.0-or-later
// Stores that QEMU makes in several parts. When such a store crosses into another page, all its
// parts are checked first, so that it faults before any of them is written. PUSHF and SETcc are
// always checked first, because QEMU would lose the guest's flags if their store faulted.
#include "x86/split_store.h"
#include "base/intern.h"
#include "insn/dispatch.h"
#include "qemu/tlb_fill.h"

namespace rmpopt
{

namespace
{

void on_execute(unsigned, void *data)
{
    const auto &store = *static_cast<const split_store *>(data);
    const vcpu cpu = vcpu::current();
    if (!emulation_environment()->machine->snp_enabled(cpu.index())) {
        return;
    }
    const auto ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const std::uint64_t rip = store.address.rip_relative ? cpu.rip_at(ra) : 0;
    const std::uint64_t address = address_of(store.address, cpu, rip);
    const std::uint64_t first = address + static_cast<std::uint64_t>(store.low);
    const std::uint64_t last = address + static_cast<std::uint64_t>(store.high) - 1;
    const bool crosses = hw::align_down(first, hw::page_4k) != hw::align_down(last, hw::page_4k);
    if (!crosses && !store.spoils_flags) {
        return;
    }
    for (const split_store::part &p : std::span(store.parts).first(store.count)) {
        tlb_fill::try_access(cpu, address + static_cast<std::uint64_t>(p.offset), p.bytes,
                             translation::access::write, ra);
    }
}

} // namespace

bool watch_split_store(qemu_plugin_insn *insn, std::span<const std::uint8_t> code)
{
    const bool code_64 = vcpu::current().code_64();
    const auto store = find_split_store(code, code_64);
    if (store.has_value()) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_execute, QEMU_PLUGIN_CB_RW_REGS_PC,
                                               intern(code, code_64, *store));
    }
    return store.has_value();
}

} // namespace rmpopt
