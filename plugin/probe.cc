// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe.h"

#include "base/log.h"
#include "qemu/layout.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace rmpopt
{

namespace
{

const char *state_of(const layout::result &r)
{
    return !r.tried ? "not tried" : r.problem.empty() ? "ok" : "not ok";
}

} // namespace

void end_probe(const std::string &path, const std::string &problem)
{
    nlohmann::ordered_json facts = nlohmann::ordered_json::array();
    for (const layout::result &r : layout::results()) {
        facts.push_back({{"name", r.what->name},
                         {"why", r.what->why},
                         {"needed", r.what->needed},
                         {"state", state_of(r)},
                         {"problem", r.problem}});
    }
    std::ofstream file(path);
    file << nlohmann::ordered_json{{"schema", 1}, {"problem", problem}, {"facts", facts}}.dump(1)
         << std::endl;
    if (!file) {
        refuse("option probe: cannot write " + path);
    }
    if (!problem.empty()) {
        refuse(problem);
    }
    _exit(EXIT_SUCCESS);
}

} // namespace rmpopt
