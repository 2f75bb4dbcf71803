// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu.h"

#include "base/log.h"
#include "qemu/api.h"
#include "qemu/layout.h"
#include "qemu/machine.h"
#include "qemu/symbols.h"

#include "x86/vmcb.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstring>
#include <dlfcn.h>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<void *(int index)> qemu_get_cpu("qemu_get_cpu");
qemu_function<bool(void *cpu, std::uintptr_t host_pc)> cpu_restore_state("cpu_restore_state");
qemu_function<bool(void *cpu, std::uintptr_t host_pc, std::uint64_t *data)>
    cpu_unwind_state_data("cpu_unwind_state_data");
qemu_function<void(void *env, int vector, int error_code, std::uintptr_t ra)>
    raise_exception_err_ra("raise_exception_err_ra");
qemu_function<void(void *env, std::uint32_t exit_code, std::uint64_t exit_info1, std::uintptr_t ra)>
    cpu_vmexit("cpu_vmexit");
qemu_function<std::uint64_t(void *env)> helper_read_eflags("helper_read_eflags");
qemu_function<void(void *env, std::uint64_t flags, std::uint32_t mask)>
    helper_write_eflags("helper_write_eflags");
qemu_function<void(void *env, std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t *eax,
                   std::uint32_t *ebx, std::uint32_t *ecx, std::uint32_t *edx)>
    cpu_x86_cpuid("cpu_x86_cpuid");
/// The running vCPU of a thread.
qemu_object current_cpu("current_cpu");
} // namespace qemu

auto &cpus = *new std::vector<void *>; ///< by index; outlives static destructors

/// What VMRUN was last told; written by the vCPU's thread alone. Nested tables have the form of the
/// host's own at VMRUN (APM vol. 2, 15.25.3): five levels if the host uses LA57.
struct latest_guest {
    std::atomic<hw::spa_t> vmcb{0};
    std::atomic<std::uint64_t> host_cr4{0};
};
std::array<latest_guest, most_vcpus> latest_guests;

/// True when the VMCB tells of an exit that only a guest's instruction or access causes.
bool has_executed_guest(hw::spa_t vmcb)
{
    static constexpr std::array<std::uint64_t, 6> exits{0x72, 0x78, 0x7b, 0x7c, 0x81, 0x400};
    std::uint64_t code = 0;
    return read_system_memory(vmcb + vmcb_field::exit_code, &code, sizeof code) &&
           std::ranges::find(exits, code) != exits.end();
}

/// CR0 after INIT (APM vol. 2, 14.1.3).
constexpr std::uint64_t reset_cr0 = 0x60000010;

void **current_cpu_slot()
{
    // The address of a thread-local variable differs by thread, so each looks it up once.
    thread_local void **slot = static_cast<void **>(dlsym(RTLD_DEFAULT, qemu::current_cpu.name()));
    return slot;
}

} // namespace

void vcpu::find_all()
{
    cpus.clear();
    for (int i = 0; void *cpu = qemu::qemu_get_cpu(i); ++i) {
        cpus.push_back(cpu);
    }
}

void **vcpu::current_slot()
{
    return current_cpu_slot();
}

bool vcpu::on_vcpu_thread()
{
    return *current_cpu_slot() != nullptr;
}

vcpu vcpu::current()
{
    return of(*current_cpu_slot());
}

vcpu vcpu::of(const void *cpu)
{
    // A thread mostly asks for the same vCPU again. initial-exec: found without a call.
    [[gnu::tls_model("initial-exec")]] thread_local unsigned last = 0;
    if (last >= cpus.size() || cpus[last] != cpu) {
        const auto it = std::ranges::find(cpus, cpu);
        assert(it != cpus.end());
        last = static_cast<unsigned>(it - cpus.begin());
    }
    return {cpus[last], last};
}

const std::vector<void *> &vcpu::all()
{
    return cpus;
}

vcpu vcpu::by_index(unsigned index)
{
    return {cpus.at(index), index};
}

std::uint64_t *vcpu::env() const
{
    return reinterpret_cast<std::uint64_t *>(static_cast<std::byte *>(cpu_) + layout::found.env);
}

namespace
{

std::uint32_t hflags(const std::uint64_t *env)
{
    std::uint32_t v = 0;
    std::memcpy(&v, reinterpret_cast<const std::byte *>(env) + layout::found.hflags, sizeof v);
    return v;
}

} // namespace

unsigned vcpu::cpl() const
{
    return hflags(env()) & layout::hflags_cpl;
}

bool vcpu::long_mode() const
{
    return (hflags(env()) & layout::hflags_lma) != 0;
}

bool vcpu::code_64() const
{
    return (hflags(env()) & layout::hflags_cs64) != 0;
}

bool vcpu::svm_enabled() const
{
    return (hflags(env()) & layout::hflags_svme) != 0;
}

void vcpu::mark_next_block(bool marked) const
{
    auto *flags = reinterpret_cast<std::byte *>(env()) + layout::found.hflags;
    const std::uint32_t now = hflags(env());
    const std::uint32_t then = marked ? now | layout::hflags_marked : now & ~layout::hflags_marked;
    std::memcpy(flags, &then, sizeof then);
}

bool vcpu::is_next_block_marked() const
{
    return (hflags(env()) & layout::hflags_marked) != 0;
}

bool vcpu::in_guest() const
{
    return (hflags(env()) & layout::hflags_guest) != 0;
}

bool vcpu::is_at_startup() const
{
    const std::uint64_t cr0 = env()[layout::found.cr0 / 8];
    return rip() == 0 && cr0 == reset_cr0 && !long_mode();
}

cpuid_result vcpu::native_cpuid(std::uint32_t leaf, std::uint32_t subleaf) const
{
    cpuid_result r;
    qemu::cpu_x86_cpuid(env(), leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

bool vcpu::is_amd() const
{
    const cpuid_result r = native_cpuid(0, 0);
    return r.ebx == 0x68747541 && r.edx == 0x69746e65 && r.ecx == 0x444d4163;
}

void vcpu::synchronise(std::uintptr_t ra) const
{
    if (ra != 0) {
        qemu::cpu_restore_state(cpu_, ra);
    }
}

bool vcpu::try_synchronise(std::uintptr_t ra) const
{
    // QEMU does not say whether it found the instruction. RIP holds the block's address until it
    // does; only its offset in the page is replaced for certain.
    constexpr std::uint64_t no_offset = hw::page_4k - 1;
    std::uint64_t &rip = env()[layout::found.rip / 8];
    const std::uint64_t block = rip;
    rip |= no_offset;
    qemu::cpu_restore_state(cpu_, ra);
    if ((rip & no_offset) != no_offset) {
        return true;
    }
    rip = block;
    return false;
}

std::uint64_t vcpu::fs_base() const
{
    return env()[layout::found.fs_base / 8];
}

std::uint64_t vcpu::gs_base() const
{
    return env()[layout::found.gs_base / 8];
}

paging_state vcpu::paging() const
{
    const std::uint64_t *cr = env() + layout::found.cr0 / 8;
    // Not helper_read_eflags(): it replaces the operands of the arithmetic flags, which within a
    // translation block belong to an operation that QEMU has not stored yet.
    const std::uint64_t eflags = env()[(layout::found.rip + layout::eflags_after_rip) / 8];
    return {.cr0 = cr[0], .cr3 = cr[3], .cr4 = cr[4], .rflags = eflags};
}

std::uint64_t vcpu::efer() const
{
    return env()[layout::found.efer / 8];
}

void vcpu::set_rip(std::uint64_t rip) const
{
    env()[layout::found.rip / 8] = rip;
}

void vcpu::will_run(hw::spa_t vmcb) const
{
    latest_guest &g = latest_guests.at(index_);
    if (!layout::guest_bit_seen && g.vmcb.load(std::memory_order_relaxed) == vmcb &&
        has_executed_guest(vmcb)) {
        refuse("this QEMU is not as QEMU 11 is: mode-bits: a guest was executed without the bit of "
               "hflags for guests");
    }
    g.vmcb.store(vmcb, std::memory_order_relaxed);
    g.host_cr4.store(paging().cr4, std::memory_order_relaxed);
}

hw::spa_t vcpu::vmcb() const
{
    return latest_guests[index_].vmcb.load(std::memory_order_relaxed);
}

void vcpu::forget_guests()
{
    for (latest_guest &g : latest_guests) {
        g.vmcb.store(0, std::memory_order_relaxed);
    }
}

guest_paging vcpu::tables(const hw::memory_view &memory) const
{
    guest_paging p{.guest = paging(), .long_mode = long_mode(), .nested = false, .host = {}};
    if (in_guest()) {
        const auto field = [&](std::uint64_t offset) {
            return memory.load<std::uint64_t>(vmcb() + offset).value_or(0);
        };
        p.nested = (field(vmcb_field::nested_control) & nested_paging) != 0;
        p.host.cr3 = field(vmcb_field::nested_cr3);
        p.host.cr4 = latest_guests[index_].host_cr4.load(std::memory_order_relaxed);
    }
    return p;
}

std::uint64_t vcpu::rip() const
{
    return env()[layout::found.rip / 8];
}

std::uint64_t vcpu::linear_rip() const
{
    constexpr std::size_t segment = 24, base = 8, cs = 1;
    const std::uint64_t cs_base = env()[(layout::found.segments + cs * segment + base) / 8];
    return code_64() ? rip() : static_cast<std::uint32_t>(cs_base + rip());
}

std::uint64_t vcpu::rip_at(std::uintptr_t ra) const
{
    constexpr std::uint64_t offset = hw::page_4k - 1;
    std::array<std::uint64_t, 8> data{}; // QEMU fills as many words as it records per instruction
    const bool found = qemu::cpu_unwind_state_data(cpu_, ra, data.data());
    assert(found);
    return (rip() & ~offset) | (data[0] & offset);
}

void vcpu::set_arithmetic_flags(std::uint32_t flags, std::uint32_t mask) const
{
    // With an empty mask QEMU replaces the arithmetic flags only. Bits in the mask would also stay
    // in its copy of EFLAGS, and every later PUSHF would store them.
    const std::uint64_t old = qemu::helper_read_eflags(env());
    qemu::helper_write_eflags(env(), (old & ~static_cast<std::uint64_t>(mask)) | (flags & mask), 0);
}

void vcpu::continue_at(std::uint64_t rip)
{
    qemu_plugin_set_pc(rip);
}

void vcpu::raise(int vector, int error_code, std::uintptr_t ra) const
{
    qemu::raise_exception_err_ra(env(), vector, error_code, ra);
    __builtin_unreachable();
}

void vcpu::set_cr2(std::uint64_t address) const
{
    env()[layout::found.cr0 / 8 + 2] = address;
}

void vcpu::exit_guest(std::uint64_t exit_code, std::uint64_t exit_info1, std::uintptr_t ra) const
{
    qemu::cpu_vmexit(env(), static_cast<std::uint32_t>(exit_code), exit_info1, ra);
    __builtin_unreachable();
}

std::size_t vcpu::read_code(std::uint64_t rip, std::span<std::uint8_t> to)
{
    const std::size_t in_page = std::min<std::size_t>(to.size(), hw::page_4k - rip % hw::page_4k);
    GByteArray *buf = g_byte_array_new();
    std::size_t n = 0;
    for (const std::size_t bytes : {to.size(), in_page}) {
        if (n == 0 && qemu_plugin_read_memory_vaddr(rip, buf, bytes)) {
            std::memcpy(to.data(), buf->data, bytes);
            n = bytes;
        }
    }
    g_byte_array_free(buf, TRUE);
    return n;
}

} // namespace rmpopt
