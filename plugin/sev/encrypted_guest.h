// SPDX-License-Identifier: GPL-2.0-or-later
// Guests with encrypted memory (SEV, SEV-ES, SNP) on QEMU's vCPUs. QEMU knows nothing of them. It
// runs them as ordinary guests of its own VMRUN, and the files of this folder do what is different:
//
//   enter.cc      before QEMU's VMRUN: the registers come from the VMSA
//   translate.cc  while the guest runs: all its translations, with the C-bit and RMP checks
//   leave.cc      at what would be a #VMEXIT: raises #VC in the guest instead, or saves the
//                 registers in the VMSA and gives the host its own
//   requests.cc   what the guest does with its pages and asks for, for listeners
//   guest_counts  how often all that happens
//
// All functions are for the current vCPU, on its own thread.
#pragma once

#include "enforce/svm_guest.h"
#include "events/listener.h"
#include "hw-model/guest/nested_walk.h"
#include "hw-model/guest/vmsa.h"
#include "qemu/tlb_fill.h"
#include "qemu/vcpu.h"
#include "x86/xsave_area.h"

#include <atomic>

namespace rmpopt
{

/// What is on its way to a guest's handler.
enum class delivery : std::uint8_t { nothing, vmm_communication, double_fault };

/// What is known of the encrypted guest that a vCPU runs.
struct encrypted_guest {
    std::atomic<bool> runs = false; ///< read by other vCPUs, too
    bool es = false;                ///< SEV-ES or SNP: its registers are in `vmsa`
    bool cr3_encrypted = false;     ///< the C-bit of its CR3, which QEMU's cannot have
    delivery delivers = delivery::nothing;
    std::uint64_t host_cr4 = 0; ///< at VMRUN
    hw::spa_t vmcb = 0, vmsa = 0;
    hw::guest_identity identity;
    /// The VMCB's save area, which QEMU uses although VMRUN of such a guest does not. So that the
    /// host sees nothing of the guest there, it is put back.
    std::array<std::byte, hw::common_save_bytes> save_area{};
};

/// The current vCPU's.
encrypted_guest &encrypted_guest_of(const vcpu &cpu);

/// Why VMRUN must fail, beside the RMP's checks; nullptr if nothing speaks against it. `v` is that
/// of an encrypted guest.
const char *reason_against(const vcpu &cpu, const vmcb_view &v);

/// After VMRUN's checks and synchronise(): prepares registers and VMCB for QEMU's VMRUN.
void enter_encrypted_guest(const vcpu &cpu, hw::spa_t vmcb, const vmcb_view &v);

/// The rules for translations and exits, to be put into `rules`.
void add_encrypted_guest_rules(translation_rules &rules);

/// Exit codes that VMGEXIT and the like pass to QEMU: ends the guest, or raises #VC in it. After
/// synchronise().
[[noreturn]] void exit_encrypted_guest(const vcpu &cpu, std::uint64_t code, std::uint64_t info1 = 0,
                                       std::uint64_t info2 = 0);

/// Where the operand of PVALIDATE, RMPADJUST or RMPQUERY leads. The guest leaves, or gets an
/// exception, when it leads nowhere. After synchronise().
hw::guest_translation translate_operand(const vcpu &cpu, std::uint64_t address);

/// The guest is about to leave with VMGEXIT: counts what it asks for and tells the listener of
/// pages that it should not ask for. After synchronise().
void note_request(const vcpu &cpu);

/// Tells the listener of the guest's page. `rip`: of the instruction.
void tell_page(const vcpu &cpu, guest_page_event::kind what, std::uint64_t gpa, hw::spa_t spa,
               std::uint64_t rip);

/// True when the page at `spa` is one that this SNP guest has validated, at `gpa`.
bool has_validated(const encrypted_guest &guest, std::uint64_t gpa, hw::spa_t spa);

/// True when the guest's hypervisor wants to be told after a write that exits with `code`, one of
/// the write traps (APM vol. 2, appendix C).
bool traps_write(const encrypted_guest &guest, std::uint64_t code);

/// After a change of the RMP: no guest that runs on another vCPU uses what it has cached before.
void drop_translations_of_guests();

/// To be called at machine reset.
void forget_encrypted_guests();

/// 8 bytes at `spa`; 0 where there is no memory.
std::uint64_t load_word(hw::spa_t spa);

// Between the files of this folder.

const hw::memory_view &memory();

/// QEMU has no exit of this code. While the guest runs it stands in the VMCB, so that a #VMEXIT is
/// told from an exception that the guest handles itself.
inline constexpr std::uint64_t no_exit_yet = 0x5250'4d52'554e'5321;

/// The part of XSAVE's area that the VMSA has, but for PKRU.
inline hw::vector_state vectors_in(xsave::area &area)
{
    return std::span(area).first<hw::vector_state_bytes>();
}

bool runs_encrypted_guest(const vcpu &cpu);
own_translation translate_for_encrypted_guest(const own_access &access);
bool leave_encrypted_guest(const vcpu &cpu);
/// Where the guest's page walk begins now.
hw::guest_tables tables_of(const vcpu &cpu, const encrypted_guest &guest);

} // namespace rmpopt
