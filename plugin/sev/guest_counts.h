// SPDX-License-Identifier: GPL-2.0-or-later
// How often guests with encrypted memory are entered and left, and why: where the time of such a
// guest goes.
//
// Thread-safety: a vCPU's counters are written by the vCPU's thread alone and read by any.
#pragma once

#include "measure/cells.h"
#include "qemu/vcpu.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>

namespace rmpopt
{

/// Counts by a code, of which few are in use.
class code_counts
{
  public:
    void add(std::uint64_t code);
    void add_to(std::map<std::uint64_t, std::uint64_t> &sums) const;

  private:
    struct slot {
        std::atomic<std::uint64_t> code{0};
        cell_counter count{0}; ///< 0: the slot is free, and so are all behind it
    };
    /// A guest can make codes up. Those for which no slot is left are not counted.
    std::array<slot, 128> slots_;
};

/// One vCPU's.
struct alignas(64) guest_counters {
    cell_counter entries{0};     ///< VMRUN
    cell_counter tlb_fills{0};   ///< translations that QEMU has asked for
    cell_counter page_faults{0}; ///< #PF in the guest
    cell_counter rmp_faults{0};  ///< nested page faults by the RMP
    cell_counter pvalidate{0}, pvalidate_unchanged{0}, rmpadjust{0}; ///< executed
    code_counts exits;                                               ///< to the host, by exit code
    code_counts vc;       ///< #VC in the guest, by error code
    code_counts requests; ///< VMGEXIT, by ghcb_request::code
};

guest_counters &guest_counters_of(const vcpu &cpu);

/// The sum over all vCPUs, for the report; null when no such guest has run.
nlohmann::ordered_json guest_counts_json();

} // namespace rmpopt
