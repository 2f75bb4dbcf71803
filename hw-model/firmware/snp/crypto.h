// SPDX-License-Identifier: GPL-2.0-or-later
// The algorithms of the SNP launch: SHA-384 and ECDSA on the curve P-384. A library does the work;
// nobody else includes its headers.
//
// Thread-safety: functions without state.
#pragma once

#include "hw-model/firmware/firmware.h"

#include <span>

namespace rmpopt::hw
{

sha384_digest sha384(std::span<const std::byte> data);

/// Length of a coordinate of the curve.
inline constexpr std::size_t p384_bytes = 48;
/// A number below 2^384, most significant byte first.
using p384_number = std::array<std::byte, p384_bytes>;

struct p384_point {
    p384_number x{}, y{};
};
struct p384_signature {
    p384_number r{}, s{};
};

/// False also for a key that is no point of the curve.
bool p384_verify(const p384_point &key, const p384_signature &signature,
                 const sha384_digest &digest);

} // namespace rmpopt::hw
