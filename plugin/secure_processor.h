// SPDX-License-Identifier: GPL-2.0-or-later
// Wiring of the secure processor: its device in QEMU, the model of its firmware, and what a command
// changes in the machine.
//
// Thread-safety: as each member says.
#pragma once

#include "control/injection.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/machine/machine.h"
#include "observers.h"
#include "platform/psp/device.h"

#include <atomic>
#include <memory>
#include <mutex>

namespace rmpopt
{

class secure_processor
{
  public:
    /// Both must live as long.
    secure_processor(observers &heard, injections &failures)
        : observers_(heard), injections_(failures)
    {
    }

    /// Lets QEMU make the device. Before it makes any.
    void offer(const psp::latency &takes);

    /// Before the guest's first instruction; commands that come earlier fail.
    void start(hw::machine &machine);

    /// Where the registers of the IOMMU are, whose buffers SNP_INIT protects; 0 without one. Any
    /// thread.
    void set_iommu(hw::spa_t base) { iommu_base_ = base; }

    /// Machine reset, in QEMU's main thread: `reset_machine` is called while no command runs.
    void reset_with(const std::function<void()> &reset_machine);

    /// Any thread, once started.
    hw::firmware_snapshot snapshot() const { return firmware_->snapshot(); }

  private:
    bool started() const { return started_.load(std::memory_order_acquire); }
    void prepare(std::uint16_t command);
    std::uint16_t run(std::uint16_t command, hw::spa_t buffer);
    void reset();

    observers &observers_;
    injections &injections_;
    psp::device device_;
    hw::machine *machine_ = nullptr;
    std::unique_ptr<hw::firmware> firmware_;
    std::atomic<bool> started_{false};
    std::atomic<hw::spa_t> iommu_base_{0};
    /// Held while a command runs, until its changes have taken effect. It comes after QEMU's big
    /// lock and before all others.
    std::mutex command_lock_;
};

} // namespace rmpopt
