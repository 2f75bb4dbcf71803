// SPDX-License-Identifier: GPL-2.0-or-later
// Prints the policies that the model knows, as JSON.
#include "hw-model/base/policy.h"

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

namespace
{

using nlohmann::ordered_json;
using namespace rmpopt;

ordered_json describe(const hw::policy_knob &k)
{
    ordered_json values = ordered_json::array();
    for (const hw::policy_value &v : k.values) {
        values.push_back({{"value", v.word}, {"meaning", v.meaning}});
    }
    return {{"name", k.name},
            {"default", k.value_in({}).word},
            {"values", values},
            {"meaning", k.meaning},
            {"source", k.source}};
}

std::string describe_all()
{
    ordered_json policies = ordered_json::array();
    for (const hw::policy_knob &k : hw::policy_knobs()) {
        policies.push_back(describe(k));
    }
    return ordered_json{{"schema", 1}, {"policies", policies}}.dump(1) + '\n';
}

} // namespace

int main()
{
    try {
        return std::fputs(describe_all().c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0 : 1;
    } catch (const std::exception &e) {
        std::fputs(e.what(), stderr);
        return 1;
    }
}
