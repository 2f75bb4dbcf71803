// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that lives as long as QEMU does. One object, made by install(); the parts that need
// guest RAM and vCPUs follow in start_machine().
#pragma once

#include "base/ticker.h"
#include "control/control_server.h"
#include "control/injection.h"
#include "enforce/guest_ram.h"
#include "enforce/write_protect.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/machine/machine.h"
#include "measure/measurement.h"
#include "options.h"
#include "platform/firmware_events.h"
#include "platform/psp/device.h"
#include "platform/rmp_setup.h"
#include "report/event_log.h"
#include "report/report.h"
#include "watch/watch.h"

#include <atomic>
#include <memory>

namespace rmpopt
{

class context
{
  public:
    context(options opt, unsigned vcpus);

    /// Before devices exist: the secure processor must listen when QEMU creates its client.
    /// Returns an empty string or what went wrong.
    std::string listen();

    /// Before the boot CPU's first instruction: finds CPUs and RAM, builds the model. Refuses on
    /// any error; does nothing when called again. `ra`: as for layout::try_facts().
    void start_machine(std::uintptr_t ra);
    bool enforces() const { return options_.enforce != enforcement::off; }
    bool is_strict() const { return options_.enforce == enforcement::strict; }
    bool started() const { return started_.load(std::memory_order_acquire); }

    /// The boot CPU is about to enter long mode, with these values in RSI and RBX. Does the BIOS's
    /// part once for each boot of the machine.
    void enter_operating_system(std::uint32_t rsi, std::uint32_t rbx);

    /// Makes the model's effects true for QEMU.
    void apply(const hw::rmp_changes &effects);

    /// An RMP instruction has looked at `spa`: recounts its region now and then, if asked for.
    /// Ends QEMU when the model contradicts itself.
    void audit(hw::spa_t spa);

    /// The rules for writes have changed without a change of the RMP, as when SNP_EN gets set.
    void drop_translations() const;

    /// Machine reset: vCPUs are stopped.
    void reset();

    /// QEMU ends.
    void finish();

    /// Stores are counted like that from now on. Any thread, once the machine has started; takes
    /// effect soon, on a vCPU's thread before its next instruction: then the caller must leave the
    /// block that it was called from, after vcpu::synchronise().
    void set_measure(measure_request to);
    measurement &measuring() { return *measurement_; }
    injections &injected() { return injections_; }

    /// Something has happened just now.
    void tell(std::string_view type, const nlohmann::ordered_json &fields)
    {
        events_.add(guest_time(), type, fields);
    }

    /// nullptr when nobody asked for it.
    watch *watcher() const { return watch_.get(); }
    /// The boot CPU wrote its entry point of system calls, by which symbols can be found.
    void note_lstar(std::uint64_t lstar) { lstar_.store(lstar, std::memory_order_relaxed); }

    hw::machine &machine() { return *machine_; }
    const hw::machine &machine() const { return *machine_; }
    const guest_ram &ram() const { return ram_; }

  private:
    report_snapshot snapshot(bool complete) const;
    void start_watch();
    /// A command of the secure processor has been executed. Its thread.
    void after_command(std::uint16_t command, std::uint16_t status);
    void tick();
    void start_measurement();
    std::string start_control();
    void inject(const injection_request &request);
    /// Nanoseconds since Linux took over.
    std::uint64_t guest_time() const;
    firmware_view view_firmware() const;
    /// Firmware is about to run a command. Its own thread.
    void before_command(std::uint16_t command);
    /// Finds out where the IOMMU writes now. Waits for a vCPU, which alone can read its registers.
    void read_iommu();

    options options_;
    unsigned vcpus_;
    std::atomic<bool> started_{false};
    event_log events_;
    firmware_events firmware_events_;
    injections injections_;
    guest_ram ram_;
    guard guard_;
    std::unique_ptr<hw::machine> machine_;
    std::unique_ptr<hw::firmware> firmware_;
    std::unique_ptr<watch> watch_;
    std::unique_ptr<measurement> measurement_;
    std::atomic<std::uint64_t> boot_started_ns_{0}; ///< QEMU's virtual clock when Linux took over
    std::atomic<std::uint64_t> lstar_{0};
    psp_device psp_;
    reporter reporter_;
    std::atomic<bool> finishing_{false};
    std::atomic<bool> booted_{false}; ///< the BIOS's part is done for this boot
    std::atomic<unsigned> since_audit_{0};
    bool warm_ = false;                    ///< RAM may hold the contents of an earlier boot
    std::atomic<hw::spa_t> iommu_base_{0}; ///< its registers; 0 without an IOMMU
    control_server control_;
    ticker ticker_; ///< last, so that it ends first
};

/// The only instance; set by install() before any callback can run.
extern context *the_context;

} // namespace rmpopt
