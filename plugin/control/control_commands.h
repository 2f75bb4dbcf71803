// SPDX-License-Identifier: GPL-2.0-or-later
// The commands of the control socket.
#pragma once

#include "control/injection.h"
#include "hw-model/machine/machine.h"
#include "measure/measurement.h"

#include <functional>
#include <nlohmann/json.hpp>

namespace rmpopt
{

/// What the commands read and change.
struct control_target {
    const hw::machine *machine = nullptr; ///< nullptr until QEMU has started the guest
    measurement *measured = nullptr;      ///< set together with `machine`
    std::function<void(measure_request)> set_measure;
    std::function<void(const injection_request &)> inject;
    std::function<nlohmann::ordered_json()> report; ///< the whole report
    std::function<std::size_t()> memory;            ///< bytes used for measurement and events
    double seconds = 0;                             ///< guest time
};

/// Executes the request {"cmd": ...} and returns its result. Throws control_error. Callable from
/// any thread.
nlohmann::ordered_json control_command(const control_target &target, const nlohmann::json &request);

} // namespace rmpopt
