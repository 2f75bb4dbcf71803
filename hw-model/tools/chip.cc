// SPDX-License-Identifier: GPL-2.0-or-later
// Prints what a maker knows of the emulated chip, as JSON: its id, and the public key of its VCEK
// for a TCB version, which is a hexadecimal number or that of a CPU model's firmware. From these,
// scripts make certificates.
#include "hw-model/firmware/common/chip.h"
#include "hw-model/firmware/snp/snp.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace
{

using namespace rmpopt;

std::string hex(std::span<const std::byte> bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (const std::byte b : bytes) {
        out += digits[static_cast<unsigned>(b) >> 4];
        out += digits[static_cast<unsigned>(b) & 0xf];
    }
    return out;
}

/// What the version comes from is nullptr when it is given as a number.
struct tcb_version {
    std::uint64_t tcb = 0;
    const hw::cpu_model *of = nullptr;
};

std::optional<tcb_version> tcb_of(const char *text)
{
    if (const hw::cpu_model *model = hw::find_cpu_model(text)) {
        return tcb_version{.tcb = hw::firmware_tcb(*model), .of = model};
    }
    char *end = nullptr;
    const std::uint64_t tcb = std::strtoull(text, &end, 16);
    return end != text && *end == '\0' ? std::optional(tcb_version{.tcb = tcb}) : std::nullopt;
}

std::string describe(const tcb_version &version)
{
    const hw::p384_point key = hw::p384_public_key(hw::versioned_endorsement_key(version.tcb));
    nlohmann::ordered_json out{{"schema", 1},
                               {"chip_id", hex(hw::own_chip_id())},
                               {"tcb", version.tcb},
                               {"vcek", {{"x", hex(key.x)}, {"y", hex(key.y)}}}};
    if (version.of != nullptr) {
        out["family"] = version.of->family;
        out["model"] = version.of->model_first;
    }
    return out.dump(1) + '\n';
}

} // namespace

int main(int argc, char **argv)
{
    const auto version = argc == 2 ? tcb_of(argv[1]) : std::nullopt;
    if (!version) {
        std::fputs("usage: rmpopt-chip TCB|CPU-MODEL\n", stderr);
        return 2;
    }
    try {
        return std::fputs(describe(*version).c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0
                                                                                               : 1;
    } catch (const std::exception &e) {
        std::fputs(e.what(), stderr);
        return 1;
    }
}
