// SPDX-License-Identifier: GPL-2.0-or-later
// What one vCPU has found out about the pages that it accesses, such as which counter a store to
// them belongs to. A direct-mapped cache by virtual page; a store that hits costs one addition.
//
// It is exact because a slot lives no longer than what it was made from: QEMU asks for a
// translation whenever it does not hold one, and then forget() drops the slot; a change of what the
// core may skip drops all of them with invalidate().
//
// Thread-safety: all members belong to the vCPU's thread, but invalidate() may be called by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace rmpopt
{

template <class Finding> class page_filter
{
  public:
    static constexpr unsigned slots = 1024;
    static constexpr std::uint64_t page_mask = 0xfff;

    page_filter() : current_(nothing().data()) {}
    page_filter(const page_filter &) = delete;
    page_filter &operator=(const page_filter &) = delete;

    /// Of the page of `vaddr`; nullptr when it has to be looked up.
    const Finding *find(std::uint64_t vaddr) const
    {
        const slot &s = current_.load(std::memory_order_relaxed)[index(vaddr)];
        return s.tag == tag(vaddr) ? &s.finding : nullptr;
    }

    /// To be called before the machine is asked about the page: only so does a change that comes
    /// meanwhile, with its invalidate(), win over the remember() that follows.
    void begin_lookup()
    {
        if (current_.load(std::memory_order_relaxed) != own_.data()) {
            current_.store(own_.data(), std::memory_order_seq_cst);
            forget_all();
        }
    }
    void remember(std::uint64_t vaddr, Finding f) { own_[index(vaddr)] = {tag(vaddr), f}; }

    void forget(std::uint64_t vaddr) { own_[index(vaddr)] = {}; }
    /// Costs nothing: slots of another epoch are as good as empty.
    void forget_all()
    {
        if (++epoch_ == no_epoch) {
            own_.fill({});
            epoch_ = 0;
        }
    }

    void invalidate() { current_.store(nothing().data(), std::memory_order_seq_cst); }

  private:
    static constexpr std::uint64_t no_epoch = page_mask;

    struct slot {
        std::uint64_t tag = no_epoch; ///< page and, in its low bits, epoch
        Finding finding{};
    };
    using table = std::array<slot, slots>;

    std::uint64_t tag(std::uint64_t vaddr) const { return (vaddr & ~page_mask) | epoch_; }
    static std::size_t index(std::uint64_t vaddr) { return (vaddr >> 12) % slots; }
    static const table &nothing()
    {
        static constexpr table empty{};
        return empty;
    }

    /// own_, or a table without entries that says: look again.
    std::atomic<const slot *> current_;
    std::uint64_t epoch_ = 0;
    table own_{};
};

} // namespace rmpopt
