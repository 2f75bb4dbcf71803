// SPDX-License-Identifier: GPL-2.0-or-later
// What firmware keeps to itself, for tests that compare it with what its results tell. While no
// other thread uses the firmware.
#pragma once

#include "hw-model/firmware/common/state.h"
#include "hw-model/firmware/firmware.h"

namespace rmpopt::hw
{

struct firmware_inside {
    /// By the address of their context page.
    static const snp_guest_table &guests(const firmware &f) { return f.state_->guests; }
    static snp_guest &change_guest(const firmware &f, spa_t context)
    {
        return f.state_->guests.at(context);
    }
    static std::vector<spa_range> own_memory(const firmware &f)
    {
        return own_memory_of(f.machine_, *f.state_);
    }
};

} // namespace rmpopt::hw
