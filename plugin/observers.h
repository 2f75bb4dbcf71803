// SPDX-License-Identifier: GPL-2.0-or-later
// Who hears what happens: the watch, the measurement, the log of events, the audit, the counters.
//
// Thread-safety: events may be told by any thread. start() and reset() come while no vCPU runs;
// flush() and finish() belong to the ticker's thread and to QEMU's last callback.
#pragma once

#include "events/listener.h"
#include "measure/measurement.h"
#include "report/event_log.h"
#include "report/firmware_events.h"
#include "report/report.h"
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
    };

    /// `clock`: QEMU's virtual clock in nanoseconds.
    explicit observers(std::function<std::uint64_t()> clock);

    /// The machine is complete. Until then only tell(), open_events() and events() may be called.
    void start(const settings &s);

    // What happens; see listener.
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
    void cpu_started(unsigned cpu) override;
    void denied(const place &where, const denied_access &access) override;
    void dma_blocked(hw::spa_t spa) override;
    void phase(std::string_view name) override;
    void command(std::uint16_t command, const hw::firmware_result &result) override;

    /// Linux takes over: guest time begins.
    void booted();
    /// The secure processor was reset, perhaps alone.
    void firmware_reset(const hw::firmware_result &result);
    /// The machine was reset.
    void reset();
    /// Something else has happened just now.
    void tell(std::string_view type, const nlohmann::ordered_json &fields);

    /// To be called a few times a second: looks for what should have happened by now, and writes
    /// down what has.
    void tick();
    void finish();

    /// Nanoseconds since Linux took over; 0 before.
    guest_time guest_now() const;
    std::string open_events(const std::string &path) { return events_.open_file(path); }
    const event_log &events() const { return events_; }
    measurement &measuring() { return *measurement_; }
    /// What they know.
    void add_to(report_snapshot &s) const;

  private:
    void start_watch(const settings &s);
    void look_at_region(hw::spa_t spa);

    const std::function<std::uint64_t()> clock_;
    std::atomic<std::uint64_t> boot_started_ns_{0}; ///< on that clock
    std::atomic<std::uint64_t> lstar_{0};
    event_log events_;
    firmware_events firmware_events_;
    settings settings_;
    std::unique_ptr<watch> watch_; ///< nullptr: nobody asked for it
    std::unique_ptr<measurement> measurement_;
    std::atomic<unsigned> since_audit_{0};
};

} // namespace rmpopt
