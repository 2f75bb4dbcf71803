// SPDX-License-Identifier: GPL-2.0-or-later
// What clients of the control socket may ask for.
#pragma once

#include "hw-model/machine/machine.h"
#include "control/injection.h"
#include "measure/measurement.h"

#include <functional>
#include <nlohmann/json.hpp>

namespace rmpopt
{

/// What the commands work on.
struct control_target {
    const hw::machine *machine = nullptr; ///< nullptr: QEMU has not started the guest
    measurement *measured = nullptr;      ///< with `machine`
    std::function<void(measure_request)> set_measure;
    std::function<void(const injection_request &)> inject;
    std::function<nlohmann::ordered_json()> report; ///< the whole report
    std::function<std::size_t()> memory;            ///< bytes that measuring and events use
    double seconds = 0;                             ///< guest time
};

/// Executes {"cmd": ...}. Throws control_error. Any thread.
nlohmann::ordered_json control_command(const control_target &target, const nlohmann::json &request);

} // namespace rmpopt
