// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_qemu.h"

#include "instrument/store_hooks.h"
#include "instrument/tlb_hooks.h"
#include "qemu/api.h"
#include "qemu/guest_timer.h"
#include "qemu/machine.h"
#include "qemu/queued_work.h"
#include "qemu/stale_code.h"
#include "qemu/svm.h"
#include "qemu/vcpu_stall.h"

#include <algorithm>
#include <cstring>

namespace rmpopt
{

namespace fake
{
state qemu;

void run_next_queued()
{
    if (!qemu.queued.empty()) {
        const auto [work, data] = qemu.queued.front();
        qemu.queued.erase(qemu.queued.begin());
        work(data);
    }
}

void run_queued()
{
    while (!qemu.queued.empty()) {
        run_next_queued();
    }
}
} // namespace fake

using fake::qemu;

// vCPU. What its pointer leads to is never looked at.

namespace
{
char the_cpu;
} // namespace

std::uint64_t *vcpu::env() const
{
    return qemu.reg.data();
}
vcpu vcpu::current()
{
    return {&the_cpu, 0};
}
vcpu vcpu::by_index(unsigned index)
{
    return {&the_cpu, index};
}
bool vcpu::on_vcpu_thread()
{
    return qemu.on_vcpu_thread;
}
unsigned vcpu::cpl() const
{
    return qemu.cpl;
}
bool vcpu::long_mode() const
{
    return qemu.long_mode;
}
bool vcpu::code_64() const
{
    return qemu.code_64;
}
bool vcpu::svm_enabled() const
{
    return qemu.svm;
}
bool vcpu::in_guest() const
{
    return qemu.in_guest;
}
std::uint64_t vcpu::fs_base() const
{
    return 0;
}
std::uint64_t vcpu::gs_base() const
{
    return 0;
}
paging_state vcpu::paging() const
{
    return qemu.paging;
}
void vcpu::will_run(hw::spa_t vmcb) const
{
    qemu.vmcb = vmcb;
}
hw::spa_t vcpu::vmcb() const
{
    return qemu.vmcb;
}
void vcpu::forget_guests() {}
guest_paging vcpu::tables(const hw::memory_view &) const
{
    return {.guest = qemu.paging, .long_mode = true, .nested = false, .host = {}};
}
cpuid_result vcpu::native_cpuid(std::uint32_t, std::uint32_t) const
{
    return {};
}
void vcpu::synchronise(std::uintptr_t) const {}
bool vcpu::try_synchronise(std::uintptr_t) const
{
    return true;
}
std::uint64_t vcpu::rip() const
{
    return qemu.rip;
}
std::uint64_t vcpu::linear_rip() const
{
    return qemu.rip;
}
std::uint64_t vcpu::rip_at(std::uintptr_t) const
{
    return qemu.rip;
}
void vcpu::set_arithmetic_flags(std::uint32_t, std::uint32_t) const {}
void vcpu::continue_at(std::uint64_t rip)
{
    throw fake::continued{rip};
}
void vcpu::raise(int vector, int error_code, std::uintptr_t) const
{
    throw fake::raised{vector, error_code};
}
void vcpu::set_cr2(std::uint64_t address) const
{
    qemu.cr2 = address;
}
void vcpu::exit_guest(std::uint64_t code, std::uint64_t info1, std::uintptr_t) const
{
    throw fake::left{code, info1};
}
std::uint64_t vcpu::efer() const
{
    return qemu.efer;
}
void vcpu::set_rip(std::uint64_t rip) const
{
    qemu.rip = rip;
}
const std::vector<void *> &vcpu::all()
{
    static auto &all = *new std::vector<void *>{&the_cpu};
    return all;
}

void svm::vmrun(const vcpu &, unsigned)
{
    qemu.in_guest = true;
    throw fake::entered{};
}
void svm::vmload(const vcpu &, hw::spa_t vmcb)
{
    qemu.loaded.push_back(vmcb);
}
void svm::vmsave(const vcpu &, hw::spa_t vmcb)
{
    qemu.saved.push_back(vmcb);
}
void svm::flush_tlb(const vcpu &) {}
void svm::read_vectors(const vcpu &, xsave::area &to)
{
    to = qemu.vectors;
}
void svm::write_vectors(const vcpu &, const xsave::area &from)
{
    qemu.vectors = from;
}
std::span<std::byte> svm::pkru_in(const vcpu &, xsave::area &area)
{
    return std::span(area).subspan(fake::pkru_offset, sizeof(std::uint32_t));
}
std::uint32_t svm::pkru(const vcpu &)
{
    return 0;
}
std::optional<std::uint64_t> svm::xcr0(const vcpu &)
{
    return qemu.xcr0;
}
bool svm::is_valid_xcr0(const vcpu &, std::uint64_t value)
{
    return (value & 1) != 0;
}
void svm::set_xcr0(const vcpu &, std::uint64_t value)
{
    qemu.xcr0 = value;
}
void svm::set_cr(const vcpu &, unsigned number, std::uint64_t value)
{
    qemu.cr_writes.emplace_back(number, value);
}
void svm::wrmsr(const vcpu &)
{
    qemu.msr_writes.push_back(static_cast<std::uint32_t>(qemu.reg[rcx]));
}
void svm::set_cr3(const vcpu &, std::uint64_t value)
{
    qemu.paging.cr3 = value;
}
void svm::deliver(const vcpu &, int vector)
{
    qemu.delivered.push_back(vector);
    if (qemu.undeliverable.contains(vector)) {
        throw fake::left{0x4d, 0}; // #GP, intercepted
    }
}
void svm::push(const vcpu &, std::uint64_t value, unsigned bytes)
{
    qemu.pushed.emplace_back(value, bytes);
}
std::size_t vcpu::read_code(std::uint64_t, std::span<std::uint8_t>)
{
    return 0;
}

bool read_system_memory(std::uint64_t address, void *to, std::size_t bytes)
{
    if (address + bytes > qemu.ram_bytes) {
        return false;
    }
    std::memcpy(to, qemu.ram + address, bytes);
    return true;
}
std::uint64_t virtual_clock_ns()
{
    return qemu.clock;
}

// MMU.

std::string tlb_fill::hook(const translation_rules &, const translator::rules &, std::uintptr_t)
{
    return {};
}
void tlb_fill::flush_then(void (*work)(void *), void *data)
{
    if (qemu.on_vcpu_thread) {
        work(data);
        return;
    }
    qemu.queued.emplace_back(work, data);
}
const translation *tlb_fill::walk_under_way(std::span<void *const>, std::uintptr_t &)
{
    return nullptr;
}
bool tlb_fill::device_access_under_way(std::span<void *const>)
{
    return false;
}

void tlb_fill::try_access(const vcpu &, std::uint64_t, std::size_t, translation::access,
                          std::uintptr_t)
{
}
void tlb_fill::read(const vcpu &, std::uint64_t address, translation::access,
                    std::span<std::byte> to)
{
    read_system_memory(address, to.data(), to.size());
}
void tlb_fill::write(const vcpu &, std::uint64_t address, std::span<const std::byte> from)
{
    std::memcpy(qemu.ram + address, from.data(), from.size());
}
void tlb_fill::flush_now() {}
/// QEMU's #VMEXIT: it saves the guest's registers in the VMCB and goes on as the host.
void tlb_fill::deliver(const vcpu &cpu)
{
    qemu.delivered.push_back(-1);
    const std::uint64_t save = qemu.vmcb + 0x400;
    std::memcpy(qemu.ram + save + 0x150, &qemu.paging.cr3, 8);
    std::memcpy(qemu.ram + save + 0x178, &qemu.rip, 8);
    std::memcpy(qemu.ram + save + 0x1d8, &cpu.reg(rsp), 8);
    std::memcpy(qemu.ram + save + 0x1f8, &cpu.reg(rax), 8);
    if (!qemu.exits) {
        return;
    }
    qemu.in_guest = false;
    qemu.rip = 0xbacc;
}

bool stale_code::drop_changed(const vcpu &)
{
    return false;
}

// Devices.

void between_blocks(void (*alone)(void *), void (*after)(void *), void *data)
{
    qemu.queued.emplace_back(alone, data);
    qemu.queued.emplace_back(after, data);
}
void offer_pci_function(const pci_function &function)
{
    qemu.function = function;
}
bool has_pci_function()
{
    return qemu.function.name != nullptr;
}
void guest_timer::once(std::uint64_t delay, std::function<void()> f)
{
    qemu.timer_delay = delay;
    qemu.timer = std::move(f);
}
void stall(const vcpu &cpu, std::uint64_t ns, bool)
{
    qemu.stalls.emplace_back(cpu.index(), ns);
}
void hold_interrupts(const vcpu &cpu, std::uint64_t ns, bool)
{
    qemu.holds.emplace_back(cpu.index(), ns);
}
void raise_pci_interrupt(unsigned vector)
{
    qemu.interrupts += static_cast<unsigned>(vector == 0);
}

// Hooks.

void store_hooks::delivered(const vcpu &) {}
void store_hooks::translated(const vcpu &, std::uint64_t) {}
void store_hooks::end_phase() {}
void tlb_hooks::guest_starts(const vcpu &, std::uint16_t, std::uint8_t) {}

} // namespace rmpopt

bool qemu_plugin_translate_vaddr(std::uint64_t, std::uint64_t *)
{
    return false;
}
