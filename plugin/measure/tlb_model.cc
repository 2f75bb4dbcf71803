// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/tlb_model.h"

#include <algorithm>
#include <utility>

namespace rmpopt
{

namespace
{

constexpr std::uint64_t no_page = 1; ///< no page's address, whatever the mask

constexpr std::uint64_t mask_of(std::uint64_t page_bytes)
{
    return ~(page_bytes - 1);
}

bool overlaps(const tlb_entry &e, const hw::spa_range &r)
{
    return e.spa < r.base + r.bytes && r.base < e.spa + (~e.mask + 1);
}

} // namespace

std::string_view flush_name(tlb_flush f)
{
    constexpr std::array<std::string_view, tlb_flushes> names{
        "cr0", "cr3", "cr4", "invlpg", "invpcid", "invlpga", "vmrun", "rmp", "reset"};
    return names[static_cast<unsigned>(f)];
}

tlb_model::tlb_model(const tlb_geometry &share)
    : l1_(share.l1_entries, tlb_entry{.page = no_page, .mask = mask_of(hw::page_4k)}),
      l2_(share.l2_entries, tlb_entry{.page = no_page, .mask = mask_of(hw::page_4k)}),
      ways_(share.l2_ways)
{
    own_ = space_of(0, 0, false);
    global_ = space_of(0, 0, true);
}

std::uint64_t tlb_model::space_key(std::uint16_t asid, std::uint16_t pcid, bool global)
{
    return std::uint64_t{asid} << 32 | (global ? 0x10000u : std::uint64_t{pcid});
}

std::uint32_t tlb_model::known_space(std::uint16_t asid, std::uint16_t pcid, bool global) const
{
    const auto at = space_numbers_.find(space_key(asid, pcid, global));
    return at == space_numbers_.end() ? no_space : at->second;
}

std::uint32_t tlb_model::space_of(std::uint16_t asid, std::uint16_t pcid, bool global)
{
    const auto [at, is_new] = space_numbers_.try_emplace(
        space_key(asid, pcid, global), static_cast<std::uint32_t>(spaces_.size()));
    if (is_new) {
        spaces_.push_back({asid, pcid, global, 0});
    }
    return at->second;
}

void tlb_model::select(std::uint16_t asid, std::uint16_t pcid)
{
    if (asid == asid_ && pcid == pcid_) [[likely]] {
        return;
    }
    if (spaces_.size() >= most_spaces) { // a guest may use them all: no machine remembers so many
        drop_if([](const tlb_entry &) { return true; });
        spaces_.clear();
        space_numbers_.clear();
    }
    asid_ = asid;
    pcid_ = pcid;
    own_ = space_of(asid, pcid, false);
    global_ = space_of(asid, pcid, true);
}

tlb_entry *tlb_model::find_l1(std::uint64_t va)
{
    for (tlb_entry &e : l1_) {
        if (holds(e, va) && is_ours(e)) {
            return &e;
        }
    }
    return nullptr;
}

std::span<tlb_entry> tlb_model::set_of(std::uint64_t va, std::uint64_t page_bytes)
{
    const std::size_t sets = l2_.size() / ways_;
    const std::size_t set = va / page_bytes % sets;
    return std::span(l2_).subspan(set * ways_, ways_);
}

tlb_entry *tlb_model::find_l2(std::uint64_t va)
{
    if (l2_.empty()) {
        return nullptr;
    }
    for (const std::uint64_t bytes : {hw::page_4k, hw::page_2m}) {
        for (tlb_entry &e : set_of(va, bytes)) {
            if (e.mask == mask_of(bytes) && holds(e, va) && is_ours(e)) {
                e.used = ++now_;
                return &e;
            }
        }
    }
    return nullptr;
}

void tlb_model::drop(tlb_entry &e)
{
    e.page = no_page;
    e.mask = mask_of(hw::page_4k);
    ++e.generation;
}

template <class F> void tlb_model::drop_if(F f)
{
    for (std::vector<tlb_entry> *level : {&l1_, &l2_}) {
        for (tlb_entry &e : *level) {
            if (e.page != no_page && f(e)) {
                drop(e);
            }
        }
    }
}

/// What maps `va`. Of a 1 GB page all pieces go.
template <class F> void tlb_model::drop_around(std::uint64_t va, F is_meant)
{
    bool of_1g = false;
    const auto drop_meant = [&](tlb_entry &e) {
        if (holds(e, va) && is_meant(e)) {
            of_1g = of_1g || e.of_1g;
            drop(e);
        }
    };
    std::ranges::for_each(l1_, drop_meant);
    if (!l2_.empty()) {
        std::ranges::for_each(set_of(va, hw::page_4k), drop_meant);
        std::ranges::for_each(set_of(va, hw::page_2m), drop_meant);
    }
    if (of_1g) {
        drop_if([&](const tlb_entry &e) {
            return e.of_1g && ((e.page ^ va) & mask_of(hw::region_1g)) == 0 && is_meant(e);
        });
    }
}

tlb_entry *tlb_model::find(std::uint64_t va, hw::spa_t spa)
{
    tlb_entry *found = find_l1(va);
    if (found == nullptr) {
        if (const tlb_entry *second = find_l2(va)) {
            bump(counters.l2_hits);
            found = &take_l1();
            const std::uint32_t generation = found->generation;
            *found = *second;
            found->generation = generation;
        }
    }
    if (found != nullptr && found->spa_of(va) != spa) {
        bump(counters.stale);
        drop_around(va,
                    [this](const tlb_entry &e) { return e.space == own_ || e.space == global_; });
        return nullptr;
    }
    if (found != nullptr) {
        found->referenced = true;
    }
    return found;
}

/// An entry that is free, or the first that was not used since the hand came by.
tlb_entry &tlb_model::take_l1()
{
    for (;;) {
        tlb_entry &e = l1_[hand_];
        hand_ = (hand_ + 1) % l1_.size();
        if (e.page == no_page || !is_live(e) || !std::exchange(e.referenced, false)) {
            drop(e);
            return e;
        }
    }
}

void tlb_model::put_l2(const tlb_entry &e, std::uint64_t va)
{
    if (l2_.empty()) {
        return;
    }
    tlb_entry piece = e;
    piece.mask = std::max(e.mask, mask_of(hw::page_2m));
    piece.page = va & piece.mask;
    piece.spa = e.spa_of(piece.page);
    piece.used = ++now_;
    const auto age = [this](const tlb_entry &old) {
        return old.page == no_page || !is_live(old) ? 0 : old.used;
    };
    *std::ranges::min_element(set_of(va, ~piece.mask + 1), {}, age) = piece;
}

tlb_entry &tlb_model::fill(std::uint64_t va, const tlb_translation &t)
{
    bump(counters.walks);
    tlb_entry &e = take_l1();
    e.mask = mask_of(t.page_bytes);
    e.page = va & e.mask;
    e.spa = t.spa - (va & ~e.mask);
    e.space = t.global ? global_ : own_;
    e.space_life = spaces_[e.space].life;
    e.write_checked = false;
    e.of_1g = t.page_bytes > hw::page_2m;
    e.referenced = true;
    put_l2(e, va);
    return e;
}

bool tlb_model::check_write(tlb_entry &e, std::uint64_t va)
{
    if (e.write_checked) {
        return false;
    }
    e.write_checked = true;
    if (tlb_entry *second = find_l2(va)) {
        second->write_checked = true;
    }
    return true;
}

void tlb_model::count(tlb_flush why)
{
    bump(counters.flushes[static_cast<unsigned>(why)]);
}

void tlb_model::flush_all(tlb_flush why)
{
    count(why);
    for (space &s : spaces_) {
        ++s.life;
    }
}

void tlb_model::flush_asid(tlb_flush why, std::uint16_t asid, bool global_too)
{
    count(why);
    for (space &s : spaces_) {
        s.life += s.asid == asid && (global_too || !s.global) ? 1 : 0;
    }
}

void tlb_model::flush_pcid(tlb_flush why, std::uint16_t asid, std::uint16_t pcid)
{
    count(why);
    const std::uint32_t s = known_space(asid, pcid, false);
    if (s != no_space) {
        ++spaces_[s].life;
    }
}

void tlb_model::flush_page(tlb_flush why, std::uint16_t asid, std::uint16_t pcid, std::uint64_t va,
                           bool global_too)
{
    count(why);
    const std::uint32_t own = known_space(asid, pcid, false);
    const std::uint32_t global = global_too ? known_space(asid, pcid, true) : no_space;
    drop_around(va, [=](const tlb_entry &e) { return e.space == own || e.space == global; });
}

void tlb_model::flush_asid_page(tlb_flush why, std::uint16_t asid, std::uint64_t va)
{
    count(why);
    drop_around(va, [&](const tlb_entry &e) { return spaces_[e.space].asid == asid; });
}

void tlb_model::rmp_changed(hw::spa_range r)
{
    const std::scoped_lock guard(lock_);
    if (changes_.size() < most_changes) {
        changes_.push_back(r);
    } else {
        changes_.back() = {0, ~0ull >> 1}; // more than is worth a look for each
    }
}

void tlb_model::apply_changes()
{
    std::vector<hw::spa_range> changes;
    {
        const std::scoped_lock guard(lock_);
        changes.swap(changes_);
    }
    for ([[maybe_unused]] const hw::spa_range &r : changes) {
        count(tlb_flush::rmp);
    }
    if (!changes.empty()) {
        drop_if([&](const tlb_entry &e) {
            return std::ranges::any_of(changes,
                                       [&](const hw::spa_range &r) { return overlaps(e, r); });
        });
    }
}

std::size_t tlb_model::bytes() const
{
    return sizeof *this + (l1_.size() + l2_.size()) * sizeof(tlb_entry) +
           spaces_.size() * (sizeof(space) + 4 * sizeof(std::uint64_t));
}

} // namespace rmpopt
