// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers as Linux lists CPUs: "0-3,6".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace rmpopt
{

/// Ascending numbers, neighbours joined; empty for none.
std::string number_list(std::span<const std::size_t> numbers);

/// The logical CPUs for whose core `is_so(core number)` holds. `cpus` is an hw::topology, of which
/// this folder knows nothing.
template <class Topology, class F> std::string cpus_of(const Topology &cpus, F is_so)
{
    std::vector<std::size_t> threads;
    for (unsigned t = 0; t < cpus.threads(); ++t) {
        if (is_so(cpus.core_of_thread[t])) {
            threads.push_back(t);
        }
    }
    return number_list(threads);
}

} // namespace rmpopt
