// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's vCPUs, by functions that a QEMU built with modules exports but does not promise, and by
// fields of its CPU object. layout.h has each fact that this relies on.
#pragma once

#include "hw-model/base/memory_view.h"
#include "x86/page_tables.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rmpopt
{

/// x86 register numbers in encoding order, as CPUX86State holds them.
enum gpr : unsigned { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi };

namespace vector
{
inline constexpr int bp = 3, ud = 6, nm = 7, gp = 13, pf = 14;
}

struct cpuid_result {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// QEMU's PCs have no more CPUs than this.
inline constexpr std::size_t most_vcpus = 4096;

/// One vCPU of QEMU. Cheap to copy. Unless said otherwise, members may only be called on the
/// vCPU's own thread, in a callback with register access.
class vcpu
{
  public:
    /// Finds QEMU's vCPUs; before anything else here, on vCPU 0's thread before its first
    /// instruction. What the other members rely on is tried by layout::try_facts().
    static void find_all();

    /// The vCPU that the calling thread is executing. QEMU's callbacks name the vCPU that
    /// translated the block, which is another one when vCPUs take turns on one thread.
    static vcpu current();
    /// True on a thread that executes a vCPU.
    static bool on_vcpu_thread();
    /// Where QEMU keeps the calling thread's current vCPU, in its own pointer.
    static void **current_slot();
    /// Any vCPU, from any thread.
    static vcpu by_index(unsigned index);
    /// The vCPU that QEMU knows by this pointer.
    static vcpu of(const void *cpu);
    /// QEMU's pointers to all vCPUs, by index.
    static const std::vector<void *> &all();

    unsigned index() const { return index_; }

    std::uint64_t &reg(gpr r) const { return env()[r]; }
    unsigned cpl() const;
    bool long_mode() const; ///< EFER.LMA: 64-bit and compatibility mode
    bool code_64() const;   ///< 64-bit mode
    bool svm_enabled() const;
    bool in_guest() const; ///< between VMRUN and #VMEXIT
    /// Makes the block that is executed next one of its own kind: QEMU translates it apart from the
    /// same code without the mark. The mark stays until it is taken off.
    void mark_next_block(bool marked) const;
    bool is_next_block_marked() const;
    /// In the state that INIT and SIPI leave, with no instruction executed since. When QEMU's
    /// state is exact.
    bool is_at_startup() const;
    std::uint64_t fs_base() const;
    std::uint64_t gs_base() const;
    /// At any time, as none of it is evaluated lazily. RFLAGS without arithmetic flags and DF.
    paging_state paging() const;
    std::uint64_t efer() const; ///< likewise

    /// VMRUN of the VMCB at `vmcb` is about to be executed. Until the next one the VMCB names the
    /// nested tables of this vCPU's guest.
    void will_run(hw::spa_t vmcb) const;
    /// The VMCB of the latest will_run(); 0 when there was none since forget_guests().
    hw::spa_t vmcb() const;
    /// Machine reset.
    static void forget_guests();

    /// The tables that a program's addresses go through now, those of a guest included.
    guest_paging tables(const hw::memory_view &memory) const;
    /// Where `va` leads now.
    std::optional<guest_path> find_page(const hw::memory_view &memory, std::uint64_t va) const
    {
        return find_guest_path(memory, tables(memory), va);
    }

    /// What QEMU itself answers to CPUID. Any thread, before the guest runs or on the own thread.
    cpuid_result native_cpuid(std::uint32_t leaf, std::uint32_t subleaf) const;

    bool is_amd() const; ///< by the vendor in CPUID

    /// Brings the architectural state (RIP, lazy flags) to that of the instruction whose generated
    /// code called us and returns to `ra`. Must come before anything that reads flags or leaves
    /// the block. 0: the state is exact already.
    void synchronise(std::uintptr_t ra) const;

    /// The same for a `ra` that may belong to no instruction: then false, and nothing changed.
    /// Also false for an instruction that starts at the last byte of a page.
    bool try_synchronise(std::uintptr_t ra) const;

    /// After synchronise(): the address of the instruction. The one known when it was translated
    /// may be another: QEMU shares translations between all addresses that map the same page.
    std::uint64_t rip() const;

    /// Its linear address.
    std::uint64_t linear_rip() const;

    /// The same as rip() without synchronise(), for the instruction whose generated code returns to
    /// `ra`; changes nothing.
    std::uint64_t rip_at(std::uintptr_t ra) const;

    /// After synchronise(): changes the arithmetic flags named in `mask`.
    void set_arithmetic_flags(std::uint32_t flags, std::uint32_t mask) const;

    /// After synchronise().
    void set_rip(std::uint64_t rip) const;

    /// After synchronise(): continues at the instruction at `rip`.
    [[noreturn]] static void continue_at(std::uint64_t rip);

    /// Delivers an exception at the instruction whose generated code returns to `ra`.
    [[noreturn]] void raise(int vector, int error_code, std::uintptr_t ra) const;
    void set_cr2(std::uint64_t address) const;

    /// After synchronise() or with `ra`: ends the guest with a #VMEXIT.
    [[noreturn]] void exit_guest(std::uint64_t exit_code, std::uint64_t exit_info1,
                                 std::uintptr_t ra) const;

    /// Copies instruction bytes at linear address `rip`, up to the first unmapped page. Returns
    /// how many.
    static std::size_t read_code(std::uint64_t rip, std::span<std::uint8_t> to);

  private:
    friend class cpu_hooks;
    friend class tlb_fill;
    friend class translator;

    vcpu(void *cpu, unsigned index) : cpu_(cpu), index_(index) {}
    std::uint64_t *env() const;

    void *cpu_ = nullptr;
    unsigned index_ = 0;
};

} // namespace rmpopt
