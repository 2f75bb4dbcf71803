// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's name=value options.
#pragma once

#include "control/injection.h"
#include "enforce/level.h"
#include "hw-model/base/policy.h"
#include "hw-model/machine/cpu_model.h"
#include "measure/measure_request.h"
#include "measure/tlb_geometry.h"
#include "perturb/stall_points.h"
#include "platform/psp/latency.h"

#include <string>
#include <vector>

namespace rmpopt
{

enum class rmp_choice : std::uint8_t { automatic, segmented, contiguous, none };

struct options {
    const hw::cpu_model *persona = hw::find_cpu_model("venice");
    bool rmpopt = true; ///< false: the CPU lacks RMPOPT even if others of its persona have it
    rmp_choice rmp = rmp_choice::automatic;
    hw::policy policy{};
    enforcement enforce = enforcement::on;
    unsigned audit = 0; ///< recount the RMP after every so many RMP instructions; 0: never
    /// Does everything by the guest's clock, and keeps a hash of what happens; needs -icount.
    bool deterministic = false;
    bool watch = false; ///< look for mistakes of the guest's kernel
    /// Seconds of guest time that a clean region may stay unoptimised.
    unsigned watch_bound = 30;
    measure_request measure; ///< from the start; may be changed while the guest runs
    tlb_geometry tlb = tlb_presets().back(); ///< of a core, where a TLB is modelled
    psp::latency psp_latency;                ///< of the secure processor's commands
    stall_plan stalls;                       ///< needs `deterministic`
    /// The order in which CPUs take turns; empty: that of their numbers. Needs `deterministic`.
    std::vector<unsigned> turns;
    std::vector<injection_request> injections; ///< that are in force from the start
    unsigned time_limit = 0; ///< seconds of the guest's clock until power-off; 0: none
    std::string control;     ///< path of the control socket; empty: none
    std::string events;      ///< path of the events; empty: none
    std::string schedule;    ///< path of all events of a deterministic run; empty: none
    std::string log;         ///< path of the log; empty: stderr
    std::string report;      ///< path of the report; empty: none
    std::string probe;       ///< path of the probe's result; empty: run the guest
    std::string broken_fact; ///< for tests: name of a fact of QEMU that must fail; empty: none

    /// The persona, with the features that it has here.
    hw::cpu_model cpu() const;
    /// The layout that the BIOS sets up.
    hw::rmp_layout layout() const;
};

/// Parses `argc` options into `out`. Returns an empty string, or one line that says what is wrong
/// and what is allowed.
std::string parse_options(int argc, const char *const *argv, options &out);

} // namespace rmpopt
