// SPDX-License-Identifier: GPL-2.0-or-later
// The wiring: one object, made by install(), that owns the parts, starts them in order and connects
// them. The parts that need guest RAM and vCPUs are started by start_machine().
#pragma once

#include "base/ticker.h"
#include "control/control_commands.h"
#include "control/control_server.h"
#include "control/injection.h"
#include "enforce/guest_ram.h"
#include "hw-model/machine/machine.h"
#include "observers.h"
#include "options.h"
#include "qemu/guest_timer.h"
#include "report/report.h"
#include "secure_processor.h"

#include <atomic>
#include <memory>

namespace rmpopt
{

class emulation
{
  public:
    emulation(options opt, unsigned vcpus);

    /// Opens report, events and control socket. Returns an empty string, or what went wrong.
    std::string listen();

    /// To be called before QEMU makes devices.
    void offer_devices();

    /// To be called before the boot CPU's first instruction: finds CPUs and RAM and builds the
    /// model. Ends QEMU on any error. Does nothing when called again. `ra`: as for
    /// layout::try_facts().
    void start_machine(std::uintptr_t ra);

    /// To be called at machine reset, with the vCPUs stopped.
    void reset();

    /// To be called when QEMU ends.
    void finish();

  private:
    bool started() const { return started_.load(std::memory_order_acquire); }
    bool enforces() const { return options_.enforce != enforcement::off; }
    void make_machine();
    void start_parts();
    void start_checks(std::uintptr_t ra);
    /// To be called when the boot CPU is about to enter long mode. Does the BIOS's work once per
    /// boot.
    void enter_operating_system(std::uint32_t rsi, std::uint32_t rbx);
    /// Changes the measurement mode. Any thread may call it once the machine has started. On a
    /// vCPU's thread the caller must then leave the current block, after vcpu::synchronise(),
    /// because the mode applies from the next instruction.
    void set_measure(measure_request to);
    void inject(const injection_request &request);
    control_target target();
    report_snapshot snapshot(bool complete) const;

    options options_;
    hw::cpu_model cpu_;
    unsigned vcpus_;
    std::atomic<bool> started_{false};
    observers observers_;
    injections injections_;
    stall_points points_;
    guest_ram ram_;
    std::unique_ptr<hw::machine> machine_;
    secure_processor secure_processor_{observers_, injections_};
    reporter reporter_;
    std::atomic<bool> booted_{false}; ///< the BIOS's work is done for this boot
    bool warm_ = false;               ///< RAM may hold the contents of an earlier boot
    control_server control_;
    guest_timer time_limit_;
    guest_timer guest_timer_; ///< instead of the ticker, when everything goes by the guest's clock
    ticker ticker_;           ///< last, so that it ends first
};

} // namespace rmpopt
