// SPDX-License-Identifier: GPL-2.0-or-later
// What a change of the RMP means outside the model: pages that the host may write from now on, or
// no longer. The model returns them; it never calls back.
#pragma once

#include "hw-model/base/types.h"

#include <vector>

namespace rmpopt::hw
{

/// [base, base + bytes) became host-writable or not. Both 4 KB aligned; bytes 0 = no change.
struct rmp_change {
    spa_t base = 0;
    std::uint64_t bytes = 0;
    bool host_writable = true;

    bool operator==(const rmp_change &) const = default;
};

/// Ordered list of changes; neighbours with the same verdict are joined.
class rmp_changes
{
  public:
    void add(spa_t base, std::uint64_t bytes, bool host_writable)
    {
        if (bytes == 0) {
            return;
        }
        if (!ranges_.empty() && ranges_.back().host_writable == host_writable &&
            ranges_.back().base + ranges_.back().bytes == base) {
            ranges_.back().bytes += bytes;
            return;
        }
        ranges_.push_back({base, bytes, host_writable});
    }

    /// Memory whose content is another now, because it was encrypted or decrypted in place.
    void add_recoded(spa_t base, std::uint64_t bytes)
    {
        if (!recoded_.empty() && recoded_.back().end() == base) {
            recoded_.back().bytes += bytes;
            return;
        }
        recoded_.push_back({base, bytes});
    }

    const std::vector<rmp_change> &ranges() const { return ranges_; }
    const std::vector<spa_range> &recoded() const { return recoded_; }
    bool empty() const { return ranges_.empty() && recoded_.empty(); }
    void clear() { *this = {}; }

  private:
    std::vector<rmp_change> ranges_;
    std::vector<spa_range> recoded_;
};

} // namespace rmpopt::hw
