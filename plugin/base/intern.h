// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps what is known of an instruction for its callbacks, which outlive the translation that
// registered them. Bounded by the number of different encodings in the guest's code.
//
// Thread-safety: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace rmpopt
{

/// `value` for the instruction with these bytes, at one address for QEMU's life.
template <class T> T *intern(std::span<const std::uint8_t> code, bool code_64, const T &value)
{
    static std::mutex lock;
    static auto &seen = *new std::map<std::pair<bool, std::vector<std::uint8_t>>, T>;
    const std::scoped_lock guard(lock);
    return &seen.try_emplace({code_64, {code.begin(), code.end()}}, value).first->second;
}

} // namespace rmpopt
