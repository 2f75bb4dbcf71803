// SPDX-License-Identifier: GPL-2.0-or-later
// Where SEV commands may write (AMD 55766; page states: AMD 56860).
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

firmware_status check_sev_outputs(const firmware_call &c, std::initializer_list<spa_range> outputs)
{
    for (const spa_range &out : outputs) {
        const bool overlaps =
            out.overlaps(c.buffer) || std::ranges::any_of(outputs, [&out](const spa_range &other) {
                return &other != &out && other.overlaps(out);
            });
        const firmware_status status =
            in_order([&] { return check_output(c, out.base, out.bytes, true); },
                     must(!overlaps, invalid_address));
        if (status != success) {
            return status;
        }
    }
    return success;
}

firmware_status check_answer(const firmware_call &c)
{
    return check_output(c, c.buffer.base, c.buffer.bytes, true);
}

} // namespace rmpopt::hw
