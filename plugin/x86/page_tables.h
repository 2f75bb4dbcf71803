// SPDX-License-Identifier: GPL-2.0-or-later
// Page tables (APM vol. 2, chapter 5), and a guest's together with the nested ones that each of its
// addresses goes through (15.25). One walk serves all: find_guest_path() and translate() only look;
// walk() also marks the entries as an access of the CPU does. Knows neither QEMU nor SNP.
#pragma once

#include "hw-model/base/memory_view.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace rmpopt
{

/// The registers that decide over a translation.
struct paging_state {
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
    std::uint64_t rflags = 0; ///< AC and IF are used
};

/// The tables of a CPU, or of a guest together with its host's.
struct guest_paging {
    paging_state guest;     ///< the registers of the program's own tables
    bool long_mode = false; ///< EFER.LMA
    bool nested = false;    ///< nested paging is on
    paging_state host;      ///< the host's CR4, nCR3 as CR3: the nested tables, in long-mode format
};

struct guest_path {
    struct table_entry {
        std::uint64_t gpa; ///< of the entry
        hw::spa_t spa;
    };

    std::uint64_t gpa = 0; ///< of the address itself
    hw::spa_t spa = 0; ///< where it leads; without nested paging the same; 0 when it leads nowhere
    /// Of the page that maps it, with nested paging the smaller of both; 0 without paging.
    std::uint64_t page_bytes = 0;
    bool global = false;                  ///< bit G of its entry
    bool writable = true, user = true;    ///< allowed by all entries of the program's own tables
    std::array<table_entry, 5> entries{}; ///< of the program's own tables, from the root on
    unsigned count = 0;
};

/// Where `va` leads. Sets no bits, checks no permission. Nothing when a table on the way is not
/// present or not in RAM.
std::optional<guest_path> find_guest_path(const hw::memory_view &memory, const guest_paging &paging,
                                          std::uint64_t va);

enum class access_kind : std::uint8_t { read, write };

struct walk_result {
    enum class outcome : std::uint8_t {
        ok,
        general_protection,
        page_fault,
        refused_mark, ///< an entry would have to be marked in a page that may not be written
    };

    outcome kind = outcome::ok;
    hw::spa_t spa = 0;            ///< of the address itself
    std::uint64_t page_bytes = 0; ///< 4 KB, 2 MB or 1 GB
    std::uint32_t error_code = 0; ///< of the #PF
    hw::spa_t table_entry = 0;    ///< the entry that refused_mark is about
};

/// What a supervisor's data access to `va` meets in long mode. Only looks.
walk_result translate(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                      access_kind access);

/// The same, for an access that is made: when it is allowed, sets the accessed and dirty bits.
/// `may_mark` is asked before an entry changes, and may keep it from being written. An entry that
/// has its bits already is neither asked for nor written, as on hardware.
walk_result walk(const hw::memory_view &memory, const paging_state &state, std::uint64_t va,
                 access_kind access, bool (*may_mark)(const void *data, hw::spa_t entry),
                 const void *data);

/// In which parts of system memory, of `part_bytes` each and counted from 0, the upper half of the
/// address space leads to RAM in long mode, whatever is allowed there. That half is the kernel's.
/// Nothing when its tables have more than `most_entries`; so many take a fraction of a second.
std::optional<std::vector<bool>> mapped_by_kernel(const hw::memory_view &memory,
                                                  const paging_state &state,
                                                  std::uint64_t part_bytes, std::size_t parts,
                                                  std::uint64_t most_entries = 1u << 26);

} // namespace rmpopt
