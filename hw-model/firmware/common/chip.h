// SPDX-License-Identifier: GPL-2.0-or-later
// What makes a chip this one: its id, and the keys that come from its secret. AMD's chips have the
// secret in fuses, and AMD certifies the keys. Here it is a constant that everybody can read, so a
// signature says only that this model made it.
//
// Thread-safety: functions without state.
#pragma once

#include "hw-model/firmware/common/crypto.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace rmpopt::hw
{

using chip_id = std::array<std::byte, 64>;

chip_id own_chip_id();
/// The VCEK, the private key that signs attestation reports: another one for each TCB version.
p384_number versioned_endorsement_key(std::uint64_t tcb);
/// What keys of a guest can be derived from that only guests of this chip derive.
sha384_digest chip_root_key();

} // namespace rmpopt::hw
