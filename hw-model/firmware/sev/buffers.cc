// SPDX-License-Identifier: GPL-2.0-or-later
// Where legacy commands may write, and how they ask for more room (AMD 55766; page states: AMD
// 56860).
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

psp_status check_legacy_outputs(const psp_call &c, std::initializer_list<spa_range> outputs)
{
    for (const spa_range &out : outputs) {
        const psp_status status = check_output(c, out.base, out.bytes, true);
        if (status != psp_status::success) {
            return status;
        }
        const spa_range command{c.buffer_spa, c.buffer.size()};
        if (out.overlaps(command) || std::ranges::any_of(outputs, [&out](const spa_range &other) {
                return &other != &out && other.overlaps(out);
            })) {
            return psp_status::invalid_address;
        }
    }
    return psp_status::success;
}

psp_status check_answer(const psp_call &c)
{
    return check_output(c, c.buffer_spa, c.buffer.size(), true);
}

psp_status answer_length(psp_call &c, std::size_t offset, std::uint32_t needed)
{
    c.put(offset, needed);
    c.write_back = true;
    return psp_status::invalid_length;
}

} // namespace rmpopt::hw
