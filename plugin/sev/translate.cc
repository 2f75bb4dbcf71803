// SPDX-License-Identifier: GPL-2.0-or-later
// Translations of a guest with encrypted memory: the model's walk, and what it asks for.
#include "enforce/conceal.h"
#include "enforce/fault.h"
#include "enforce/state.h"
#include "hw-model/guest/vmexit.h"
#include "qemu/svm.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

hw::rmp_access_kind kind_of(translation::access a)
{
    switch (a) {
    case translation::access::write:
        return hw::rmp_access_kind::write;
    case translation::access::fetch:
        return hw::rmp_access_kind::fetch;
    case translation::access::read:
        break;
    }
    return hw::rmp_access_kind::read;
}

/// Raises what the walk for `address` ended in. The vCPU's state is exact.
[[noreturn]] void raise(const vcpu &cpu, std::uint64_t address, const hw::guest_translation &t)
{
    switch (t.kind) {
    case hw::guest_translation::outcome::general_protection:
        cpu.raise(vector::gp, 0, 0);
    case hw::guest_translation::outcome::page_fault:
        bump(guest_counters_of(cpu).page_faults);
        cpu.set_cr2(address);
        cpu.raise(vector::pf, static_cast<int>(t.error_code), 0);
    case hw::guest_translation::outcome::not_validated:
        tell_page(cpu, guest_page_event::kind::not_validated, t.gpa, t.spa, cpu.rip());
        exit_encrypted_guest(cpu, hw::exit_code::page_not_validated);
    case hw::guest_translation::outcome::nested_page_fault:
    case hw::guest_translation::outcome::mapped:
        break;
    }
    if (t.verdict.checked) {
        bump(guest_counters_of(cpu).rmp_faults);
        if (t.verdict.rule == hw::rmp_rule::hypervisor_owned &&
            has_validated(encrypted_guest_of(cpu), t.gpa, t.spa)) {
            tell_page(cpu, guest_page_event::kind::shared_access, t.gpa, t.spa, cpu.rip());
        }
        tell_denied(cpu, {.address = address, .spa = t.spa, .verdict = t.verdict, .code = t.info1});
    }
    exit_encrypted_guest(cpu, hw::exit_code::nested_page_fault, t.info1, t.gpa);
}

} // namespace

hw::guest_tables tables_of(const vcpu &cpu, const encrypted_guest &guest)
{
    const paging_state p = cpu.paging();
    return {.cr0 = p.cr0,
            .cr3 = p.cr3,
            .cr4 = p.cr4,
            .efer = cpu.efer(),
            .nested_cr3 = load_word(guest.vmcb + vmcb_field::nested_cr3),
            .host_cr4 = guest.host_cr4,
            .pkru = svm::pkru(cpu)};
}

namespace
{

/// From QEMU's mapping, in which pages are protected that the RMP keeps from the host.
std::ptrdiff_t past_protection()
{
    return enforced.level == enforcement::off ? 0 : enforced.ram->to_hardware_view();
}

/// A 32-bit address is longer only where an access runs over the end of 4 GB. But QEMU also pushes
/// the frame of an exception in compatibility mode, which is on a 64-bit stack, as 32-bit code.
std::uint64_t linear_address(const own_access &a)
{
    constexpr std::uint64_t end = 1ull << 32;
    const bool runs_over = a.address >= end && a.address < end + hw::page_4k;
    return a.is_32 && (runs_over || !a.cpu.long_mode()) ? static_cast<std::uint32_t>(a.address)
                                                        : a.address;
}

} // namespace

own_translation translate_for_encrypted_guest(const own_access &a)
{
    const encrypted_guest &guest = encrypted_guest_of(a.cpu);
    const hw::guest_translation t = hw::translate_guest(
        *enforced.machine, tables_of(a.cpu, guest), guest.identity,
        {.address = linear_address(a), .kind = kind_of(a.kind), .user = a.user, .smap = a.smap});
    if (t.kind != hw::guest_translation::outcome::mapped) {
        if (a.may_fault) {
            a.cpu.synchronise(a.ra);
            raise(a.cpu, a.address, t);
        }
        return {};
    }
    const bool fetch = a.kind == translation::access::fetch;
    bump(guest_counters_of(a.cpu).tlb_fills);
    if (!t.encrypted && !fetch && a.may_fault && has_validated(guest, t.gpa, t.spa)) {
        tell_page(a.cpu, guest_page_event::kind::shared_access, t.gpa, t.spa,
                  a.ra == 0 ? a.cpu.rip() : a.cpu.rip_at(a.ra));
    }
    const bool own = t.encrypted && guest.identity.snp;
    const std::ptrdiff_t hidden = own ? 0 : conceal(t.spa);
    return {.found = true,
            .spa = t.spa,
            .readable = t.readable && !(fetch && hidden != 0),
            .writable = t.writable,
            .executable = t.executable,
            .page_bytes = t.page_bytes,
            .distance = fetch ? 0
                        : own ? past_protection()
                              : hidden};
}

hw::guest_translation translate_operand(const vcpu &cpu, std::uint64_t address)
{
    const encrypted_guest &guest = encrypted_guest_of(cpu);
    const hw::guest_translation t = hw::translate_guest(
        *enforced.machine, tables_of(cpu, guest), guest.identity,
        {.address = cpu.code_64() ? address : static_cast<std::uint32_t>(address),
         .page_unchecked = true});
    if (t.kind != hw::guest_translation::outcome::mapped) {
        raise(cpu, address, t);
    }
    return t;
}

} // namespace rmpopt
