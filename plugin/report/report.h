// SPDX-License-Identifier: GPL-2.0-or-later
// The report: one JSON file that says what the machine has done so far. A thread writes it about
// once a second when something has changed, and once more at the end. It is replaced by rename, so
// that a reader never sees half a report and a killed QEMU leaves the latest one behind.
#pragma once

#include "base/ticker.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/machine/machine.h"
#include "perturb/stall_points.h"
#include "report/schedule_record.h"
#include "watch/watch.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rmpopt
{

/// What the report contains. The model is read when the report is rendered.
struct report_snapshot {
    const hw::machine *machine = nullptr; ///< nullptr: QEMU ended before the guest started
    std::string persona;
    bool psp_present = false;
    hw::firmware_snapshot psp;
    const watch *watcher = nullptr;          ///< nullptr: the watch is off
    nlohmann::ordered_json measure;          ///< measurement::report()
    nlohmann::ordered_json encrypted_guests; ///< guest_counts_json()
    std::uint64_t lstar = 0;                 ///< the guest's MSR_LSTAR; 0 unless it was written
    std::optional<schedule_record::summary> schedule; ///< nothing when it is not kept
    std::vector<stall_points::count> points;          ///< empty when they are not counted
    std::uint64_t guard_changes = 0;
    std::uint64_t stale_breakpoints = 0, changed_blocks = 0; ///< see qemu/stale_code.h
    std::string enforcement;
    std::vector<std::string> messages; ///< lines of the log
    bool complete = false;
};

/// The report as JSON text.
std::string render_report(const report_snapshot &snapshot);

/// Linux's cpulist notation ("0-3,6") of the logical CPUs whose core has the region optimised.
std::string optimised_cpus(const hw::machine &machine, hw::spa_t region);

/// Keeps the report's file up to date. Thread-safety: start() and finish() belong to one thread;
/// write_now() may be called from any, also while a report is being written. Readers of the file
/// see whole reports only, and never an older one after a newer one.
class reporter
{
  public:
    ~reporter();

    /// Starts to keep `path` up to date with what `source(complete)` returns. Returns an empty
    /// string, or one line that says why the file cannot be written.
    std::string start(const std::string &path, std::function<report_snapshot(bool)> source);

    /// Writes the last report and ends the thread. Idempotent.
    void finish();

    /// Writes a report at once: for callers that end QEMU without finish().
    void write_now();

  private:
    enum class when : std::uint8_t { always, if_changed };
    std::string write(bool complete, when w);

    std::string path_;
    std::function<report_snapshot(bool)> source_;
    std::atomic<std::uint64_t> begun_{0}; ///< number of the youngest report

    // The lock is not held while source_ collects the report. Otherwise a thread that ends QEMU
    // could wait for the ticker, while the ticker waits for a lock that this thread holds.
    std::mutex file_lock_;
    std::uint64_t written_ = 0; ///< number of the report in the file
    std::string text_;          ///< what the file contains

    ticker ticker_; ///< declared last: it ends before the members that it uses
};

} // namespace rmpopt
