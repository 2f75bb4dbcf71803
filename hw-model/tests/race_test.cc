// SPDX-License-Identifier: GPL-2.0-or-later
// Threads against each other. Each test has its own assertions; ThreadSanitizer adds its own.
#include "hw-model/access/rmp_check.h"
#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/nested_walk.h"
#include "machine_fixture.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

namespace rmpopt::hw
{

namespace
{

class race_test : public machine_fixture
{
  protected:
    void SetUp() override { start(); }

    /// Runs `mine` and `other` on two threads until each has done its rounds.
    static void race(auto mine, auto other, unsigned rounds = 3000)
    {
        std::atomic<unsigned> theirs{0};
        std::atomic<bool> stop{false};
        std::thread t([&] {
            while (!stop.load(std::memory_order_relaxed)) {
                other();
                theirs.fetch_add(1, std::memory_order_relaxed);
            }
        });
        for (unsigned i = 0; i < rounds || theirs.load(std::memory_order_relaxed) < rounds; ++i) {
            mine(i);
        }
        stop = true;
        t.join();
    }
};

TEST_F(race_test, no_bit_is_set_once_rmpupdate_has_assigned_a_page)
{
    unsigned stale = 0;
    race(
        [&](unsigned) {
            rmp_changes mine;
            ASSERT_EQ(rmpupdate(*m, high_2m, guest_page(), mine), rmp_status::success);
            for (unsigned c = 0; c < 2; ++c) {
                stale += m->core(c).rmpopt.test(high.base) ? 1 : 0;
            }
            ASSERT_EQ(rmpupdate(*m, high_2m, {}, mine), rmp_status::success);
        },
        [&] {
            optimise(0, high.base);
            optimise(2, high.base);
        });
    EXPECT_EQ(stale, 0u);
}

TEST_F(race_test, bit_seen_set_means_that_no_page_was_assigned_meanwhile)
{
    // The reader is a store on a core with the bit set: between two looks at the bit the page
    // cannot have been assigned.
    std::atomic<unsigned> assigned{0};
    unsigned wrong = 0;
    race(
        [&](unsigned) {
            rmp_changes mine;
            rmpupdate(*m, high_2m, guest_page(), mine);
            assigned.fetch_add(1);
            assigned.fetch_add(1);
            rmpupdate(*m, high_2m, {}, mine);
            rmpopt(*m, {.thread = 2}, high.base, 0);
        },
        [&] {
            const unsigned before = assigned.load();
            const bool set = m->core(1).rmpopt.test(high.base);
            const unsigned after = assigned.load();
            wrong += set && before == after && before % 2 == 1 ? 1 : 0;
        });
    EXPECT_EQ(wrong, 0u);
}

TEST_F(race_test, reader_sees_whole_entries)
{
    std::atomic<unsigned> torn{0};
    race(
        [&](unsigned i) {
            rmp_changes mine;
            const std::uint32_t asid = i % 2 + 1;
            rmpupdate(*m, high_2m, guest_page(asid, asid << 20), mine);
            rmpupdate(*m, high_2m, {}, mine);
        },
        [&] {
            const rmp_entry e = m->rmp().load(high_2m);
            const bool whole = e.assigned ? e.asid != 0 && e.gpa == std::uint64_t{e.asid} << 20
                                          : e.asid == 0 && e.gpa == 0;
            torn += whole ? 0 : 1;
        });
    EXPECT_EQ(torn, 0u);
}

TEST_F(race_test, psmash_and_rmpread_are_atomic)
{
    std::atomic<unsigned> wrong{0};
    race(
        [&](unsigned) {
            rmp_changes mine;
            rmpupdate(*m, high_2m, of_2m(guest_page()), mine);
            psmash(*m, high_2m);
            for (unsigned i = 0; i < pages_per_2m; i += 511) {
                rmpupdate(*m, high_2m + i * page_4k, {}, mine);
                rmpupdate(*m, high_2m + i * page_4k, guest_page(7, 0x1234000 + i * page_4k), mine);
            }
            rmpupdate(*m, high_2m, of_2m({}), mine); // refused: 4 KB pages
        },
        [&] {
            rmp_record r;
            ASSERT_EQ(rmpread(*m, high_2m, r), rmp_status::success);
            wrong += r.size_2m && r.hpage_region_status ? 1 : 0;
        });
    EXPECT_EQ(wrong, 0u);
}

TEST_F(race_test, base_may_move_while_siblings_use_the_table)
{
    start({.rmpopt_locked = choice::rmpopt_locked::allow});
    constexpr spa_t bases[] = {0, 2 * region_1g, 4096 * region_1g, 200000 * region_1g};
    race(
        [&](unsigned i) {
            rmp_changes mine;
            ASSERT_EQ(wrmsr(*m, 0, msr::rmpopt_base, bases[i % 4] | rmpopt_enable, mine),
                      msr_result::done);
        },
        [&] {
            for (const spa_t base : bases) {
                rmpopt(*m, {.thread = 1}, base + region_1g, 0);
                m->core(0).rmpopt.test(base + region_1g);
                m->core(0).rmpopt.clear(base + region_1g);
            }
        });
}

TEST_F(race_test, two_cores_update_pages_of_one_2m_region)
{
    race(
        [&](unsigned i) {
            rmp_changes mine;
            rmpupdate(*m, high_2m + page_4k, i % 2 == 0 ? guest_page() : rmp_record{}, mine);
        },
        [&] {
            rmp_changes mine;
            rmpupdate(*m, high_2m + 2 * page_4k, guest_page(8), mine);
            rmpupdate(*m, high_2m + 2 * page_4k, {}, mine);
        });
    EXPECT_EQ(entry(high_2m).subpage_count, entry(high_2m + page_4k).assigned ? 1 : 0);
    EXPECT_EQ(asid_pages(8), 0u);
}

TEST_F(race_test, siblings_write_and_read_the_registers_of_their_core)
{
    build();
    constexpr std::uint64_t a = 0x10000000, b = 0x20000000;
    ASSERT_EQ(write_msr(0, msr::rmp_base, a), msr_result::done);
    std::atomic<unsigned> torn{0};
    race(
        [&](unsigned i) {
            rmp_changes mine;
            wrmsr(*m, 0, msr::rmp_base, i % 2 == 0 ? a : b, mine);
            wrmsr(*m, 0, msr::rmp_end, a + b, mine);
            wrmsr(*m, 0, msr::rmp_cfg, rmp_cfg_value(30 + i % 4), mine);
            wrmsr(*m, 0, msr::hwcr, hwcr_reset, mine);
        },
        [&] {
            const std::uint64_t base = read_msr(1, msr::rmp_base);
            torn += base == a || base == b ? 0 : 1;
            for (const std::uint32_t r : {msr::rmp_end, msr::rmp_cfg, msr::syscfg}) {
                read_msr(1, r);
            }
        });
    EXPECT_EQ(torn, 0u);
}

TEST_F(race_test, no_register_changes_once_a_sibling_has_set_snp_en)
{
    std::atomic<unsigned> late{0};
    for (unsigned round = 0; round < 200; ++round) {
        m->firmware_clear_snp_en();
        std::thread sibling([&] {
            rmp_changes mine;
            wrmsr(*m, 1, msr::syscfg, syscfg_reset | syscfg_snp_en, mine);
            const std::uint64_t then = read_msr(1, msr::rmp_base);
            std::this_thread::yield();
            late += read_msr(1, msr::rmp_base) == then ? 0 : 1;
        });
        rmp_changes mine;
        for (unsigned i = 0; i < 20; ++i) {
            wrmsr(*m, 0, msr::rmp_base, rmp_base + i % 2 * rmp_alignment, mine);
        }
        sibling.join();
    }
    EXPECT_EQ(late, 0u);
}

TEST_F(race_test, check_sees_a_page_before_or_after_rmpupdate)
{
    // Only the 4 KB page changes hands: its neighbour must always pass, a large mapping fails when
    // the page alone does, and a private access is never let through to the unvalidated page.
    std::atomic<unsigned> wrong{0};
    const rmp_access host{.kind = rmp_access_kind::write, .spa = high_2m + page_4k};
    rmp_access neighbour = host, large = host, guest = host;
    neighbour.spa += page_4k;
    large.large_mapping = true;
    guest.who = initiator::snp_guest;
    guest.encrypted = true;
    guest.asid = 7;
    guest.gpa = 0x1234000;
    race(
        [&](unsigned) {
            rmp_changes mine;
            rmpupdate(*m, host.spa, guest_page(), mine);
            wrong += rmp_check(*m, 0, host).rule == rmp_rule::hypervisor_owned ? 0 : 1;
            rmpupdate(*m, host.spa, {}, mine);
            wrong += rmp_check(*m, 0, host).outcome == rmp_outcome::allowed ? 0 : 1;
        },
        [&] {
            optimise(2, high.base);
            wrong += rmp_check(*m, 2, neighbour).outcome == rmp_outcome::allowed ? 0 : 1;
            rmp_check(*m, 2, host);
            rmp_check(*m, 2, large);
            wrong += rmp_check(*m, 2, guest).outcome == rmp_outcome::allowed ? 1 : 0;
        });
    EXPECT_EQ(wrong, 0u);
}

TEST_F(race_test, readers_go_on_while_a_reset_replaces_the_table)
{
    // What a report or the watch reads at any moment, whatever the vCPUs do.
    const rmp_config segmented{
        .layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 30};
    const rmp_config contiguous{
        .layout = rmp_layout::contiguous, .base = rmp_base, .end = contiguous_end};
    std::atomic<unsigned> wrong{0};
    race(
        [&](unsigned i) {
            m->reset();
            m->bios_setup(i % 2 == 0 ? segmented : contiguous);
            if (i % 4 == 0) {
                enable_snp(0);
            }
        },
        [&] {
            wrong += entry(high_2m).assigned ? 1 : 0;
            wrong += m->rmp().has_reserved_bits(high_2m) ? 1 : 0;
            m->rmp().covers(hole);
            m->rmp().entry_address(high_2m);
            m->is_host_writable(high_2m);
            rmp_check(*m, 0, {.kind = rmp_access_kind::write, .spa = high_2m});
            for (const rmp_extent &e : m->rmp().extents()) {
                wrong += e.covered_bytes == 0 ? 1 : 0;
            }
            for (const spa_range &r : m->rmp().table_memory()) {
                wrong += r.base < rmp_base ? 1 : 0;
            }
        },
        300); // a reset takes long
    EXPECT_EQ(wrong, 0u);
}

TEST_F(race_test, check_sees_avic_pages_come_and_go)
{
    std::atomic<unsigned> wrong{0};
    const rmp_access vmcb{.kind = rmp_access_kind::write, .spa = high_2m};
    const rmp_access avic{.kind = rmp_access_kind::write, .spa = high_2m + page_4k};
    race(
        [&](unsigned) {
            {
                const std::scoped_lock lock(m->rmp_lock());
                m->enter_guest(1,
                               {.spa = {vmcb.spa, avic.spa}, .count = 2, .avic_backing = avic.spa});
            }
            wrong += rmp_check(*m, 0, avic).rule == rmp_rule::page_in_use ? 0 : 1;
            const std::scoped_lock lock(m->rmp_lock());
            m->leave_guest(1);
        },
        [&] {
            rmp_check(*m, 2, avic);
            wrong += rmp_check(*m, 2, vmcb).outcome == rmp_outcome::allowed ? 0 : 1;
        });
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(rmp_check(*m, 0, avic).outcome, rmp_outcome::allowed);
}

TEST_F(race_test, a_walk_begins_anew_when_a_guests_table_changes)
{
    constexpr std::uint64_t rw = pte_present | pte_write | pte_user;
    constexpr spa_t nested = low_2m + page_2m, guest = low_2m;
    const auto store = [&](spa_t at, std::uint64_t value) { m->memory().store(at, value | rw); };
    store(nested, nested + page_4k);
    store(nested + page_4k, nested + 2 * page_4k);
    store(nested + 2 * page_4k, guest | pte_large);
    for (std::uint64_t table = 1; table < 4; ++table) {
        store(guest + table * page_4k, (table + 1) * page_4k);
    }
    auto &bytes = *m->memory().at(guest + 4 * page_4k, 8);
    const std::atomic_ref entry(reinterpret_cast<std::uint64_t &>(bytes));
    constexpr std::uint64_t one = 8 * page_4k | rw, other = 9 * page_4k | rw;
    entry.store(one);
    const guest_tables tables{.cr0 = cr0_pe | cr0_pg,
                              .cr3 = page_4k,
                              .cr4 = cr4_pae,
                              .efer = efer_lme | efer_lma,
                              .nested_cr3 = nested};
    unsigned wrong = 0;
    race(
        [&](unsigned) {
            const auto t = translate_guest(*m, tables, {.thread = 0, .asid = 5},
                                           {.address = 0, .kind = rmp_access_kind::write});
            const bool found = t.kind == guest_translation::outcome::mapped && t.writable &&
                               (t.gpa == 8 * page_4k || t.gpa == 9 * page_4k);
            wrong += !found || t.spa != guest + t.gpa ? 1 : 0;
        },
        [&] { entry.store(entry.load() & 1ull << 12 ? one : other); }, 1000000);
    EXPECT_EQ(wrong, 0u);
    const std::uint64_t last = entry.load() & ~(pte_accessed | pte_dirty);
    EXPECT_TRUE(last == one || last == other);
}

} // namespace

} // namespace rmpopt::hw
