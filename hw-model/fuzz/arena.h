// SPDX-License-Identifier: GPL-2.0-or-later
// System memory with a copy beside it that only accepted changes reach: whatever else is written
// shows as a difference.
#pragma once

#include "hw-model/base/memory_view.h"
#include "sparse_memory.h"

#include <set>

namespace rmpopt::hw
{

class arena
{
  public:
    /// Runs of RAM; the bases are 4 KB aligned.
    arena(spa_range low, spa_range high)
        : low_(low), high_(high), ram_(low.bytes + high.bytes), copy_(low.bytes + high.bytes)
    {
    }
    memory_view view() const
    {
        return memory_view({{low_.base, low_.bytes, ram_.data()},
                            {high_.base, high_.bytes, ram_.data() + low_.bytes}});
    }

    /// Pages in which memory and copy differ.
    std::vector<spa_t> changed_pages() const
    {
        std::vector<spa_t> out;
        for (std::uint64_t o = 0; o < low_.bytes + high_.bytes; o += page_4k) {
            if (std::memcmp(ram_.data() + o, copy_.data() + o, page_4k) != 0) {
                out.push_back(o < low_.bytes ? low_.base + o : high_.base + (o - low_.bytes));
            }
        }
        return out;
    }
    /// Calls f(spa) for each byte of the page that differs.
    template <class F> void for_each_change(spa_t page, F f) const
    {
        const std::uint64_t o = offset(page);
        for (std::uint64_t i = o; i < o + page_4k; ++i) {
            if (ram_.data()[i] != copy_.data()[i]) {
                f(page + (i - o));
            }
        }
    }
    /// Accepts the present content of memory.
    void accept()
    {
        for (const spa_t page : changed_pages()) {
            std::memcpy(copy_.data() + offset(page), ram_.data() + offset(page), page_4k);
            used_.insert(page);
        }
    }
    /// All memory zero again. Precondition: no difference.
    void clear()
    {
        for (const spa_t page : used_) {
            std::memset(ram_.data() + offset(page), 0, page_4k);
            std::memset(copy_.data() + offset(page), 0, page_4k);
        }
        used_.clear();
    }

  private:
    std::uint64_t offset(spa_t page) const
    {
        return page >= high_.base ? low_.bytes + (page - high_.base) : page - low_.base;
    }

    spa_range low_, high_;
    sparse_memory ram_, copy_;
    std::set<spa_t> used_;
};

} // namespace rmpopt::hw
