// SPDX-License-Identifier: GPL-2.0-or-later
// Memory encryption of SNP guests, as far as software can tell (APM vol. 2, 15.34 and 15.36.5):
// what a guest has written into a private page looks like noise to everybody else, and what others
// have written there looks like noise to the guest.
//
// Hardware keeps the ciphertext in memory. Here the guest's CPU executes and accesses memory as it
// is, so a page is kept in the guest's view as long as the guest can use it: while it is validated.
// When that begins or ends, the page is recoded in place. The policy `ciphertext` decides whether
// anything is recoded. The cipher is none: it hides from no one who knows it.
//
// Thread-safety: functions without state; the caller owns the memory.
#pragma once

#include "hw-model/base/types.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace rmpopt::hw
{

/// From one view of `content`, which lies at `spa`, to the other: the same for both directions.
/// `key` is that of the guest. `spa` and the size are multiples of 8.
void recode(std::uint64_t key, spa_t spa, std::span<std::byte> content);

} // namespace rmpopt::hw
