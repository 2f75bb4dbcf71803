// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions that flush TLB entries: MOV to CR0, CR3 and CR4, INVLPG, INVPCID, INVLPGA (APM vol.
// 2, 5.5.2; vol. 3). The modelled TLB is flushed before QEMU executes the instruction. If that then
// faults, the model has flushed too much and makes a few extra page walks.
#include "base/intern.h"
#include "hw-model/base/x86_bits.h"
#include "insn/dispatch.h"
#include "instrument/store_hooks.h"
#include "instrument/tlb_hooks.h"
#include "x86/tlb_insn.h"

#include <cstring>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t cr3_keep = 1ull << 63;
constexpr std::uint64_t cr4_dropping =
    cr4_pse | cr4_pae | cr4_pge | cr4_la57 | cr4_pcide | cr4_smep;

struct pcid_descriptor {
    std::uint64_t pcid, address;
};

std::uint16_t pcid_of(std::uint64_t value)
{
    return static_cast<std::uint16_t>(value & cr3_pcid);
}

/// One execution of such an instruction.
struct drop_event {
    vcpu cpu;
    tlb_model &model;
    std::uint16_t asid;
    paging_state paging;
    std::uint16_t current_pcid() const
    {
        return (paging.cr4 & cr4_pcide) != 0 ? pcid_of(paging.cr3) : std::uint16_t{0};
    }
};

void mov_cr0(const drop_event &e, std::uint64_t value)
{
    if (((e.paging.cr0 ^ value) & (cr0_pe | cr0_pg)) != 0) {
        e.model.flush_asid(tlb_flush::cr0, e.asid, true);
    }
}

void mov_cr3(const drop_event &e, std::uint64_t value)
{
    if ((e.paging.cr4 & cr4_pcide) == 0) {
        e.model.flush_asid(tlb_flush::cr3, e.asid, false);
    } else if ((value & cr3_keep) == 0) {
        e.model.flush_pcid(tlb_flush::cr3, e.asid, pcid_of(value));
    }
}

void mov_cr4(const drop_event &e, std::uint64_t value)
{
    if (((e.paging.cr4 ^ value) & cr4_dropping) != 0) {
        e.model.flush_asid(tlb_flush::cr4, e.asid, true);
    }
}

void invpcid(const drop_event &e, std::uint64_t type, std::uint64_t operand)
{
    enum : std::uint64_t { one_address, one_pcid, all_with_global, all };
    pcid_descriptor d{};
    std::array<std::uint8_t, sizeof d> raw{};
    if (vcpu::read_code(operand, raw) != raw.size()) {
        return; // it will fault
    }
    std::memcpy(&d, raw.data(), sizeof d);
    switch (type) {
    case one_address:
        e.model.flush_page(tlb_flush::invpcid, e.asid, pcid_of(d.pcid), d.address, false);
        break;
    case one_pcid:
        e.model.flush_pcid(tlb_flush::invpcid, e.asid, pcid_of(d.pcid));
        break;
    case all_with_global:
    case all:
        e.model.flush_asid(tlb_flush::invpcid, e.asid, type == all_with_global);
        break;
    default: // #GP
        break;
    }
}

void drop(const drop_event &e, const tlb_insn &insn, std::uintptr_t ra)
{
    const std::uint64_t value = e.cpu.reg(static_cast<gpr>(insn.reg));
    const std::uint64_t rip = insn.address.rip_relative ? e.cpu.rip_at(ra) : 0;
    switch (insn.what) {
    case tlb_insn::kind::mov_cr0:
        return mov_cr0(e, value);
    case tlb_insn::kind::mov_cr3:
        return mov_cr3(e, value);
    case tlb_insn::kind::mov_cr4:
        return mov_cr4(e, value);
    case tlb_insn::kind::invlpg:
        return e.model.flush_page(tlb_flush::invlpg, e.asid, e.current_pcid(),
                                  address_of(insn.address, e.cpu, rip), true);
    case tlb_insn::kind::invpcid:
        return invpcid(e, value, address_of(insn.address, e.cpu, rip));
    case tlb_insn::kind::invlpga:
        return e.model.flush_asid_page(tlb_flush::invlpga,
                                       static_cast<std::uint16_t>(e.cpu.reg(rcx)), e.cpu.reg(rax));
    }
}

void on_execute(unsigned, void *data)
{
    const auto ra = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const vcpu cpu = vcpu::current();
    vcpu_tlb *tlb = tlb_hooks::tlb_of(cpu);
    if (tlb == nullptr || cpu.cpl() != 0) {
        return; // not at CPL 0: #GP
    }
    drop({.cpu = cpu,
          .model = tlb->model,
          .asid = tlb_hooks::asid_of(cpu, *tlb),
          .paging = cpu.paging()},
         *static_cast<const tlb_insn *>(data), ra);
    tlb->forget_all();
}

} // namespace

bool watch_tlb_insn(qemu_plugin_insn *insn, std::span<const std::uint8_t> code)
{
    if (!store_hooks::models_tlb()) {
        return false;
    }
    const bool code_64 = vcpu::current().code_64();
    const auto found = find_tlb_insn(code, code_64);
    if (found.has_value()) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_execute, QEMU_PLUGIN_CB_RW_REGS_PC,
                                               intern(code, code_64, *found));
    }
    return found.has_value();
}

} // namespace rmpopt
