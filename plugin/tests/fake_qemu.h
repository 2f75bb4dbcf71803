// SPDX-License-Identifier: GPL-2.0-or-later
// Stands in for plugin/qemu and the hooks in translated code, so that what lies above them can be
// tested as it is. One vCPU; what would leave the block is thrown.
#pragma once

#include "qemu/pci_function.h"
#include "qemu/tlb_fill.h"
#include "x86/xsave_area.h"

#include <array>
#include <functional>
#include <set>
#include <utility>
#include <vector>

namespace rmpopt::fake
{

/// What QEMU is left with by an emulation that does not return.
struct continued {
    std::uint64_t rip;
};
struct raised {
    int vector;
    int error_code;
};
struct entered {
};            ///< VMRUN
struct left { ///< #VMEXIT
    std::uint64_t code, info1;
};

/// Of PKRU in `vectors`.
inline constexpr std::size_t pkru_offset = 0xa80;

struct state {
    std::array<std::uint64_t, 16> reg{};
    unsigned cpl = 0;
    bool code_64 = true, in_guest = false, svm = true;
    bool on_vcpu_thread = true;
    std::uint64_t rip = 0x1000, cr2 = 0;
    paging_state paging{};
    hw::spa_t vmcb = 0;
    std::uint64_t efer = 0;
    std::vector<std::pair<unsigned, std::uint64_t>> cr_writes; ///< {number, value}
    std::vector<std::uint32_t> msr_writes;                     ///< by QEMU, called by us
    bool long_mode = true;
    bool exits = true; ///< what QEMU delivers is a #VMEXIT
    std::uint64_t xcr0 = 1;
    xsave::area vectors{};
    std::vector<hw::spa_t> loaded, saved;                   ///< by VMLOAD and VMSAVE
    std::vector<int> delivered;                             ///< vectors; -1 for a #VMEXIT
    std::set<int> undeliverable;                            ///< vectors that lead to a #VMEXIT
    std::vector<std::pair<std::uint64_t, unsigned>> pushed; ///< {value, bytes}
    std::byte *ram = nullptr; ///< system memory from 0 on, as QEMU maps it
    std::uint64_t ram_bytes = 0;
    /// Work that waits for vCPUs to stop; on a vCPU's thread it is done at once.
    std::vector<std::pair<void (*)(void *), void *>> queued;
    std::uint64_t clock = 0;
    pci_function function{};       ///< that was offered
    unsigned interrupts = 0;       ///< raised by it
    std::function<void()> timer{}; ///< what the timer that was started last will call
    std::uint64_t timer_delay = 0;
    std::vector<std::pair<unsigned, std::uint64_t>> stalls, holds; ///< {CPU, nanoseconds}
};
extern state qemu;

/// Does the oldest of the work that waits, as QEMU does between blocks.
void run_next_queued();
/// Does all of it.
void run_queued();

} // namespace rmpopt::fake
