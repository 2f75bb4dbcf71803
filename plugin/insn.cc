// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn.h"

#include "rmp_fault.h"

#include <algorithm>
#include <array>

namespace rmpopt
{

namespace
{

template <auto emulate, std::uint8_t length> void on_execute(unsigned, void *)
{
    // The vCPU index that QEMU passes may be that of another vCPU; see host_cpu::current().
    emulate(insn_event{
        .cpu = host_cpu::current(),
        .length = length,
        .ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),
    });
}

struct insn_pattern {
    std::array<std::uint8_t, 4> bytes;
    std::uint8_t length;
    qemu_plugin_vcpu_udata_cb_t callback;
};

constexpr std::array<insn_pattern, 7> patterns{{
    {{0x0f, 0xa2}, 2, on_execute<emulate_cpuid, 2>},
    {{0x0f, 0x32}, 2, on_execute<emulate_rdmsr, 2>},
    {{0x0f, 0x30}, 2, on_execute<emulate_wrmsr, 2>},
    {{0xf2, 0x0f, 0x01, 0xfe}, 4, on_execute<emulate_rmpupdate, 4>},
    {{0xf3, 0x0f, 0x01, 0xff}, 4, on_execute<emulate_psmash, 4>},
    {{0xf2, 0x0f, 0x01, 0xfd}, 4, on_execute<emulate_rmpread, 4>},
    {{0xf2, 0x0f, 0x01, 0xfc}, 4, on_execute<emulate_rmpopt, 4>},
}};

} // namespace

qemu_plugin_vcpu_udata_cb_t find_emulation(std::span<const std::uint8_t> bytes)
{
    for (const insn_pattern &p : patterns) {
        if (std::ranges::equal(std::span(p.bytes).first(p.length), bytes)) {
            return p.callback;
        }
    }
    return nullptr;
}

void complete(const insn_event &event, std::uint32_t flags, std::uint32_t mask)
{
    event.cpu.synchronise(event.ra);
    if (mask != 0) {
        event.cpu.set_arithmetic_flags(flags, mask);
    }
    host_cpu::continue_at(event.cpu.rip() + event.length);
}

void complete_with_status(const insn_event &event, hw::rmp_status status)
{
    event.reg(rax) = static_cast<std::uint32_t>(status);
    complete(event, hw::status_flags(status), hw::status_flags_mask);
}

void raise(const insn_event &event, hw::fault f)
{
    event.cpu.raise(f == hw::fault::ud ? vector::ud : vector::gp, 0, event.ra);
}

void raise(const insn_event &event, const operand_fault &bad)
{
    if (bad.is_rmp) {
        deliver_rmp_fault(event.cpu, bad.address, event.ra);
    }
    event.cpu.set_cr2(bad.address);
    event.cpu.raise(vector::pf, static_cast<int>(bad.error_code), event.ra);
}

} // namespace rmpopt
