// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/svm_guest.h"

#include "enforce/fault.h"
#include "enforce/state.h"
#include "hw-model/base/x86_bits.h"
#include "x86/vmcb.h"

#include <mutex>

namespace rmpopt
{

namespace
{

// SEV_FEATURES in the VMSA (APM vol. 2, appendix B).
constexpr std::uint64_t vmsa_sev_features = 0x3b0;
constexpr std::uint64_t avic_enable = 1ull << 31;
constexpr std::uint64_t sev_enable = 1u << 1, sev_es_enable = 1u << 2;
constexpr std::uint64_t snp_active = 1u << 0;
constexpr std::uint64_t page_mask = ((1ull << 52) - 1) & ~(hw::page_4k - 1);

std::uint64_t field(const hw::memory_view &memory, hw::spa_t base, std::uint64_t offset)
{
    return memory.load<std::uint64_t>(base + offset).value_or(0);
}

/// True when `f(vCPU)` is true for any vCPU that, by the model, runs a guest with a page in
/// [spa, spa + bytes).
template <class F> bool any_user(hw::spa_t spa, std::uint64_t bytes, F f)
{
    const hw::machine &m = *enforced.machine;
    for (unsigned i = 0; i < m.cpus().threads(); ++i) {
        if (m.thread(i).in_use.holds(spa, bytes) && f(vcpu::by_index(i))) {
            return true;
        }
    }
    return false;
}

/// Called while no vCPU executes anything, because QEMU's flags are exact only then.
void note_ended_guests(void *)
{
    hw::machine &m = *enforced.machine;
    const std::scoped_lock lock(m.rmp_lock());
    for (unsigned i = 0; i < m.cpus().threads(); ++i) {
        if (!vcpu::by_index(i).in_guest()) {
            m.leave_guest(i);
        }
    }
}

void hold(hw::pages_in_use &held, hw::spa_t spa)
{
    held.spa[held.count++] = spa;
}

[[noreturn]] void leave_guest(const translation &access, std::uint64_t gpa,
                              const denied_access &denied)
{
    constexpr std::uint64_t exit_npf = 0x400;
    const hw::spa_t vmcb = access.cpu.vmcb();
    tell_denied(access.cpu, denied);
    enforced.machine->memory().store(vmcb + vmcb_field::exit_info2, gpa);
    access.cpu.exit_guest(exit_npf, denied.code, 0);
}

/// EXITINFO1 without the bits of the verdict. P and U are always set: nested accesses are user
/// accesses to present pages (APM vol. 2, 15.25.6).
std::uint64_t base_info(const translation &access)
{
    return pf_present | pf_user |
           (access.kind == translation::access::write   ? pf_write
            : access.kind == translation::access::fetch ? pf_fetch
                                                        : 0);
}

std::optional<guest_path> path_of(const translation &access)
{
    return access.cpu.find_page(enforced.machine->memory(), access.address);
}

} // namespace

bool is_host_svm_insn(const vcpu &cpu, hw::spa_t spa)
{
    return cpu.svm_enabled() && !cpu.in_guest() && cpu.cpl() == 0 &&
           hw::is_aligned(spa, hw::page_4k);
}

vmcb_view read_vmcb(const hw::memory_view &memory, hw::spa_t vmcb)
{
    vmcb_view v;
    hold(v.held, vmcb);
    const std::uint64_t control = field(memory, vmcb, vmcb_field::nested_control);
    v.asid = static_cast<std::uint16_t>(field(memory, vmcb, vmcb_field::asid));
    v.tlb_control = static_cast<std::uint8_t>(field(memory, vmcb, vmcb_field::asid) >> 32);
    v.sev = (control & sev_enable) != 0;
    v.sev_es = (control & sev_es_enable) != 0;
    if ((field(memory, vmcb, vmcb_field::virtual_interrupt) & avic_enable) != 0) {
        v.pages.avic_backing = field(memory, vmcb, vmcb_field::avic_backing_page) & page_mask;
        v.held.avic_backing = v.pages.avic_backing;
        hold(v.held, *v.pages.avic_backing);
    }
    if (v.sev_es) {
        const hw::spa_t vmsa = field(memory, vmcb, vmcb_field::vmsa) & page_mask;
        v.pages.snp_active = (field(memory, vmsa, vmsa_sev_features) & snp_active) != 0;
        if (v.pages.snp_active) {
            v.pages.vmsa = {.spa = vmsa,
                            .asid =
                                static_cast<std::uint32_t>(field(memory, vmcb, vmcb_field::asid)),
                            .gpa = enforced.machine->rmp().load(vmsa).gpa};
        } else {
            v.pages.nonsnp_vmsa = vmsa;
        }
        hold(v.held, vmsa);
    }
    return v;
}

void guest_starts(const vcpu &cpu, hw::spa_t vmcb, const hw::pages_in_use &held)
{
    cpu.will_run(vmcb);
    enforced.machine->enter_guest(cpu.index(), held);
}

bool is_use_certain(hw::spa_t spa, std::uint64_t bytes)
{
    if (!any_user(spa, bytes, [](const vcpu &user) { return !user.in_guest(); })) {
        return true;
    }
    tlb_fill::flush_then(note_ended_guests, nullptr);
    return false;
}

bool is_in_running_guest(hw::spa_t page)
{
    return any_user(page, hw::page_4k, [](const vcpu &user) { return user.in_guest(); });
}

void write_vmexit_invalid(const hw::memory_view &memory, hw::spa_t vmcb)
{
    memory.store(vmcb + vmcb_field::exit_code, ~std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_info1, std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_info2, std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_interrupt_info, std::uint64_t{0});
}

void deliver_nested_fault(const translation &access, const hw::rmp_verdict &verdict,
                          std::uintptr_t ra)
{
    access.cpu.synchronise(ra);
    const auto path = path_of(access);
    leave_guest(access, path.has_value() ? path->gpa : access.spa,
                {.address = access.address,
                 .spa = access.spa,
                 .verdict = verdict,
                 .code = base_info(access) | verdict.error_bits});
}

void deliver_nested_walk_fault(const translation &access, hw::spa_t table,
                               const hw::rmp_verdict &verdict, std::uintptr_t ra)
{
    access.cpu.synchronise(ra);
    const auto path = path_of(access);
    std::uint64_t gpa = table;
    for (unsigned i = 0; path.has_value() && i < path->count; ++i) {
        const guest_path::table_entry &e = path->entries[i];
        if (hw::align_down(e.spa, hw::page_4k) == hw::align_down(table, hw::page_4k)) {
            gpa = e.gpa;
        }
    }
    // The page walk's update is a write, whatever the access was.
    leave_guest(access, gpa,
                {.address = access.address,
                 .spa = table,
                 .verdict = verdict,
                 .code = pf_present | pf_user | pf_write | verdict.error_bits});
}

void forget_guests()
{
    vcpu::forget_guests();
}

} // namespace rmpopt
