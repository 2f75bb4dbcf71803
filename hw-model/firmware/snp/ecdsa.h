// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers and signatures of ECDSA as the ABI lays them out (AMD 56860, digital signatures).
#pragma once

#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/crypto.h"

#include <algorithm>

namespace rmpopt::hw
{

#pragma pack(push, 1)

/// A number of the curve, least significant byte first, in a field for longer ones.
struct ecdsa_number {
    std::array<std::byte, p384_bytes> digits;
    reserved_bytes<24> beyond;
};
static_assert(sizeof(ecdsa_number) == 72);

struct ecdsa_signature {
    ecdsa_number r, s;
    std::array<std::byte, 368> unused;
};
static_assert(sizeof(ecdsa_signature) == 512);

#pragma pack(pop)

/// False if the number does not fit.
inline bool read_number(const ecdsa_number &from, p384_number &out)
{
    std::ranges::reverse_copy(from.digits, out.begin());
    return reserved_zero(from.beyond);
}

inline ecdsa_number to_abi(const p384_number &number)
{
    ecdsa_number out{};
    std::ranges::reverse_copy(number, out.digits.begin());
    return out;
}

inline ecdsa_signature to_abi(const p384_signature &signature)
{
    return {.r = to_abi(signature.r), .s = to_abi(signature.s), .unused = {}};
}

} // namespace rmpopt::hw
