// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cpu_list.h"

#include "base/format.h"

namespace rmpopt
{

std::string number_list(std::span<const std::size_t> numbers)
{
    std::string list;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const std::size_t first = numbers[i];
        while (i + 1 < numbers.size() && numbers[i + 1] == numbers[i] + 1) {
            ++i;
        }
        list += formatted("{}{}", list.empty() ? "" : ",", first);
        if (numbers[i] != first) {
            list += formatted("-{}", numbers[i]);
        }
    }
    return list;
}

} // namespace rmpopt
