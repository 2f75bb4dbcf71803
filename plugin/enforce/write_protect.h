// SPDX-License-Identifier: GPL-2.0-or-later
// Write-protects, in QEMU's mapping, the pages that the RMP does not let the host write. The host's
// MMU then stops a forbidden store before memory changes, and an allowed store costs nothing.
#pragma once

#include "enforce/guest_ram.h"
#include "hw-model/machine/machine.h"
#include "hw-model/rmp/rmp_changes.h"

#include <atomic>
#include <mutex>
#include <string>

namespace rmpopt
{

class write_protect
{
  public:
    /// Prepares to protect `ram` by the RMP of `machine`. Returns an empty string, or why this host
    /// cannot do it.
    std::string start(const guest_ram &ram, hw::machine &machine);

    /// Brings the protection of the changed pages in line with the current RMP. It looks only at
    /// which pages `effects` names, so calls for the same pages may come in any order, from any
    /// thread.
    void apply(const hw::rmp_changes &effects);

    /// Makes all RAM writable again.
    void release_all();

    std::uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

  private:
    void apply_range(const hw::spa_range &range);
    void protect(const hw::spa_range &range, bool writable);

    const guest_ram *ram_ = nullptr;
    hw::machine *machine_ = nullptr;
    int uffd_ = -1;
    std::mutex lock_;
    std::atomic<std::uint64_t> changes_{0};
};

} // namespace rmpopt
