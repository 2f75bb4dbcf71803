// SPDX-License-Identifier: GPL-2.0-or-later
// Passes each event on to all observers: watch, measurement, event log, audit, counters.
//
// Thread-safety: any thread may report events. start() and reset() must be called while no vCPU
// runs, tick() from the ticker's thread, guest_ends() from a vCPU's, and finish() from QEMU's last
// callback.
#pragma once

#include "events/listener.h"
#include "measure/measurement.h"
#include "perturb/stall_points.h"
#include "report/event_log.h"
#include "report/firmware_events.h"
#include "report/report.h"
#include "report/schedule_record.h"
#include "watch/watch.h"

#include <atomic>
#include <memory>

namespace rmpopt
{

class observers final : public listener
{
  public:
    struct settings {
        hw::machine *machine = nullptr;
        tlb_geometry tlb{};
        bool watches = false;
        guest_time watch_bound = 0;
        unsigned audit = 0; ///< recount the RMP after every so many RMP instructions; 0: never
        /// Keep a schedule; then only one vCPU at a time may execute. What happens while this
        /// returns true is neither an event nor counted: the guest has ended, and how far it still
        /// runs depends on the host.
        std::function<bool()> is_over{};
        /// See watch::settings.
        mapped_by_kernel_fn mapped_by_kernel{};
        stall_points *points = nullptr; ///< nullptr: CPUs do not stall
    };

    /// `clock`: QEMU's virtual clock in nanoseconds.
    explicit observers(std::function<std::uint64_t()> clock);

    /// To be called when the machine is complete. Before that only tell(), open_events(),
    /// open_schedule() and events() may be called.
    void start(const settings &s);

    // The events; see listener.
    void rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx,
                const hw::rmpopt_result &r) override;
    void rmpupdate(const place &where, hw::spa_t spa, const hw::rmp_record &record,
                   hw::rmp_status status) override;
    void psmash(const place &where, hw::spa_t spa, hw::rmp_status status) override;
    void rdmsr(const place &where, std::uint32_t index, hw::msr_result r) override;
    void wrmsr(const place &where, std::uint32_t index, std::uint64_t value, hw::msr_result r,
               const hw::rmp_changes &changes) override;
    void vmrun(const vmrun_event &e) override;
    void halted_for_good(unsigned cpu) override;
    void guest_page(const guest_page_event &e) override;
    void cpu_started(unsigned cpu) override;
    void excepted(unsigned cpu, std::uint64_t rip) override;
    void interrupted(unsigned cpu, std::uint64_t rip) override;
    bool takes_interrupt(unsigned cpu) override;
    void denied(const place &where, const denied_access &access) override;
    void dma_blocked(hw::spa_t spa) override;
    void phase(std::string_view name) override;
    bool awaits_finding() const override;
    void command(std::uint16_t command, const hw::firmware_result &result) override;

    /// The CPU has rung the secure processor's doorbell.
    void doorbell(unsigned cpu);
    /// The CPU is about to execute an instruction that is a point. Returns for how long it has to
    /// stall first.
    stall_time reach_code(std::uint64_t address, unsigned cpu);
    /// The operating system takes over, and guest time begins.
    void booted();
    /// The secure processor was reset, perhaps alone.
    void firmware_reset(const hw::firmware_result &result);
    /// The machine was reset.
    void reset();
    /// Adds any other event to the log, with the current time.
    void tell(std::string_view type, const nlohmann::ordered_json &fields);

    /// To be called a few times a second: lets the watch look for what is overdue, and writes
    /// events to the file.
    void tick();
    /// The guest will end here: up to here, and no further, it is measured. Without this call,
    /// up to the last tick or mark before its end.
    void guest_ends();
    void finish();

    /// Nanoseconds since the operating system took over; 0 before.
    guest_time guest_now() const;
    std::string open_events(const std::string &path) { return events_.open_file(path); }
    std::string open_schedule(const std::string &path) { return schedule_.open_file(path); }
    const event_log &events() const { return events_; }
    measurement &measuring() { return *measurement_; }
    /// Adds the observers' data to a report.
    void add_to(report_snapshot &s) const;

  private:
    void start_watch(const settings &s);
    bool keeps_schedule() const { return settings_.is_over != nullptr; }
    guest_time since_boot(std::uint64_t ns) const;
    void schedule_event(happening what, unsigned cpu,
                        const std::array<std::uint64_t, 3> &operands = {});
    void look_at_region(hw::spa_t spa);
    void reach(stall_site site, unsigned cpu);
    void tell_stall(const stall_point &where, const stall_time &time);

    const std::function<std::uint64_t()> clock_;
    std::atomic<std::uint64_t> boot_started_ns_{0}; ///< on that clock
    std::atomic<std::uint64_t> lstar_{0};
    event_log events_;
    firmware_events firmware_events_;
    settings settings_;
    schedule_record schedule_;
    std::atomic<std::uint64_t> last_scheduled_ns_{0};
    std::unique_ptr<watch> watch_; ///< nullptr if the option is off
    std::unique_ptr<measurement> measurement_;
    std::atomic<unsigned> since_audit_{0};
};

} // namespace rmpopt
