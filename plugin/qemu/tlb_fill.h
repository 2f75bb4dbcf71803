// SPDX-License-Identifier: GPL-2.0-or-later
// Calls QEMU's functions of x86 CPUs through ours. As on hardware, a store is checked when its
// translation is cached: after QEMU's function has filled the TLB, ours may make the page read-only
// or raise an exception for the access that asked for it. So no byte of a refused store is written,
// even if the store reaches into a second page. The CPU's own pushes of exception frames are
// refused in the same way.
#pragma once

#include "qemu/translator.h"
#include "qemu/vcpu.h"

#include <optional>
#include <span>
#include <string>

namespace rmpopt
{

/// An access whose translation a vCPU has just found, after all checks of paging.
struct translation {
    enum class access : std::uint8_t { read, write, fetch };

    vcpu cpu;
    std::uint64_t address; ///< linear; of the first byte of the access in this page
    access kind;
    bool user;     ///< checked as a user access
    hw::spa_t spa; ///< known to forbids() and refuse()
};

/// A translation that QEMU's own page walk would not find.
struct own_translation {
    bool found = false; ///< false: there is none; only for an access that may not fault
    hw::spa_t spa = 0;
    bool readable = false;
    bool writable = false;
    bool executable = false;
    std::uint64_t page_bytes = 0; ///< that INVLPG drops
    /// From QEMU's mapping of RAM to the memory that is read and written; 0: that mapping itself.
    /// Fetches must not be led elsewhere.
    std::ptrdiff_t distance = 0;
};

/// What a vCPU asks for.
struct own_access {
    vcpu cpu;
    std::uint64_t address;
    translation::access kind;
    bool user;
    bool smap;  ///< the index says that SMAP is to be checked
    bool is_32; ///< the address has 32 bits
    bool may_fault;
    std::uintptr_t ra;
};

/// Why an access is refused. Only the rules look into it.
struct refusal;

/// The callbacks that decide on translations and hear of events.
struct translation_rules {
    /// System address of a byte in QEMU's mapping of guest RAM; nothing for other memory.
    std::optional<hw::spa_t> (*spa_of)(const void *host);
    /// The reverse.
    void *(*host_of)(hw::spa_t spa);
    /// Where the plugin itself may write what the vCPU may write at `host`; nullptr for what is not
    /// guest RAM.
    void *(*unprotected)(void *host);
    /// False when forbids() would allow everything, as long as the vCPU's translations are not
    /// dropped.
    bool (*restricts)(const vcpu &);
    /// Why the vCPU must not write the page; nullptr when it may. Called for reads as well, because
    /// the translation will be used for later writes. What is returned is valid until the next call
    /// on this thread. The function itself is nullptr when translations are not looked at.
    const refusal *(*forbids)(const translation &);
    /// For a page that the vCPU must not write: from QEMU's mapping to what it reads there; 0: the
    /// page itself.
    std::ptrdiff_t (*conceals)(hw::spa_t spa);
    /// Raises the exception for a write that forbids() refused, and does not return. `ra` is for
    /// vcpu::raise().
    void (*refuse)(const translation &, const refusal &, std::uintptr_t ra);
    /// True when the vCPU's translations are not QEMU's.
    bool (*translates)(const vcpu &);
    /// Translates for it. If it may fault, it raises the exception, and then does not return.
    own_translation (*translate)(const own_access &);
    /// An exception or a #VMEXIT is about to be delivered. True if that has been done.
    bool (*leaves)(const vcpu &);
    /// INIT and SIPI: the vCPU is about to execute its first instruction.
    void (*started)(const vcpu &);
    /// The vCPU is about to execute the first instruction of an exception's handler.
    void (*delivered)(const vcpu &);
    /// False when the vCPU must not take the interrupt yet that it is about to take.
    bool (*takes_interrupt)(const vcpu &);
    /// As delivered(), after an interrupt.
    void (*interrupted)(const vcpu &);
    /// The vCPU has been given a translation for a program's access to the page of `address`.
    void (*translated)(const vcpu &, std::uint64_t address);
};

class tlb_fill
{
  public:
    /// From now on `rules` decide, and for blocks of code `blocks`. At vCPU 0's first instruction,
    /// after layout::try_facts() for stage::cpu; `ra` as there. Returns an empty string or what is
    /// unexpected in this QEMU.
    static std::string hook(const translation_rules &rules, const translator::rules &blocks,
                            std::uintptr_t ra);

    // Probes for layout.h; the first puts our functions in the place of QEMU's.
    static std::string probe_functions();
    static std::string probe_fill();
    static std::string probe_read_only();
    static std::string probe_walk_indices();
    static std::string probe_fast_tlb();

    /// Where the code at `address` lies, as the vCPU would fetch it now; nullptr when it is not
    /// mapped or not in memory.
    static const std::uint8_t *code_at(const vcpu &cpu, std::uint64_t address);

    /// QEMU's own delivery of what the vCPU is to deliver.
    static void deliver(const vcpu &cpu);

    /// Raises the exception that an access to `bytes` at `address` would raise on the current vCPU.
    static void try_access(const vcpu &cpu, std::uint64_t address, std::size_t bytes,
                           translation::access kind, std::uintptr_t ra);

    /// Reads (as data or as code) or writes as the running program would, after try_access().
    /// Registers of devices read as 0 and take nothing.
    static void read(const vcpu &cpu, std::uint64_t address, translation::access kind,
                     std::span<std::byte> to);
    static void write(const vcpu &cpu, std::uint64_t address, std::span<const std::byte> from);

    /// Drops all translations of all vCPUs, then calls `work(data)`; both before the calling vCPU's
    /// next instruction, and with no vCPU in between. Elsewhere than on a vCPU's thread: soon.
    static void flush_then(void (*work)(void *data), void *data);

    /// Drops them now. Only while no vCPU executes anything.
    static void flush_now();

    /// As flush_then(), and blocks of code are translated anew. On a vCPU's thread the caller must
    /// leave the block that it was called from, after vcpu::synchronise().
    static void retranslate_then(void (*work)(void *data), void *data);

    /// The access for which the calling thread walks page tables, when `frames`, a backtrace from a
    /// signal handler, shows that it does; else nullptr. `ra` is for vcpu::raise().
    static const translation *walk_under_way(std::span<void *const> frames, std::uintptr_t &ra);

    /// Likewise: true when the vCPU of the calling thread accesses a device, whose emulation then
    /// runs on this thread.
    static bool device_access_under_way(std::span<void *const> frames);
};

} // namespace rmpopt
