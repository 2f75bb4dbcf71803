// SPDX-License-Identifier: GPL-2.0-or-later
// What ends or interrupts a guest with encrypted memory. Of an SEV-ES guest most exits are not the
// host's: they become #VC in the guest (APM vol. 2, 15.35.5). For the others, the CPU saves all
// registers in the VMSA and loads the host's (15.35.8).
#include "enforce/state.h"
#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/vmexit.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"
#include "x86/decode_assist.h"
#include "x86/decoder.h"
#include "x86/vmcb.h"

#include <mutex>

namespace rmpopt
{

namespace
{

constexpr int df_vector = 8, vc_vector = 29;

/// The guest's bytes from RIP on, as far as they can be read.
struct code_bytes {
    std::array<std::uint8_t, longest_instruction> byte{};
    std::size_t count = 0;
};

code_bytes read_code(const vcpu &cpu, const encrypted_guest &guest)
{
    code_bytes code;
    for (; code.count < code.byte.size(); ++code.count) {
        const auto t = hw::translate_guest(*enforced.machine, tables_of(cpu, guest), guest.identity,
                                           {.address = cpu.linear_rip() + code.count,
                                            .kind = hw::rmp_access_kind::fetch,
                                            .user = cpu.cpl() == 3});
        const auto byte = t.kind == hw::guest_translation::outcome::mapped
                              ? memory().load<std::uint8_t>(t.spa)
                              : std::nullopt;
        if (!byte.has_value()) {
            break;
        }
        code.byte[code.count] = *byte;
    }
    return code;
}

decode_assist assist(const vcpu &cpu, const code_bytes &code, std::uint64_t exit_code)
{
    return assist_of(exit_code, std::span(code.byte).first(code.count), cpu.code_64());
}

/// True when the guest's hypervisor intercepts the exception.
bool intercepts(const encrypted_guest &guest, int vector)
{
    const auto mask = memory().load<std::uint32_t>(guest.vmcb + vmcb_field::exception_intercepts);
    return (mask.value_or(0) >> vector & 1) != 0;
}

/// Raises #VC with `code` as its error code. QEMU delivers the vector without one. If #VC itself
/// leads to an exit that the guest is to handle, it is a double fault, and after that a shutdown
/// (APM vol. 2, 8.2.9).
void raise_vc(const vcpu &cpu, encrypted_guest &guest, std::uint64_t code)
{
    switch (guest.delivers) {
    case delivery::nothing:
        guest.delivers = delivery::vmm_communication;
        svm::deliver(cpu, vc_vector);
        if ((cpu.paging().cr0 & cr0_pe) != 0) {
            svm::push(cpu, code, cpu.long_mode() ? 8 : 4);
        }
        break;
    case delivery::vmm_communication:
        if (!intercepts(guest, df_vector)) {
            guest.delivers = delivery::double_fault;
            svm::deliver(cpu, df_vector);
            break;
        }
        [[fallthrough]];
    case delivery::double_fault:
        exit_encrypted_guest(cpu, hw::exit_code::shutdown);
    }
    guest.delivers = delivery::nothing;
}

/// After HLT and PAUSE a guest continues behind the instruction; hypervisors do not skip it.
bool is_completed(std::uint64_t code)
{
    return code == hw::exit_code::hlt || code == hw::exit_code::pause;
}

/// What QEMU's #VMEXIT does not save.
void save_registers(const vcpu &cpu, const encrypted_guest &guest)
{
    for (unsigned r = 0; r < 16; ++r) {
        memory().store(guest.vmsa + hw::general_register(r), cpu.reg(static_cast<gpr>(r)));
    }
    alignas(xsave::alignment) xsave::area state;
    svm::read_vectors(cpu, state);
    hw::store_vector_state(memory(), guest.vmsa, vectors_in(state));
    const auto pkru = svm::pkru_in(cpu, state);
    memory().write(guest.vmsa + hw::vmsa_field::pkru, pkru.data(), pkru.size());
    if (const auto xcr0 = svm::xcr0(cpu)) {
        memory().store(guest.vmsa + hw::vmsa_field::xcr0, *xcr0);
    }
}

/// The C-bit of CR3 back into what QEMU has saved.
void put_c_bit_back(hw::spa_t cr3, const encrypted_guest &guest)
{
    if (guest.cr3_encrypted) {
        memory().store(cr3, load_word(cr3) | hw::c_bit);
    }
}

/// The registers that QEMU's #VMEXIT leaves as the guest had them.
void restore_host(const vcpu &cpu)
{
    const hw::spa_t hsave = enforced.machine->thread(cpu.index()).vm_hsave_pa.load();
    const hw::spa_t area = hsave + hw::vmcb_save_area;
    svm::vmload(cpu, hsave);
    for (unsigned r = 0; r < 16; ++r) {
        if (r != rax && r != rsp) {
            cpu.reg(static_cast<gpr>(r)) = load_word(area + hw::general_register(r));
        }
    }
    alignas(xsave::alignment) xsave::area state;
    svm::read_vectors(cpu, state);
    hw::reset_vector_state(vectors_in(state));
    const auto pkru = svm::pkru_in(cpu, state);
    memory().read(area + hw::vmsa_field::pkru, pkru.data(), pkru.size());
    svm::write_vectors(cpu, state);
    const std::uint64_t xcr0 = load_word(area + hw::vmsa_field::xcr0);
    if (svm::xcr0(cpu).has_value() && svm::is_valid_xcr0(cpu, xcr0)) {
        svm::set_xcr0(cpu, xcr0);
    }
}

/// `entered`: VMRUN has not failed. Otherwise the guest's registers are still as the VMSA has them.
/// False when the guest runs on.
bool leave_es(const vcpu &cpu, const encrypted_guest &guest, bool entered)
{
    constexpr std::uint32_t guest_interrupts_on = 1u << 1;
    const bool interrupts = entered && (cpu.paging().rflags & rflags_if) != 0;
    const hw::spa_t saved = guest.vmcb + hw::vmcb_save_area;
    if (entered) {
        save_registers(cpu, guest);
    }
    tlb_fill::deliver(cpu);
    if (cpu.in_guest()) {
        return false;
    }
    if (entered) {
        svm::vmsave(cpu, guest.vmcb);
        hw::copy_save_area(memory(), saved, guest.vmsa);
        put_c_bit_back(guest.vmsa + hw::vmsa_field::cr3, guest);
    }
    memory().write(saved, guest.save_area.data(), guest.save_area.size());
    const hw::spa_t state = guest.vmcb + vmcb_field::interrupt_state;
    const std::uint32_t shadow = memory().load<std::uint32_t>(state).value_or(0);
    memory().store(state, shadow | (interrupts ? guest_interrupts_on : 0));
    restore_host(cpu);
    return true;
}

/// A plain SEV guest. QEMU tells nothing of the instruction, and the host cannot look.
bool leave_sev(const vcpu &cpu, const encrypted_guest &guest, std::uint64_t exit_code)
{
    const auto store = [&](std::uint64_t field, const auto &value) {
        memory().store(guest.vmcb + field, value);
    };
    const code_bytes code = read_code(cpu, guest);
    const decode_assist a = assist(cpu, code, exit_code);
    store(vmcb_field::next_rip, a.length != 0 ? cpu.rip() + a.length : 0);
    if (a.info1.has_value()) {
        store(vmcb_field::exit_info1, *a.info1);
    }
    const bool faulted = exit_code == hw::exit_code::nested_page_fault;
    store(vmcb_field::fetched_bytes, static_cast<std::uint8_t>(faulted ? code.count : 0));
    store(vmcb_field::fetched_bytes + 1, code.byte);
    tlb_fill::deliver(cpu);
    if (cpu.in_guest()) {
        return false;
    }
    put_c_bit_back(guest.vmcb + hw::vmcb_save_area + hw::vmsa_field::cr3, guest);
    return true;
}

} // namespace

bool leave_encrypted_guest(const vcpu &cpu)
{
    encrypted_guest &guest = encrypted_guest_of(cpu);
    if (!guest.runs) { // QEMU's VMRUN may fail before it is in guest mode
        return false;
    }
    const std::uint64_t code = load_word(guest.vmcb + vmcb_field::exit_code);
    if (code == no_exit_yet) { // an exception of the guest's own
        guest.delivers = delivery::nothing;
        return false;
    }
    const std::uint64_t info1 = load_word(guest.vmcb + vmcb_field::exit_info1);
    if (guest.es && hw::class_of_exit(code, info1) == hw::exit_class::vmm_communication) {
        memory().store(guest.vmcb + vmcb_field::exit_code, no_exit_yet);
        guest_counters_of(cpu).vc.add(code);
        raise_vc(cpu, guest, code);
        return true;
    }
    if (guest.es && is_completed(code)) {
        cpu.set_rip(cpu.rip() + assist(cpu, read_code(cpu, guest), code).length);
    }
    const bool left = guest.es ? leave_es(cpu, guest, code < hw::exit_code::first_failure)
                               : leave_sev(cpu, guest, code);
    if (!left) { // another CPU has written an exit code into the VMCB
        memory().store(guest.vmcb + vmcb_field::exit_code, no_exit_yet);
        return true;
    }
    guest.runs = false;
    guest_counters_of(cpu).exits.add(code);
    svm::flush_tlb(cpu);
    const std::scoped_lock lock(enforced.machine->rmp_lock());
    enforced.machine->leave_guest(cpu.index());
    return true;
}

} // namespace rmpopt
