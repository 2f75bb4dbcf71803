// SPDX-License-Identifier: GPL-2.0-or-later
// A model of one thread's data TLB: at which accesses a translation has to be made, which is when
// hardware looks at the RMP. Two levels. Translations belong to an address space, an ASID with a
// PCID, or if global to the ASID (APM vol. 2, 5.5 and 15.16). Plain C++.
//
// Simplified, as no document tells: the first level replaces by a clock, the second the least
// recently used; each level takes what a walk finds; the second has 1 GB pages in pieces of 2 MB;
// a core's threads share its entries evenly; translations of devices and of code are left out.
//
// Thread-safety: all belongs to the vCPU's thread, but rmp_changed() and the counters.
#pragma once

#include "hw-model/base/types.h"
#include "measure/cells.h"
#include "measure/tlb_geometry.h"

#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rmpopt
{

/// What takes translations out of a TLB.
enum class tlb_flush : std::uint8_t { cr0, cr3, cr4, invlpg, invpcid, invlpga, vmrun, rmp, reset };
inline constexpr unsigned tlb_flushes = 9;
std::string_view flush_name(tlb_flush f);

/// What a walk of the page tables finds.
struct tlb_translation {
    hw::spa_t spa = 0;            ///< of the byte asked for
    std::uint64_t page_bytes = 0; ///< 4 KB, 2 MB, 1 GB; what both walks of a guest allow
    bool global = false;
};

struct tlb_entry {
    std::uint64_t page = 0; ///< linear address
    std::uint64_t mask = 0; ///< of the bits that make `page`
    hw::spa_t spa = 0;      ///< of the page
    std::uint32_t space = 0, space_life = 0;
    std::uint32_t generation = 0; ///< goes up whenever the entry becomes another, or none
    bool write_checked = false;   ///< a store has used it: the RMP was looked at for a write
    bool of_1g = false;           ///< the page tables have a 1 GB page there
    bool referenced = false;      ///< since the clock's hand passed
    std::uint64_t used = 0;       ///< second level: time of the last use

    hw::spa_t spa_of(std::uint64_t va) const { return spa + (va & ~mask); }
};

struct tlb_counters {
    cell_counter walks{0};   ///< translations that neither level had
    cell_counter l2_hits{0}; ///< that the second had
    cell_counter stale{0};   ///< entries that page tables contradicted: 0 unless a flush is missing
    std::array<cell_counter, tlb_flushes> flushes{};
};

class tlb_model
{
  public:
    explicit tlb_model(const tlb_geometry &share);
    tlb_model(const tlb_model &) = delete;
    tlb_model &operator=(const tlb_model &) = delete;

    /// The address space of the accesses that follow. ASID 0 is the host's.
    void select(std::uint16_t asid, std::uint16_t pcid);

    /// The first level's entry for `va`, after a look into the second; nullptr when there is none,
    /// or none for `spa`. Valid as long as its generation does not change.
    tlb_entry *find(std::uint64_t va, hw::spa_t spa);
    /// Puts what a walk found into both levels.
    tlb_entry &fill(std::uint64_t va, const tlb_translation &t);
    /// A store uses the entry. True when the RMP has to be looked at for that.
    bool check_write(tlb_entry &e, std::uint64_t va);

    // Ends of translations. Those without an address keep what is global, unless said otherwise.
    void flush_all(tlb_flush why); ///< of all address spaces, global ones too
    void flush_asid(tlb_flush why, std::uint16_t asid, bool global_too);
    void flush_pcid(tlb_flush why, std::uint16_t asid, std::uint16_t pcid);
    /// One page, whatever its size; of a global one too if `global_too`.
    void flush_page(tlb_flush why, std::uint16_t asid, std::uint16_t pcid, std::uint64_t va,
                    bool global_too);

    /// One page of an ASID, in all its address spaces.
    void flush_asid_page(tlb_flush why, std::uint16_t asid, std::uint64_t va);

    /// RMP entries of pages in `r` have changed. Any thread; the caller sees to it that
    /// apply_changes() comes before the next access.
    void rmp_changed(hw::spa_range r);
    void apply_changes();

    tlb_counters counters;

    std::size_t bytes() const;

  private:
    struct space {
        std::uint16_t asid;
        std::uint16_t pcid;
        bool global;
        std::uint32_t life; ///< entries with another one are gone
    };
    static constexpr std::size_t most_spaces = 8192, most_changes = 64;

    static constexpr std::uint32_t no_space = ~0u;

    static std::uint64_t space_key(std::uint16_t asid, std::uint16_t pcid, bool global);
    std::uint32_t space_of(std::uint16_t asid, std::uint16_t pcid, bool global);
    std::uint32_t known_space(std::uint16_t asid, std::uint16_t pcid, bool global) const;
    bool is_live(const tlb_entry &e) const { return spaces_[e.space].life == e.space_life; }
    bool is_ours(const tlb_entry &e) const
    {
        return (e.space == own_ || e.space == global_) && is_live(e);
    }
    static bool holds(const tlb_entry &e, std::uint64_t va) { return (va & e.mask) == e.page; }
    tlb_entry *find_l1(std::uint64_t va);
    tlb_entry *find_l2(std::uint64_t va);
    std::span<tlb_entry> set_of(std::uint64_t va, std::uint64_t page_bytes);
    tlb_entry &take_l1();
    void put_l2(const tlb_entry &e, std::uint64_t va);
    void drop(tlb_entry &e);
    template <class F> void drop_if(F f);
    template <class F> void drop_around(std::uint64_t va, F is_meant);
    void count(tlb_flush why);

    std::vector<tlb_entry> l1_, l2_;
    unsigned ways_;
    std::size_t hand_ = 0;
    std::uint64_t now_ = 0;
    std::vector<space> spaces_;
    std::unordered_map<std::uint64_t, std::uint32_t> space_numbers_;
    std::uint16_t asid_ = 0, pcid_ = 0;
    std::uint32_t own_ = 0, global_ = 0; ///< spaces of the current accesses

    std::mutex lock_; ///< guards changes_
    std::vector<hw::spa_range> changes_;
};

} // namespace rmpopt
