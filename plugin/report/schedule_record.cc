// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/schedule_record.h"

#include <cerrno>
#include <cstring>

namespace rmpopt
{

std::string schedule_record::open_file(const std::string &path)
{
    file_.reset(std::fopen(path.c_str(), "wbe"));
    return file_ != nullptr ? "" : "schedule=" + path + ": " + std::strerror(errno);
}

void schedule_record::add(const event &e)
{
    constexpr std::uint64_t prime = 0x100000001b3;
    std::uint64_t hash = hash_.load(std::memory_order_relaxed);
    const auto mix = [&](std::uint64_t word) {
        hash = (hash ^ word) * prime;
        hash ^=
            hash >> 32; // FNV goes by bytes; by words, the upper half would never reach the lower
    };
    mix(e.when);
    mix(static_cast<std::uint64_t>(e.what) << 32 | e.cpu);
    for (const std::uint64_t word : e.operands) {
        mix(word);
    }
    hash_.store(hash, std::memory_order_relaxed);
    events_.store(events_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (file_ != nullptr) {
        std::fwrite(&e, sizeof e, 1, file_.get()); // finish_file() tells of errors
    }
}

bool schedule_record::finish_file()
{
    return file_ == nullptr || (std::fflush(file_.get()) == 0 && std::ferror(file_.get()) == 0);
}

} // namespace rmpopt
