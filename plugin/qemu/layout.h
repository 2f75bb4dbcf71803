// SPDX-License-Identifier: GPL-2.0-or-later
// Every private fact of QEMU that the plugin relies on: what no interface of QEMU promises, each
// with a name, the reason why it is needed, and a probe. The probes are tried before the guest
// executes its first instruction. When a needed fact does not hold, the plugin refuses to start and
// names it; without one that is not needed, what depends on it is switched off.
//
// That a function or object is exported is a fact, too; symbols.h has those.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rmpopt::layout
{

// CPUX86State begins with the general registers, 16 or with APX 32 of them. RIP comes next, then
// EFLAGS, and five words after RIP the direction flag (1 or -1) and hflags, the flags of the CPU's
// mode.
inline constexpr std::size_t eflags_after_rip = 8, df_after_rip = 5 * 8 + 4,
                             hflags_after_rip = df_after_rip + 4;

// Bits of hflags. QEMU cannot change them, because they are part of its migration stream.
inline constexpr std::uint32_t hflags_cpl = 3, hflags_lma = 1u << 14, hflags_cs64 = 1u << 15,
                               hflags_svme = 1u << 20, hflags_guest = 1u << 21,
                               hflags_smap = 1u << 23;
/// hflags_guest has been seen set. No guest runs when the probes are tried, so vcpu::will_run()
/// tries this bit: a VMCB that tells of a guest's exit must not be run again with it unseen.
extern std::atomic<bool> guest_bit_seen;
/// QEMU finds a translated block by its address and all of hflags, and gives this bit no meaning.
/// So the plugin can have two translations of the same code, one of them instrumented.
inline constexpr std::uint32_t hflags_marked = 1u << 31;

// A vCPU has a software TLB for each kind of access. The first six are for the accesses of
// programs: {kernel with SMAP, user, kernel without SMAP} x {64-bit, 32-bit code}. Then come two
// for the accesses of page walks themselves, with system and with nested addresses.
inline constexpr int mmu_32 = 1 /* of each pair */, mmu_last_smap = 1, mmu_user_64 = 2,
                     mmu_user_32 = 3, mmu_last_program = 5, mmu_physical = 6, mmu_nested = 7;

// MMUAccessType, and the bits of a page's protection.
inline constexpr int access_load = 0, access_store = 1, access_fetch = 2;
inline constexpr int page_read = 1, page_write = 2, page_exec = 4;

/// Unwinding subtracts this from a return address, so that it lies inside the call before it. An
/// instruction's own address must be raised by as much before it is looked up.
inline constexpr std::uintptr_t return_address_adjustment = 2;

/// QEMUClockType of the guest's time.
inline constexpr int clock_virtual = 1;

/// Offsets that differ between builds of QEMU; found by the probes.
struct offsets {
    std::size_t env = 0; ///< of CPUX86State in QEMU's CPU object
    // In CPUX86State:
    std::size_t rip = 0, hflags = 0;
    std::size_t cr0 = 0; ///< CR0 to CR4 lie side by side
    std::size_t efer = 0;
    std::size_t segments = 0, fs_base = 0, gs_base = 0;
};
extern offsets found;

struct fact {
    const char *name;
    const char *why; ///< one sentence
    bool needed;     ///< otherwise something is switched off without it
    enum class stage : std::uint8_t {
        cpu,   ///< looks at vCPUs
        hooks, ///< needs our functions in the place of QEMU's
    } when;
    /// Returns an empty string or what is unexpected.
    std::string (*probe)();
    /// If there is one, called first. It leaves the current block in a way that brings QEMU back to
    /// the callback that try_facts() was called from.
    void (*leave)(std::uintptr_t ra) = nullptr;
};

struct result {
    const fact *what;
    bool left; ///< what->leave has been called
    bool tried;
    std::string problem; ///< empty: the fact holds
};

/// Tries all facts of `when`, in the order of the table, up to the first needed one that does not
/// hold. Returns an empty string or one line that names it. On vCPU 0's thread in a callback with
/// register access before its first instruction; `ra` is the callback's return address. It may
/// leave the current block, in which case it must be called again when the callback is; so nothing
/// that has a destructor may be alive.
std::string try_facts(fact::stage when, std::uintptr_t ra);

/// What has been found out so far, for all facts.
std::span<const result> results();
/// True when the fact of this name has been tried and holds.
bool holds(std::string_view name);

/// For tests: the probe of the fact of this name will fail. False when there is none.
bool break_fact(std::string_view name);

} // namespace rmpopt::layout
