// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/dispatch.h"

#include "enforce/fault.h"
#include "enforce/write_check.h"
#include "sev/encrypted_guest.h"
#include "x86/insn_match.h"

#include <atomic>

namespace rmpopt
{

namespace
{

std::atomic<const insn_environment *> the_environment{nullptr};

/// What a callback must know of its instruction, in the pointer that QEMU passes to it.
struct insn_data {
    std::uint8_t length = 0;
    mov_cr_operands cr;

    void *pack() const
    {
        return reinterpret_cast<void *>(std::uintptr_t{length} | std::uintptr_t{cr.cr} << 8 |
                                        std::uintptr_t{cr.general} << 16);
    }
    static insn_data unpack(void *packed)
    {
        const auto bits = reinterpret_cast<std::uintptr_t>(packed);
        return {.length = static_cast<std::uint8_t>(bits),
                .cr = {.cr = static_cast<std::uint8_t>(bits >> 8),
                       .general = static_cast<std::uint8_t>(bits >> 16)}};
    }
};

template <auto emulate> void on_execute(unsigned, void *data)
{
    const insn_data insn = insn_data::unpack(data);
    // The vCPU index that QEMU passes may be that of another vCPU; see vcpu::current().
    emulate(insn_event{
        .env = *emulation_environment(),
        .cpu = vcpu::current(),
        .length = insn.length,
        .cr = insn.cr,
        .ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),
    });
}

} // namespace

void start_emulation(const insn_environment &e)
{
    the_environment.store(new insn_environment(e), std::memory_order_release); // lives on
}

const insn_environment *emulation_environment()
{
    return the_environment.load(std::memory_order_acquire);
}

namespace
{

qemu_plugin_vcpu_udata_cb_t callback_of(emulated_insn insn)
{
    switch (insn) {
    case emulated_insn::none:
        break;
    case emulated_insn::cpuid:
        return on_execute<emulate_cpuid>;
    case emulated_insn::rdmsr:
        return on_execute<emulate_rdmsr>;
    case emulated_insn::wrmsr:
        return on_execute<emulate_wrmsr>;
    case emulated_insn::rmpupdate:
        return on_execute<emulate_rmpupdate>;
    case emulated_insn::psmash:
        return on_execute<emulate_psmash>;
    case emulated_insn::rmpread:
        return on_execute<emulate_rmpread>;
    case emulated_insn::rmpopt:
        return on_execute<emulate_rmpopt>;
    case emulated_insn::vmrun:
        return on_execute<emulate_vmrun>;
    case emulated_insn::vmsave:
        return on_execute<emulate_vmsave>;
    case emulated_insn::hlt:
        return on_execute<emulate_hlt>;
    case emulated_insn::marker:
        return on_execute<emulate_marker>;
    case emulated_insn::vmgexit:
        return on_execute<emulate_vmgexit>;
    case emulated_insn::pvalidate:
        return on_execute<emulate_pvalidate>;
    case emulated_insn::rmpadjust:
        return on_execute<emulate_rmpadjust>;
    case emulated_insn::rmpquery:
        return on_execute<emulate_rmpquery>;
    case emulated_insn::mov_to_cr:
        return on_execute<emulate_mov_to_cr>;
    case emulated_insn::mov_from_cr:
        return on_execute<emulate_mov_from_cr>;
    case emulated_insn::xsavec:
        return on_execute<emulate_xsavec>;
    case emulated_insn::xrstor:
        return on_execute<emulate_xrstor>;
    }
    return nullptr;
}

} // namespace

emulation_callback find_emulation(std::span<const std::uint8_t> bytes)
{
    const emulated_insn insn = match_insn(bytes);
    insn_data data{.length = static_cast<std::uint8_t>(bytes.size()), .cr = {}};
    if (insn == emulated_insn::mov_to_cr || insn == emulated_insn::mov_from_cr) {
        data.cr = operands_of_mov_cr(bytes);
    }
    return {callback_of(insn), data.pack()};
}

std::uint64_t address_of(const address_form &form, const vcpu &cpu, std::uint64_t rip)
{
    std::uint64_t a = static_cast<std::uint64_t>(form.displacement);
    if (form.base != address_form::no_register) {
        a += cpu.reg(static_cast<gpr>(form.base));
    }
    if (form.index != address_form::no_register) {
        a += cpu.reg(static_cast<gpr>(form.index)) * form.scale;
    }
    a += form.rip_relative ? rip : 0;
    if (form.address_bytes == 4) {
        a = static_cast<std::uint32_t>(a);
    }
    return a + (form.segment == address_form::segment::fs   ? cpu.fs_base()
                : form.segment == address_form::segment::gs ? cpu.gs_base()
                                                            : 0);
}

void synchronise(insn_event &event)
{
    event.cpu.synchronise(event.ra);
    event.ra = 0;
}

void complete(insn_event event, std::uint32_t flags, std::uint32_t mask)
{
    synchronise(event);
    if (mask != 0) {
        event.cpu.set_arithmetic_flags(flags, mask);
    }
    vcpu::continue_at(event.cpu.rip() + event.length);
}

void exit_behind(insn_event event, std::uint64_t code, std::uint64_t info1)
{
    synchronise(event);
    event.cpu.set_rip(event.cpu.rip() + event.length);
    exit_encrypted_guest(event.cpu, code, info1);
}

void execute_again(insn_event event)
{
    synchronise(event);
    vcpu::continue_at(event.cpu.rip());
}

void complete_with_status(const insn_event &event, hw::rmp_status status, std::uint32_t mask)
{
    event.reg(rax) = static_cast<std::uint32_t>(status);
    complete(event, hw::status_flags(status), mask);
}

void refuse_in_guest(const insn_event &event, std::uint32_t mask)
{
    if (const auto status = hw::refused_in_guest(event.model_context()); status.has_value()) {
        complete_with_status(event, *status, mask);
    }
}

void raise(const insn_event &event, hw::fault f)
{
    event.cpu.raise(f == hw::fault::ud ? vector::ud : vector::gp, 0, event.ra);
}

void raise_any(const insn_event &event, hw::fault f)
{
    if (f != hw::fault::none) {
        raise(event, f);
    }
}

void raise_any(const insn_event &event, const operand_fault &bad)
{
    switch (bad.what) {
    case operand_fault::kind::none:
        return;
    case operand_fault::kind::general_protection:
        raise(event, hw::fault::gp0);
    case operand_fault::kind::page_fault:
        event.cpu.set_cr2(bad.address);
        event.cpu.raise(vector::pf, static_cast<int>(bad.error_code), event.ra);
    case operand_fault::kind::rmp_walk:
        refuse_walk({event.cpu, bad.address, bad.access, false, 0}, bad.spa, {bad.verdict},
                    event.ra);
    case operand_fault::kind::rmp:
        deliver_page_fault(event.cpu,
                           {.address = bad.address,
                            .spa = bad.spa,
                            .verdict = bad.verdict,
                            .code = bad.error_code},
                           event.ra);
    }
}

} // namespace rmpopt
