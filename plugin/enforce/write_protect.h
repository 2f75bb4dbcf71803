// SPDX-License-Identifier: GPL-2.0-or-later
// Lets the host's MMU find the guest's writes to pages that the RMP does not let the host write.
// Such pages are write-protected in QEMU's mapping, so that a store stops before memory changes and
// costs nothing when it is allowed.
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
    /// Prepares protection of `ram`, with the RMP of `machine` as the only truth. Returns an empty
    /// string or why protection is impossible here.
    std::string start(const guest_ram &ram, hw::machine &machine);

    /// Brings the protection of the changed pages in line with the RMP as it is now: what `effects`
    /// says of them is not looked at. Any thread, in any order.
    void apply(const hw::rmp_changes &effects);

    /// All RAM writable again.
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
