// SPDX-License-Identifier: GPL-2.0-or-later
// VMRUN of a guest with encrypted memory (APM vol. 2, 15.35.8: what the CPU loads from the VMSA).
#include "enforce/state.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

unsigned vmpl_of(hw::spa_t vmsa)
{
    return memory().load<std::uint8_t>(vmsa + hw::vmsa_field::vmpl).value_or(0);
}

/// QEMU's CR3 has no room for the C-bit. It means nothing to the walk, which is always private.
void take_c_bit_off(encrypted_guest &guest)
{
    const hw::spa_t cr3 = guest.vmcb + hw::vmcb_save_area + hw::vmsa_field::cr3;
    guest.cr3_encrypted = (load_word(cr3) & hw::c_bit) != 0;
    memory().store(cr3, load_word(cr3) & ~hw::c_bit);
}

/// With a TR that names no present TSS, QEMU ends at the guest's first exception at CPL 3
/// (qemu/bugs.md). An empty TSS leads to the same exception as none: #TS.
void make_tss_present(hw::spa_t save_area)
{
    constexpr std::uint64_t tr = 0x90, attributes = 2, limit = 4;
    constexpr std::uint16_t type = 0xf, present = 1u << 7, available_tss = 9, busy_tss = 0xb;
    const auto now = memory().load<std::uint16_t>(save_area + tr + attributes).value_or(0);
    const bool is_tss = (now & type) == available_tss || (now & type) == busy_tss;
    if (!is_tss || (now & present) == 0) {
        memory().store(save_area + tr + attributes, std::uint16_t{present | busy_tss});
        memory().store(save_area + tr + limit, std::uint32_t{0});
    }
}

/// All registers that QEMU's VMRUN does not load from the VMCB. Where the host has not set
/// CR4.OSXSAVE, XCR0 is 1 for both.
void load_registers(const vcpu &cpu, const encrypted_guest &guest)
{
    svm::vmload(cpu, guest.vmcb);
    alignas(xsave::alignment) xsave::area state;
    svm::read_vectors(cpu, state);
    hw::load_vector_state(memory(), guest.vmsa, vectors_in(state));
    const auto pkru = svm::pkru_in(cpu, state);
    memory().read(guest.vmsa + hw::vmsa_field::pkru, pkru.data(), pkru.size());
    svm::write_vectors(cpu, state);
    if (svm::xcr0(cpu).has_value()) {
        svm::set_xcr0(cpu, load_word(guest.vmsa + hw::vmsa_field::xcr0));
    }
    for (unsigned r = 0; r < 16; ++r) {
        if (r != rax && r != rsp) { // RAX has the VMCB's address, RSP is saved by QEMU
            cpu.reg(static_cast<gpr>(r)) = load_word(guest.vmsa + hw::general_register(r));
        }
    }
}

} // namespace

const char *reason_against(const vcpu &cpu, const vmcb_view &v)
{
    if (!v.sev) {
        return "it asks for encrypted registers without encrypted memory";
    }
    if (v.asid == 0) {
        return "its ASID is 0";
    }
    const std::uint64_t vmsa =
        v.pages.vmsa.has_value() ? v.pages.vmsa->spa : v.pages.nonsnp_vmsa.value_or(0);
    if (v.sev_es && memory().at(vmsa, hw::page_4k) == nullptr) {
        return "its VMSA is not in memory";
    }
    if (v.sev_es && !svm::is_valid_xcr0(cpu, load_word(vmsa + hw::vmsa_field::xcr0))) {
        return "XCR0 in its VMSA is not valid";
    }
    if (v.sev_es && vmpl_of(vmsa) >= hw::vmpls) {
        return "its VMPL does not exist";
    }
    return nullptr;
}

void enter_encrypted_guest(const vcpu &cpu, hw::spa_t vmcb, const vmcb_view &v)
{
    encrypted_guest &guest = encrypted_guest_of(cpu);
    guest.es = v.sev_es;
    guest.vmcb = vmcb;
    guest.delivers = delivery::nothing;
    guest.host_cr4 = cpu.paging().cr4;
    guest.identity = {.thread = cpu.index(), .snp = v.pages.snp_active, .asid = v.asid};
    if (guest.es) {
        guest.vmsa = guest.identity.snp ? v.pages.vmsa->spa : *v.pages.nonsnp_vmsa;
        guest.identity.vmpl = vmpl_of(guest.vmsa);
        memory().read(vmcb + hw::vmcb_save_area, guest.save_area.data(), guest.save_area.size());
        hw::copy_save_area(memory(), guest.vmsa, vmcb + hw::vmcb_save_area);
        make_tss_present(vmcb + hw::vmcb_save_area);
    }
    take_c_bit_off(guest);
    if (guest.es) {
        load_registers(cpu, guest);
    }
    memory().store(vmcb + vmcb_field::exit_code, no_exit_yet);
    guest.runs = true;
    bump(guest_counters_of(cpu).entries);
    svm::flush_tlb(cpu);
}

} // namespace rmpopt
