// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/svm_guest.h"

#include "emulation.h"
#include "x86/page_tables.h"
#include "base/log.h"
#include "enforce/fault.h"

#include <array>
#include <atomic>

namespace rmpopt
{

namespace
{

// Control area of the VMCB (APM vol. 2, appendix B) and SEV_FEATURES in the VMSA.
namespace vmcb_field
{
constexpr std::uint64_t asid = 0x58, virtual_interrupt = 0x60, exit_code = 0x70, exit_info1 = 0x78,
                        exit_info2 = 0x80, exit_interrupt_info = 0x88, nested_control = 0x90,
                        nested_cr3 = 0xb0, avic_backing_page = 0xe0, vmsa = 0x108;
} // namespace vmcb_field
constexpr std::uint64_t vmsa_sev_features = 0x3b0;
constexpr std::uint64_t avic_enable = 1ull << 31;
constexpr std::uint64_t nested_paging = 1u << 0, sev_enable = 1u << 1, sev_es_enable = 1u << 2;
constexpr std::uint64_t snp_active = 1u << 0;
constexpr std::uint64_t page_mask = ((1ull << 52) - 1) & ~(hw::page_4k - 1);

/// What VMRUN was last told, by vCPU; written by the vCPU's thread alone.
struct vcpu_guest {
    std::atomic<hw::spa_t> vmcb{0};
    std::atomic<std::uint64_t> host_cr4{0}; ///< decides how deep the nested tables are
    hw::held_pages held;                    ///< RMP lock
    std::atomic<bool> is_known{false};      ///< the model counts it as running
};

std::array<vcpu_guest, most_vcpus> guests;
std::atomic<bool> any_guest{false};

std::uint64_t field(const hw::memory_view &memory, hw::spa_t base, std::uint64_t offset)
{
    return memory.load<std::uint64_t>(base + offset).value_or(0);
}

void hold(hw::held_pages &held, hw::spa_t spa)
{
    held.spa[held.count++] = spa;
}

/// Nested tables have the form of the host's own at VMRUN (APM vol. 2, 15.25.3): five levels if the
/// host uses LA57.
guest_paging paging_of(const vcpu &cpu)
{
    const hw::memory_view &memory = the_context->machine().memory();
    const vcpu_guest &g = guests[cpu.index()];
    const hw::spa_t vmcb = g.vmcb.load(std::memory_order_relaxed);
    guest_paging p;
    p.guest = cpu.paging();
    p.long_mode = cpu.long_mode();
    p.nested = (field(memory, vmcb, vmcb_field::nested_control) & nested_paging) != 0;
    p.host.cr3 = field(memory, vmcb, vmcb_field::nested_cr3);
    p.host.cr4 = g.host_cr4.load(std::memory_order_relaxed);
    return p;
}

[[noreturn]] void leave_guest(const translation &access, std::uint64_t gpa,
                              std::uint64_t exit_info1)
{
    constexpr std::uint64_t exit_npf = 0x400;
    const hw::spa_t vmcb = guests[access.cpu.index()].vmcb.load(std::memory_order_relaxed);
    log_rmp_fault(access.cpu, access.address, exit_info1);
    the_context->machine().memory().store(vmcb + vmcb_field::exit_info2, gpa);
    access.cpu.exit_guest(exit_npf, exit_info1, 0);
}

/// P and U: nested accesses are user accesses to present pages (APM vol. 2, 15.25.6).
std::uint64_t base_info(const translation &access)
{
    return pf_present | pf_user |
           (access.kind == translation::access::write   ? pf_write
            : access.kind == translation::access::fetch ? pf_fetch
                                                        : 0);
}

std::optional<guest_path> path_of(const translation &access)
{
    return find_guest_path(the_context->machine().memory(), paging_of(access.cpu), access.address);
}

} // namespace

std::optional<guest_path> find_page(const vcpu &cpu, std::uint64_t va)
{
    const guest_paging paging =
        cpu.in_guest() ? paging_of(cpu)
                       : guest_paging{.guest = cpu.paging(),
                                      .long_mode = cpu.long_mode(),
                                      .nested = false,
                                      .host = {}};
    return find_guest_path(the_context->machine().memory(), paging, va);
}

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
                            .gpa = the_context->machine().rmp().load(vmsa).gpa};
        } else {
            v.pages.nonsnp_vmsa = vmsa;
        }
        hold(v.held, vmsa);
    }
    return v;
}

void guest_may_start(const vcpu &cpu, hw::spa_t vmcb, const hw::held_pages &held)
{
    vcpu_guest &g = guests.at(cpu.index());
    const std::scoped_lock lock(the_context->machine().rmp_lock());
    g.vmcb.store(vmcb, std::memory_order_relaxed);
    g.host_cr4.store(cpu.paging().cr4, std::memory_order_relaxed);
    g.held = held;
    any_guest.store(true, std::memory_order_relaxed);
}

void refresh_guests()
{
    if (!any_guest.load(std::memory_order_relaxed)) {
        return;
    }
    hw::machine &m = the_context->machine();
    const std::scoped_lock lock(m.rmp_lock());
    for (unsigned i = 0; i < m.cpus().threads(); ++i) {
        vcpu_guest &g = guests[i];
        const bool runs = vcpu::by_index(i).in_guest();
        if (runs == g.is_known.load(std::memory_order_relaxed)) {
            continue;
        }
        if (runs) {
            m.enter_guest(i, g.held);
        } else {
            m.leave_guest(i);
        }
        g.is_known.store(runs, std::memory_order_relaxed);
    }
}

void write_vmexit_invalid(const hw::memory_view &memory, hw::spa_t vmcb)
{
    memory.store(vmcb + vmcb_field::exit_code, ~std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_info1, std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_info2, std::uint64_t{0});
    memory.store(vmcb + vmcb_field::exit_interrupt_info, std::uint64_t{0});
}

void deliver_nested_fault(const translation &access, std::uint64_t error_bits, std::uintptr_t ra)
{
    access.cpu.synchronise(ra);
    const auto path = path_of(access);
    leave_guest(access, path.has_value() ? path->gpa : access.spa, base_info(access) | error_bits);
}

void deliver_nested_walk_fault(const translation &access, hw::spa_t table, std::uintptr_t ra)
{
    access.cpu.synchronise(ra);
    // The update is a write to the guest's table, whatever the access was.
    const std::uint64_t info =
        pf_present | pf_user | pf_write | hw::rmp_error::rmp | hw::rmp_error::page_walk;
    const auto path = path_of(access);
    std::uint64_t gpa = table;
    for (unsigned i = 0; path.has_value() && i < path->count; ++i) {
        const guest_path::table_entry &e = path->entries[i];
        if (hw::align_down(e.spa, hw::page_4k) == hw::align_down(table, hw::page_4k)) {
            gpa = e.gpa;
        }
    }
    leave_guest(access, gpa, info);
}

void forget_guests()
{
    for (vcpu_guest &g : guests) {
        g.vmcb.store(0, std::memory_order_relaxed);
        g.is_known.store(false, std::memory_order_relaxed);
    }
    any_guest.store(false, std::memory_order_relaxed);
}

} // namespace rmpopt
