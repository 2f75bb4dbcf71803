// SPDX-License-Identifier: GPL-2.0-or-later
// What a CPU tells in the VMCB of the instruction that caused a #VMEXIT (APM vol. 2, 15.7.1 for the
// next RIP, 15.10 for decode assists). Knows nothing of QEMU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace rmpopt
{

struct decode_assist {
    std::size_t length = 0;               ///< of the instruction; 0: the exit has none
    std::optional<std::uint64_t> info1{}; ///< EXITINFO1, where it tells of the operands
};

/// `code`: the guest's bytes from RIP on. Any thread.
decode_assist assist_of(std::uint64_t exit_code, std::span<const std::uint8_t> code, bool code_64);

} // namespace rmpopt
