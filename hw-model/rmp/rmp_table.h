// SPDX-License-Identifier: GPL-2.0-or-later
// Where RMP entries are located: contiguous (RMP_BASE, RMP_END) and segmented (RMP_CFG, RST) tables
// in system memory. The entries are guest RAM, as on hardware; nothing is shadowed.
//
// Sources: APM vol. 2, 15.36.4 (contiguous), 15.36.22 (segmented).
//
// Thread-safety: all const members may be called from any thread at any time, also while
// configure() runs; they take no lock and write nothing that is shared. load() may race store():
// each 8-byte half is atomic, and the half with the assigned bit is written last. configure() and
// read-modify-write sequences need the machine's RMP lock.
#pragma once

#include "hw-model/base/memory_view.h"
#include "hw-model/rmp/rmp_entry.h"

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

namespace rmpopt::hw
{

enum class rmp_layout : std::uint8_t { none, contiguous, segmented };

inline constexpr std::uint64_t rmp_bookkeeping_bytes = 16ull * 1024;
inline constexpr std::uint64_t rst_bytes = 4096;
inline constexpr unsigned rst_entries = 512;
inline constexpr std::uint64_t rmp_entry_bytes = 16;
/// Alignment that firmware asks of RMP_BASE, RMP_END + 1 and of each segment.
inline constexpr std::uint64_t rmp_alignment = 1ull << 20;

/// The registers that define the table, as the MSRs hold them.
struct rmp_config {
    rmp_layout layout = rmp_layout::none;
    spa_t base = 0;             ///< RMP_BASE
    spa_t end = 0;              ///< RMP_END, inclusive; contiguous only
    unsigned segment_shift = 0; ///< RMP_CFG[13:8]; segmented only

    bool operator==(const rmp_config &) const = default;
};

/// What the CPU makes of the segment table (CPUID 8000_0025 EBX).
struct rst_rules {
    unsigned entries = rst_entries; ///< those that it looks at: all, or as many as it can cache
    unsigned phys_bits = 52;        ///< physical address width; bits of an entry above are reserved

    bool operator==(const rst_rules &) const = default;
};

/// A run of system memory whose entries are one run of table memory.
struct rmp_extent {
    spa_t covered = 0; ///< first covered address
    std::uint64_t covered_bytes = 0;
    spa_t table = 0;               ///< address of the first entry
    std::uint64_t *host = nullptr; ///< the same as host memory

    bool operator==(const rmp_extent &) const = default;
};

class rmp_table
{
  public:
    /// No RMP until configure(). `memory` must outlive the table.
    explicit rmp_table(const memory_view &memory);

    /// Makes the table that `config` describes the one in use; reads the segment table when it is
    /// segmented. Covered memory is cut where the table itself leaves RAM. Returns false when not a
    /// single entry is in RAM. Threads that are reading go on with the former table, whose entries
    /// are still RAM.
    bool configure(const rmp_config &config, const rst_rules &rules = {});

    /// Every segment that the table defines lies inside the physical address space.
    static bool segments_fit(const memory_view &memory, const rmp_config &config,
                             const rst_rules &rules);

    const rmp_config &config() const { return now().config; }
    std::span<const rmp_extent> extents() const { return now().extents; }
    std::uint64_t covered_bytes() const;

    /// Address of the entry of the page that holds `spa`, or nothing when the page is not covered
    /// (then it counts as hypervisor-owned: APM vol. 2, 15.36.4).
    std::optional<spa_t> entry_address(spa_t spa) const;
    bool covers(spa_t spa) const { return slot(spa) != nullptr; }
    /// The segment table's entry for `spa` has reserved bits set, so nothing is covered by it and
    /// using it faults.
    bool has_reserved_bits(spa_t spa) const noexcept;

    /// The entry of the page that holds `spa`; a hypervisor-owned one when not covered.
    rmp_entry load(spa_t spa) const;
    /// The entry that governs the page: its own, or the 2 MB entry that it is part of.
    rmp_entry governing(spa_t spa) const;
    /// Precondition: covers(spa).
    void store(spa_t spa, const rmp_entry &entry) const;

    /// Calls `f(spa)` for each assigned page, in the order of the extents. Looks at nothing but the
    /// assigned bits.
    template <class F> void for_each_assigned(F f) const
    {
        for (const rmp_extent &e : extents()) {
            for (std::uint64_t page = 0; page < e.covered_bytes / page_4k; ++page) {
                const std::atomic_ref lo(e.host[page * (rmp_entry_bytes / sizeof *e.host)]);
                if ((lo.load(std::memory_order_relaxed) & rmp_assigned_bit) != 0) {
                    f(e.covered + page * page_4k);
                }
            }
        }
    }

    /// All memory that the table occupies: bookkeeping, RST, entries. 4 KB aligned.
    std::vector<spa_range> table_memory() const;
    /// True for a page that is part of it.
    bool is_table_memory(spa_t page) const;

  private:
    /// What one configuration comes to. Never changes once it is published.
    struct placement {
        rmp_config config{};
        std::vector<rmp_extent> extents{};
        std::vector<spa_range> reserved{}; ///< segments whose RST entry has reserved bits set

        bool operator==(const placement &) const = default;
    };

    const placement &now() const { return *current_.load(std::memory_order_acquire); }
    std::uint64_t *slot(spa_t spa) const;
    void place_contiguous(placement &p) const;
    void place_segmented(placement &p, const rst_rules &rules) const;
    void add_extent(placement &p, rmp_extent extent) const;
    void publish(placement p);

    const memory_view *memory_;
    /// All placements that were ever current, each once: a reader may still use any of them, and to
    /// count readers would put shared memory traffic on every store. A guest adds one (at most 512
    /// extents, 16 KB) only by describing yet another RMP, for which it has to reset the machine or
    /// to shut SNP down.
    std::vector<std::unique_ptr<const placement>> placements_;
    std::atomic<const placement *> current_;
};

} // namespace rmpopt::hw
