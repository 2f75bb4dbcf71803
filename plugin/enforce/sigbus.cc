// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/sigbus.h"

#include "base/format.h"
#include "base/log.h"
#include "enforce/blocked_dma.h"
#include "enforce/state.h"
#include "enforce/write_check.h"
#include "qemu/api.h"
#include "x86/decoder.h"
#include "x86/store_address.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

namespace rmpopt
{

using hw::align_down;
using hw::page_4k;
using hw::spa_t;

namespace
{

struct sigaction old_action;

/// True for code that belongs to no loaded object: QEMU has generated it.
bool is_generated_code(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) == 0;
}

/// The call chain of a signal handler, including the interrupted function and its callers.
struct call_chain {
    std::array<void *, 64> frame{};
    std::size_t count = 0;

    call_chain() : count(static_cast<std::size_t>(backtrace(frame.data(), frame.size()))) {}
    std::span<void *const> frames() const { return std::span(frame).first(count); }
};

/// The return address into generated code for the access that was interrupted at `pc`; 0 if there
/// is none.
std::uintptr_t find_generated_code(const call_chain &chain, const void *pc)
{
    // QEMU subtracts two bytes from a return address to get into the call before it. Here there is
    // no call: the result must be the interrupted instruction itself.
    constexpr std::uintptr_t call_adjustment = 2;
    if (is_generated_code(pc)) {
        return reinterpret_cast<std::uintptr_t>(pc) + call_adjustment;
    }
    bool below_signal = false;
    for (const void *frame : chain.frames()) {
        below_signal |= frame == pc;
        if (below_signal && is_generated_code(frame)) {
            return reinterpret_cast<std::uintptr_t>(frame);
        }
    }
    return 0;
}

/// The target of the jump at `ra`; 0 if there is none. QEMU's out-of-line code for an access ends
/// in a jump back to the code of its instruction, and only that address belongs to the instruction.
std::uintptr_t follow_jump(std::uintptr_t ra)
{
    constexpr std::uint8_t jmp_rel32 = 0xe9, jmp_rel8 = 0xeb;
    const auto *code = reinterpret_cast<const std::uint8_t *>(ra);
    std::uintptr_t target = 0;
    if (code[0] == jmp_rel32) {
        std::int32_t offset = 0;
        std::memcpy(&offset, code + 1, sizeof offset);
        target = ra + 5 + static_cast<std::intptr_t>(offset);
    } else if (code[0] == jmp_rel8) {
        target = ra + 2 + static_cast<std::int8_t>(code[1]);
    }
    return target != 0 && is_generated_code(reinterpret_cast<void *>(target)) ? target : 0;
}

/// Brings the vCPU's state to the interrupted instruction. Returns false if that is impossible.
bool synchronise_at(const vcpu &cpu, const call_chain &chain, const void *pc)
{
    const std::uintptr_t ra = find_generated_code(chain, pc);
    if (ra == 0) {
        return false;
    }
    if (cpu.try_synchronise(ra)) {
        return true;
    }
    const std::uintptr_t target = follow_jump(ra);
    return target != 0 && cpu.try_synchronise(target);
}

address_registers registers_of(const vcpu &cpu)
{
    address_registers r{};
    for (unsigned i = 0; i < 16; ++i) {
        r.gpr[i] = cpu.reg(static_cast<gpr>(i));
    }
    r.rip = cpu.rip();
    r.fs_base = cpu.fs_base();
    r.gs_base = cpu.gs_base();
    r.long_mode = cpu.code_64();
    return r;
}

/// Where the current instruction's store hits a protected page.
struct store_hit {
    std::uint64_t address; ///< of the first byte in that page
    /// QEMU has already changed the page before this one, so a retry would compute another value.
    bool half_done;
};

std::optional<store_hit> find_hit(const vcpu &cpu, spa_t spa)
{
    const address_registers regs = registers_of(cpu);
    std::array<std::uint8_t, longest_instruction> code{};
    const std::size_t length = vcpu::read_code(regs.rip, code);
    for (const store_range &r : written_ranges(std::span(code).first(length), regs)) {
        for (std::uint64_t page = align_down(r.address, page_4k); page < r.address + r.bytes;
             page += page_4k) {
            std::uint64_t at = 0;
            if (qemu_plugin_translate_vaddr(page, &at) &&
                align_down(at, page_4k) == align_down(spa, page_4k)) {
                return store_hit{std::max(page, r.address), page > r.address && r.is_also_read};
            }
        }
    }
    return std::nullopt;
}

/// Why the RMP forbids the write that the host's MMU stopped. Nothing if it now allows the write,
/// for example because the page was returned in the meantime; the write is then retried.
std::optional<refusal> refusal_of(const vcpu &cpu, spa_t spa, hw::rmp_access_kind kind)
{
    const hw::rmp_verdict verdict = check_write(cpu, spa, kind);
    if (verdict.outcome != hw::rmp_outcome::allowed) {
        return refusal{verdict};
    }
    if (!enforced.machine->is_host_writable(spa)) {
        refuse(formatted("vCPU {}: system address {:#x} is protected although the RMP allows "
                         "writes to it; please report this",
                         cpu.index(), spa));
    }
    return std::nullopt;
}

/// Delivers the fault for a store through a translation that was made before firmware took the page
/// and has not been dropped yet.
[[noreturn]] void refuse_store(const vcpu &cpu, spa_t spa, const refusal &why,
                               const call_chain &chain, const void *pc)
{
    if (!synchronise_at(cpu, chain, pc)) {
        refuse(formatted("vCPU {}: QEMU itself writes to system address {:#x}, which the RMP "
                         "protects; this access is not emulated",
                         cpu.index(), spa));
    }
    const auto hit = find_hit(cpu, spa);
    if (!hit.has_value() || hit->half_done) {
        refuse(formatted("vCPU {} at RIP {:#x}: a write races with firmware taking the page at "
                         "system address {:#x} and cannot be undone; this is not emulated",
                         cpu.index(), cpu.rip(), spa));
    }
    refuse_write({cpu, hit->address, translation::access::write, cpu.cpl() == 3, spa}, why, 0);
}

/// Handles a write by a vCPU's thread to a protected page. Returns if the interrupted code is to
/// continue.
void handle_vcpu_write(spa_t spa, ucontext_t &interrupted)
{
    const vcpu cpu = vcpu::current();
    const call_chain chain;
    if (tlb_fill::device_access_under_way(chain.frames())) {
        block_device_write(interrupted);
        return;
    }
    if (!enforced.machine->snp_enabled(cpu.index())) {
        refuse(formatted("vCPU {} writes to system address {:#x} before its SNP_EN is set, while "
                         "other CPUs already protect it; this is not emulated",
                         cpu.index(), spa));
    }
    std::uintptr_t ra = 0;
    const translation *walk = tlb_fill::walk_under_way(chain.frames(), ra);
    const auto why = refusal_of(
        cpu, spa, walk != nullptr ? hw::rmp_access_kind::walk_write : hw::rmp_access_kind::write);
    if (!why.has_value()) {
        return;
    }
    if (walk != nullptr) {
        refuse_walk(*walk, spa, *why, ra);
    }
    const auto pc = static_cast<std::uintptr_t>(interrupted.uc_mcontext.gregs[REG_RIP]);
    refuse_store(cpu, spa, *why, chain, reinterpret_cast<void *>(pc));
}

void pass_on(int signal, siginfo_t *info, void *ucontext)
{
    if ((old_action.sa_flags & SA_SIGINFO) != 0) {
        old_action.sa_sigaction(signal, info, ucontext);
    } else if (old_action.sa_handler != SIG_DFL && old_action.sa_handler != SIG_IGN) {
        old_action.sa_handler(signal);
    } else {
        std::signal(signal, SIG_DFL);
        std::raise(signal);
    }
}

void on_sigbus(int signal, siginfo_t *info, void *ucontext)
{
    const auto spa = enforced.ram->spa_of(info->si_addr);
    if (!spa.has_value()) {
        pass_on(signal, info, ucontext);
        return;
    }
    if (enforced.machine->is_host_writable(*spa)) {
        return; // since the write the page was returned or SNP was shut down: retry
    }
    auto &interrupted = *static_cast<ucontext_t *>(ucontext);
    if (vcpu::on_vcpu_thread()) {
        handle_vcpu_write(*spa, interrupted);
    } else {
        block_device_write(interrupted);
    }
}

} // namespace

void install_guard_signal()
{
    std::array<void *, 1> warm_up{};
    backtrace(warm_up.data(), warm_up.size()); // loads the unwinder now, not in the handler
    struct sigaction action {
    };
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &old_action);
}

void accept_guard_signal()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

} // namespace rmpopt
