// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/svm.h"

#include "hw-model/base/x86_bits.h"
#include "qemu/symbols.h"
#include "qemu/tlb_fill.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rmpopt::svm
{

namespace
{

namespace qemu
{
qemu_function<void(void *env, int address_size, int length)> helper_vmrun("helper_vmrun");
qemu_function<void(void *env, int address_size)> helper_vmload("helper_vmload");
qemu_function<void(void *env, int address_size)> helper_vmsave("helper_vmsave");
qemu_function<void(void *cpu)> cpu_loop_exit_noexc("cpu_loop_exit_noexc");
qemu_function<void(void *cpu)> tlb_flush("tlb_flush");
qemu_function<void(void *cpu, void *to, std::uint32_t bytes)>
    x86_cpu_xsave_all_areas("x86_cpu_xsave_all_areas");
qemu_function<void(void *cpu, const void *from, std::uint32_t bytes)>
    x86_cpu_xrstor_all_areas("x86_cpu_xrstor_all_areas");
// QEMU computes with copies of the control words, and keeps the flags of SSE apart from MXCSR.
qemu_function<void(void *env)> helper_update_mxcsr("helper_update_mxcsr");
qemu_function<void(void *env)> update_mxcsr_status("update_mxcsr_status");
qemu_function<void(void *env)> update_fp_status("update_fp_status");
qemu_function<std::uint64_t(void *env, std::uint32_t ecx)> helper_rdpkru("helper_rdpkru");
qemu_function<std::uint64_t(void *env, std::uint32_t index)> helper_xgetbv("helper_xgetbv");
qemu_function<void(void *env, std::uint32_t index, std::uint64_t value)>
    helper_xsetbv("helper_xsetbv");
qemu_function<void(void *env, int number, std::uint64_t value)>
    helper_write_crN("helper_write_crN");
qemu_function<void(void *env)> helper_wrmsr("helper_wrmsr");
qemu_function<void(void *env, std::uint64_t value)> cpu_x86_update_cr3("cpu_x86_update_cr3");
qemu_function<void(const char *file, int line)> bql_lock_impl("bql_lock_impl");
qemu_function<void()> bql_unlock("bql_unlock");
qemu_function<void(void *cpu, int vector, int is_int, int error_code, std::uint64_t next_eip,
                   int is_hardware)>
    do_interrupt_all("do_interrupt_all");
} // namespace qemu

constexpr int address_64 = 2; ///< the operand in RAX has 64 bits

void *pointer(const vcpu &cpu)
{
    return vcpu::all()[cpu.index()];
}

void *env(const vcpu &cpu)
{
    return &cpu.reg(rax);
}

/// Calls `f(env)` with the address in RAX.
template <class F> void with_rax(const vcpu &cpu, hw::spa_t address, const F &f)
{
    const std::uint64_t old = std::exchange(cpu.reg(rax), address);
    f(env(cpu), address_64);
    cpu.reg(rax) = old;
}

} // namespace

void vmrun(const vcpu &cpu, unsigned length)
{
    qemu::helper_vmrun(env(cpu), address_64, static_cast<int>(length));
    qemu::cpu_loop_exit_noexc(pointer(cpu));
    __builtin_unreachable();
}

void vmload(const vcpu &cpu, hw::spa_t vmcb)
{
    with_rax(cpu, vmcb, qemu::helper_vmload);
}

void vmsave(const vcpu &cpu, hw::spa_t vmcb)
{
    with_rax(cpu, vmcb, qemu::helper_vmsave);
}

void flush_tlb(const vcpu &cpu)
{
    qemu::tlb_flush(pointer(cpu));
}

void read_vectors(const vcpu &cpu, xsave::area &to)
{
    constexpr std::uint32_t mxcsr_mask = 0xffff; // a constant of QEMU's, which it leaves out here
    qemu::helper_update_mxcsr(env(cpu));
    qemu::x86_cpu_xsave_all_areas(pointer(cpu), to.data(), to.size());
    std::memcpy(&to[xsave::mxcsr_mask], &mxcsr_mask, sizeof mxcsr_mask);
}

void write_vectors(const vcpu &cpu, const xsave::area &from)
{
    qemu::x86_cpu_xrstor_all_areas(pointer(cpu), from.data(), from.size());
    qemu::update_mxcsr_status(env(cpu));
    qemu::update_fp_status(env(cpu));
}

std::span<std::byte> pkru_in(const vcpu &cpu, xsave::area &area)
{
    const cpuid_result component = cpu.native_cpuid(0xd, 9);
    return component.eax != 0 ? std::span(area).subspan(component.ebx, sizeof(std::uint32_t))
                              : std::span<std::byte>();
}

std::uint32_t pkru(const vcpu &cpu)
{
    return (cpu.paging().cr4 & cr4_pke) != 0
               ? static_cast<std::uint32_t>(qemu::helper_rdpkru(env(cpu), 0))
               : 0;
}

std::optional<std::uint64_t> xcr0(const vcpu &cpu)
{
    return (cpu.paging().cr4 & cr4_osxsave) != 0 ? std::optional(qemu::helper_xgetbv(env(cpu), 0))
                                                 : std::nullopt;
}

bool is_valid_xcr0(const vcpu &cpu, std::uint64_t value)
{
    constexpr std::uint64_t x87 = 1, sse = 2, avx = 4;
    const cpuid_result offered = cpu.native_cpuid(0xd, 0);
    const std::uint64_t all = offered.eax | std::uint64_t{offered.edx} << 32;
    return (value & x87) != 0 && (value & ~all) == 0 && ((value & avx) == 0 || (value & sse) != 0);
}

void set_xcr0(const vcpu &cpu, std::uint64_t value)
{
    qemu::helper_xsetbv(env(cpu), 0, value);
}

void set_cr(const vcpu &cpu, unsigned number, std::uint64_t value)
{
    // QEMU drops its big lock where a longjmp arrives.
    qemu::bql_lock_impl(__FILE__, __LINE__);
    qemu::helper_write_crN(env(cpu), static_cast<int>(number), value);
    qemu::bql_unlock();
}

void wrmsr(const vcpu &cpu)
{
    qemu::helper_wrmsr(env(cpu));
}

void set_cr3(const vcpu &cpu, std::uint64_t value)
{
    qemu::cpu_x86_update_cr3(env(cpu), value);
}

void deliver(const vcpu &cpu, int vector)
{
    qemu::do_interrupt_all(pointer(cpu), vector, 0, 0, 0, 0);
}

void push(const vcpu &cpu, std::uint64_t value, unsigned bytes)
{
    std::uint64_t &sp = cpu.reg(rsp);
    const std::uint64_t at = sp - bytes;
    tlb_fill::try_access(cpu, at, bytes, translation::access::write, 0);
    tlb_fill::write(cpu, at, std::as_bytes(std::span(&value, 1)).first(bytes));
    sp = at;
}

} // namespace rmpopt::svm
