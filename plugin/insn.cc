// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn.h"

#include "rmp_fault.h"

#include <algorithm>
#include <array>

namespace rmpopt
{

namespace
{

template <auto emulate> void on_execute(unsigned, void *length)
{
    // The vCPU index that QEMU passes may be that of another vCPU; see host_cpu::current().
    emulate(insn_event{
        .cpu = host_cpu::current(),
        .length = static_cast<std::uint8_t>(reinterpret_cast<std::uintptr_t>(length)),
        .ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),
    });
}

/// F2 and F3 select an instruction after 0F 01 and mean nothing to the two-byte opcodes.
enum class repeat_prefix : std::uint8_t { any, f2, f3 };

struct insn_pattern {
    repeat_prefix repeat;
    std::array<std::uint8_t, 3> opcode;
    std::uint8_t opcode_bytes;
    qemu_plugin_vcpu_udata_cb_t callback;
};

constexpr std::array<insn_pattern, 7> patterns{{
    {repeat_prefix::any, {0x0f, 0xa2}, 2, on_execute<emulate_cpuid>},
    {repeat_prefix::any, {0x0f, 0x32}, 2, on_execute<emulate_rdmsr>},
    {repeat_prefix::any, {0x0f, 0x30}, 2, on_execute<emulate_wrmsr>},
    {repeat_prefix::f2, {0x0f, 0x01, 0xfe}, 3, on_execute<emulate_rmpupdate>},
    {repeat_prefix::f3, {0x0f, 0x01, 0xff}, 3, on_execute<emulate_psmash>},
    {repeat_prefix::f2, {0x0f, 0x01, 0xfd}, 3, on_execute<emulate_rmpread>},
    {repeat_prefix::f2, {0x0f, 0x01, 0xfc}, 3, on_execute<emulate_rmpopt>},
}};

constexpr bool is_other_prefix(std::uint8_t b)
{
    // Operand and address size, segments, REX. In 32-bit code 40h to 4Fh are instructions of their
    // own, so they cannot stand in front of one of ours.
    return b == 0x66 || b == 0x67 || b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e ||
           b == 0x64 || b == 0x65 || (b & 0xf0) == 0x40;
}

/// Splits an instruction into the last repeat prefix and the bytes from the opcode on. A LOCK
/// prefix stays in front of the opcode: none of ours allows it.
std::span<const std::uint8_t> skip_prefixes(std::span<const std::uint8_t> bytes,
                                            repeat_prefix &repeat)
{
    while (!bytes.empty()) {
        const std::uint8_t b = bytes.front();
        if (b == 0xf2 || b == 0xf3) {
            repeat = b == 0xf2 ? repeat_prefix::f2 : repeat_prefix::f3;
        } else if (!is_other_prefix(b)) {
            break;
        }
        bytes = bytes.subspan(1);
    }
    return bytes;
}

} // namespace

qemu_plugin_vcpu_udata_cb_t find_emulation(std::span<const std::uint8_t> bytes)
{
    auto repeat = repeat_prefix::any;
    const auto opcode = skip_prefixes(bytes, repeat);
    for (const insn_pattern &p : patterns) {
        if ((p.repeat == repeat_prefix::any || p.repeat == repeat) &&
            std::ranges::equal(std::span(p.opcode).first(p.opcode_bytes), opcode)) {
            return p.callback;
        }
    }
    return nullptr;
}

void synchronise(insn_event &event)
{
    if (event.ra != 0) {
        event.cpu.synchronise(event.ra);
        event.ra = 0;
    }
}

void complete(insn_event event, std::uint32_t flags, std::uint32_t mask)
{
    synchronise(event);
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
    if (bad.what == operand_fault::kind::rmp) {
        deliver_rmp_fault(event.cpu, bad.address, event.ra);
    }
    if (bad.what == operand_fault::kind::general_protection) {
        raise(event, hw::fault::gp0);
    }
    event.cpu.set_cr2(bad.address);
    event.cpu.raise(vector::pf, static_cast<int>(bad.error_code), event.ra);
}

} // namespace rmpopt
