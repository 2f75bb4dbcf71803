// SPDX-License-Identifier: GPL-2.0-or-later
// How the CPU translates an address of a guest with encrypted memory: through the guest's tables
// and, for each of its steps, through the nested ones, with an RMP check at each step (APM vol. 2,
// chapter 5; 15.25 for nested paging; 15.34.5 and 15.34.10 for the C-bit; 15.36.10 for the checks).
//
// Not there: shadow stacks, and what only guests without encryption have.
//
// Thread-safety: any thread at any time; no lock, no allocation. Entries are read and marked
// atomically, because other CPUs use the same tables.
#pragma once

#include "hw-model/access/rmp_check.h"
#include "hw-model/machine/machine.h"

#include <cstdint>

namespace rmpopt::hw
{

/// The registers that decide.
struct guest_tables {
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0; ///< the guest's own; CR3 without C-bit
    std::uint64_t nested_cr3 = 0;
    std::uint64_t host_cr4 = 0; ///< at VMRUN: nested tables have five levels if it has LA57
    std::uint32_t pkru = 0;     ///< the guest's own; of no effect without CR4.PKE
};

/// Whose access it is, for the RMP.
struct guest_identity {
    unsigned thread = 0;    ///< the CPU
    bool snp = false;       ///< otherwise SEV or SEV-ES
    std::uint32_t asid = 0; ///< not 0
    unsigned vmpl = 0;
};

struct guest_access {
    std::uint64_t address = 0;                    ///< linear
    rmp_access_kind kind = rmp_access_kind::read; ///< read, write or fetch
    bool user = false;
    bool smap = false; ///< a supervisor's data access that SMAP keeps from user pages
    /// The operand of PVALIDATE, RMPADJUST or RMPQUERY: they check the page itself.
    bool page_unchecked = false;
};

struct guest_translation {
    enum class outcome : std::uint8_t {
        mapped,
        general_protection, ///< #GP(0): the address is not canonical
        page_fault,         ///< #PF in the guest with `error_code`
        nested_page_fault,  ///< #VMEXIT(NPF) with `info1`, and with `gpa` as EXITINFO2
        not_validated,      ///< #VC with the error code vc_page_not_validated
    };

    outcome kind = outcome::mapped;
    std::uint64_t gpa = 0;  ///< of the address; of a table's entry, if that is what failed
    spa_t spa = 0;          ///< of the address, or of the entry, if it is known
    bool encrypted = false; ///< the guest's C-bit, or an access that is private in any case
    /// A read through this translation would be allowed. Some fetches are that reads are not.
    bool readable = false;
    /// A write through this translation would be allowed now, and need no mark in any table.
    bool writable = false;
    bool large_nested = false;    ///< the nested tables map a page of 2 MB or more
    bool executable = false;      ///< neither set of tables forbids to fetch
    std::uint64_t page_bytes = 0; ///< that the guest's own tables map; 4 KB without paging
    std::uint32_t error_code = 0;
    std::uint64_t info1 = 0;
    rmp_verdict verdict{}; ///< of the RMP check that failed, if one did
};

/// The access by a CPU: marks what it walks through as accessed, and as dirty for a write.
guest_translation translate_guest(const machine &m, const guest_tables &tables,
                                  const guest_identity &who, const guest_access &access);

} // namespace rmpopt::hw
