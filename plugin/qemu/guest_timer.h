// SPDX-License-Identifier: GPL-2.0-or-later
// A function that QEMU calls at points of the guest's time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace rmpopt
{

/// True when the guest's clock counts its instructions (-icount). Any time.
bool clock_counts_instructions();

/// With a clock that counts instructions, the calls come after the same instruction in each run.
/// All members must be called with QEMU's big lock held or before the guest runs.
class guest_timer
{
  public:
    /// Calls `f` every `period` nanoseconds of QEMU's virtual clock from now on, with QEMU's big
    /// lock held and on no vCPU's behalf, until QEMU ends. The object must live as long.
    void start(std::uint64_t period, std::function<void()> f);

    /// Calls `f` once, in `delay` nanoseconds. An earlier call that is still to come is dropped.
    void once(std::uint64_t delay, std::function<void()> f);

  private:
    static void expired(void *self);
    void arm(std::uint64_t delay);

    /// For QEMU's QEMUTimer, which is smaller.
    alignas(16) std::array<std::byte, 256> timer_{};
    bool is_made_ = false;
    std::uint64_t period_ = 0; ///< 0: once
    std::function<void()> call_;
};

} // namespace rmpopt
