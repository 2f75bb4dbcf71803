// SPDX-License-Identifier: GPL-2.0-or-later
// Prints what a maker knows of the emulated chip, as JSON: its id, and the public key of its VCEK
// for a TCB version, a hexadecimal number. From these, scripts make certificates.
#include "hw-model/firmware/common/chip.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
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

std::string describe(std::uint64_t tcb)
{
    const hw::p384_point key = hw::p384_public_key(hw::versioned_endorsement_key(tcb));
    return nlohmann::ordered_json{{"schema", 1},
                                  {"chip_id", hex(hw::own_chip_id())},
                                  {"tcb", tcb},
                                  {"vcek", {{"x", hex(key.x)}, {"y", hex(key.y)}}}}
               .dump(1) +
           '\n';
}

} // namespace

int main(int argc, char **argv)
{
    char *end = nullptr;
    const std::uint64_t tcb = argc == 2 ? std::strtoull(argv[1], &end, 16) : 0;
    if (end == nullptr || end == argv[1] || *end != '\0') {
        std::fputs("usage: rmpopt-chip TCB\n", stderr);
        return 2;
    }
    try {
        return std::fputs(describe(tcb).c_str(), stdout) >= 0 && std::fflush(stdout) == 0 ? 0 : 1;
    } catch (const std::exception &e) {
        std::fputs(e.what(), stderr);
        return 1;
    }
}
