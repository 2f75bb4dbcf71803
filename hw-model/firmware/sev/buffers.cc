// SPDX-License-Identifier: GPL-2.0-or-later
// Where legacy commands may write, and how they ask for more room (AMD 55766; page states: AMD
// 56860).
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

firmware_status check_sev_outputs(const firmware_call &c, std::initializer_list<spa_range> outputs)
{
    for (const spa_range &out : outputs) {
        const firmware_status status = check_output(c, out.base, out.bytes, true);
        if (status != firmware_status::success) {
            return status;
        }
        const spa_range command{c.buffer_spa, c.buffer.size()};
        if (out.overlaps(command) || std::ranges::any_of(outputs, [&out](const spa_range &other) {
                return &other != &out && other.overlaps(out);
            })) {
            return firmware_status::invalid_address;
        }
    }
    return firmware_status::success;
}

firmware_status check_answer(const firmware_call &c)
{
    return check_output(c, c.buffer_spa, c.buffer.size(), true);
}

firmware_status answer_length(firmware_call &c, std::size_t offset, std::uint32_t needed)
{
    c.put(offset, needed);
    c.write_back = true;
    return firmware_status::invalid_length;
}

} // namespace rmpopt::hw
