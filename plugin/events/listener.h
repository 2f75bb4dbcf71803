// SPDX-License-Identifier: GPL-2.0-or-later
// The interface for reporting events of the machine. The code that causes an event calls one
// function here, once, after the event has taken effect, and passes the model's answer on
// unchanged. Only the wiring knows who listens (observers.h).
//
// Thread-safety: the functions may be called from several threads at the same time. The caller must
// hold no lock, because listeners take their own and may end QEMU.
#pragma once

#include "events/place.h"
#include "hw-model/access/rmp_check.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/host_insn.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/machine/msr.h"

#include <string_view>

namespace rmpopt
{

/// Holds the address where system calls enter the guest's kernel, from which KASLR's offset
/// follows.
inline constexpr std::uint32_t msr_lstar = 0xc0000082;

/// An access of a vCPU that the RMP forbade, with the fault as it is delivered.
struct denied_access {
    std::uint64_t address = 0;      ///< linear address that faulted
    std::optional<hw::spa_t> spa{}; ///< the page or page table that was checked
    hw::rmp_verdict verdict;        ///< of rmp_check()
    std::uint64_t code = 0;         ///< error code of the #PF, or EXITINFO1
};

/// VMRUN, after its checks.
struct vmrun_event {
    unsigned cpu = 0;
    hw::spa_t vmcb = 0;
    std::uint16_t asid = 0;
    std::uint8_t tlb_control = 0;
    hw::initiator guest = hw::initiator::nonsnp_guest;
    const char *failed = nullptr; ///< why it ends with VMEXIT_INVALID; nullptr if the guest runs
};

/// What an SNP guest does to a page that the RMP says is its own, and that no guest does which
/// keeps the rules.
struct guest_page_event {
    enum class kind : std::uint8_t {
        validated_again, ///< PVALIDATE of a page that was validated: CF
        not_validated,   ///< an access to a page that was not: #VC
        shared_access,   ///< an access without C-bit to a page that it has validated
        shared_request,  ///< it asks the hypervisor to share a page that it has validated
    };

    kind what = kind::validated_again;
    unsigned cpu = 0;
    std::uint32_t asid = 0;
    std::uint64_t gpa = 0; ///< of the page
    hw::spa_t spa = 0;
    std::uint64_t rip = 0; ///< the guest's
};

class listener
{
  public:
    listener() = default;
    listener(const listener &) = delete;
    listener &operator=(const listener &) = delete;
    virtual ~listener() = default;

    // Instructions that a vCPU has executed, including those that failed or faulted.
    virtual void rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx,
                        const hw::rmpopt_result &r) = 0;
    virtual void rmpupdate(const place &where, hw::spa_t spa, const hw::rmp_record &record,
                           hw::rmp_status status) = 0;
    virtual void psmash(const place &where, hw::spa_t spa, hw::rmp_status status) = 0;
    virtual void rdmsr(const place &where, std::uint32_t index, hw::msr_result r) = 0;
    /// `changes`: the pages that the RMP protects from now on, if this sets SNP_EN. Also called for
    /// LSTAR, which QEMU itself writes.
    virtual void wrmsr(const place &where, std::uint32_t index, std::uint64_t value,
                       hw::msr_result r, const hw::rmp_changes &changes) = 0;
    virtual void vmrun(const vmrun_event &e) = 0;
    /// HLT with interrupts off, by which Linux takes a CPU offline. QEMU executes it next.
    virtual void halted_for_good(unsigned cpu) = 0;

    /// INIT and SIPI: the CPU is about to execute its first instruction.
    virtual void cpu_started(unsigned cpu) = 0;
    /// An exception, or an interrupt from outside: the CPU is about to execute the first
    /// instruction of its handler, which is at `rip`.
    virtual void excepted(unsigned cpu, std::uint64_t rip) = 0;
    virtual void interrupted(unsigned cpu, std::uint64_t rip) = 0;
    /// The CPU is about to take an interrupt. False when that has to wait.
    virtual bool takes_interrupt(unsigned cpu) = 0;

    virtual void guest_page(const guest_page_event &e) = 0;

    // Accesses that the RMP stopped.
    virtual void denied(const place &where, const denied_access &access) = 0;
    /// A device's write was dropped. Called once for consecutive writes to one page.
    virtual void dma_blocked(hw::spa_t spa) = 0;

    /// The secure processor has executed a command, whose completion the guest cannot see yet.
    virtual void command(std::uint16_t command, const hw::firmware_result &result) = 0;

    /// The guest begins a phase with this name; "" ends the current one.
    virtual void phase(std::string_view name) = 0;
    /// Whether the watch would find something if the guest went on and nothing changed.
    virtual bool awaits_finding() const = 0;
};

} // namespace rmpopt
