// SPDX-License-Identifier: GPL-2.0-or-later
// The report: one JSON file with what the machine did so far. Written by a thread of its own about
// once a second while something changes, and at the end; always by rename, so that a reader never
// sees half a report and a killed QEMU leaves the last one.
#pragma once

#include "base/ticker.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/machine/machine.h"
#include "watch/watch.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rmpopt
{

/// What the report says; the model is read when the text is made.
struct report_snapshot {
    const hw::machine *machine = nullptr; ///< nullptr: QEMU ended before the guest started
    std::string persona;
    bool psp_present = false;
    hw::firmware_snapshot psp;
    const watch *watcher = nullptr; ///< nullptr: nobody watches
    nlohmann::ordered_json measure; ///< measurement::report()
    std::uint64_t lstar = 0;        ///< the guest's MSR_LSTAR; 0 unless it was written
    std::uint64_t guard_changes = 0;
    std::string enforcement;
    std::vector<std::string> messages; ///< lines of the log
    bool complete = false;
};

/// The report as JSON text.
std::string render_report(const report_snapshot &snapshot);

/// Linux's cpulist notation ("0-3,6") of the logical CPUs whose core has the region optimised.
std::string optimised_cpus(const hw::machine &machine, hw::spa_t region);

class reporter
{
  public:
    ~reporter();

    /// Starts to keep `path` up to date with what `source(complete)` returns. Returns an empty
    /// string or why the file cannot be written.
    std::string start(const std::string &path, std::function<report_snapshot(bool)> source);

    /// Writes the last report and ends the thread. Idempotent.
    void finish();

    /// Writes a report at once, from any thread; for the case that QEMU will not live to finish().
    void write_now();

  private:
    void write_if_changed();
    std::string write(const std::string &text) const;

    std::string path_;
    std::function<report_snapshot(bool)> source_;
    std::string last_; ///< what the ticker wrote last
    ticker ticker_;    ///< last, so that it ends first
};

} // namespace rmpopt
