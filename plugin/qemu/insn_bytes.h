// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "qemu/api.h"
#include "x86/decoder.h"

#include <array>
#include <span>

namespace rmpopt
{

/// A copy of an instruction's bytes, taken while QEMU translates it. Empty when there are more than
/// an instruction may have: it raises #GP.
class insn_bytes
{
  public:
    explicit insn_bytes(qemu_plugin_insn *insn)
    {
        const std::size_t size = qemu_plugin_insn_size(insn);
        if (size <= all_.size()) {
            size_ = qemu_plugin_insn_data(insn, all_.data(), size);
        }
    }
    std::span<const std::uint8_t> used() const { return std::span(all_).first(size_); }

  private:
    std::array<std::uint8_t, longest_instruction> all_{};
    std::size_t size_ = 0;
};

} // namespace rmpopt
