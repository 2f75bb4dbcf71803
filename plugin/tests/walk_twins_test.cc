// SPDX-License-Identifier: GPL-2.0-or-later
// Two walks of a guest's and the nested tables, written apart, agree on random tables: the model's,
// which is that of the CPU, and the plugin's own, which only looks.
#include "hw-model/guest/nested_walk.h"

#include "hw-model/base/x86_bits.h"
#include "machine_fixture.h"
#include "x86/page_tables.h"

#include <random>

namespace rmpopt
{

namespace
{

/// A few pages of RAM are tables, of the guest and nested ones; any entry may lead to any of them.
class walk_twins_test : public hw::machine_fixture
{
  protected:
    static constexpr hw::spa_t ram = low_2m;
    static constexpr unsigned pages = 32, entries = 512;

    std::uint64_t draw(std::uint64_t below) { return random_() % below; }

    /// Mostly a page of ours, which may be there for the tables or for the guest; sometimes a large
    /// one, sometimes nothing.
    std::uint64_t random_entry()
    {
        const std::uint64_t page = ram + draw(pages) * hw::page_4k;
        std::uint64_t entry = page | pte_present | pte_write | pte_user;
        switch (draw(16)) {
        case 0:
            return 0;
        case 1:
            entry = hw::align_down(page, hw::page_2m) | 0xe7; // large, marked
            break;
        case 2:
            entry &= ~pte_write;
            break;
        default:
            break;
        }
        return draw(4) == 0 ? entry | hw::c_bit : entry;
    }
    void fill()
    {
        for (unsigned i = 0; i < pages * entries; ++i) {
            m->memory().store(ram + 8 * std::uint64_t{i}, random_entry());
        }
        // The nested tables know no C-bit: what they have of it is an error for the CPU.
        for (unsigned i = 0; i < entries * pages / 2; ++i) {
            const hw::spa_t at = ram + 8 * std::uint64_t{i};
            m->memory().store(at, *m->memory().load<std::uint64_t>(at) & ~hw::c_bit);
        }
    }
    /// Some address whose tables are looked at in all levels.
    std::uint64_t random_address()
    {
        const auto address = static_cast<std::int64_t>(random_() << 16) >> 16;
        return draw(2) == 0 ? ram + draw(pages * hw::page_4k) : static_cast<std::uint64_t>(address);
    }

    std::mt19937_64 random_{20261130};
};

} // namespace

TEST_F(walk_twins_test, lead_to_the_same_place)
{
    unsigned mapped = 0, faults = 0;
    for (unsigned round = 0; round < 200; ++round) {
        fill();
        for (unsigned i = 0; i < 200; ++i) {
            const std::uint64_t nested_root = ram + draw(pages / 2) * hw::page_4k;
            const std::uint64_t root = ram + draw(pages) * hw::page_4k;
            const std::uint64_t address = random_address();
            const auto path =
                find_guest_path(m->memory(),
                                {.guest = {.cr0 = cr0_pg, .cr3 = root, .cr4 = cr4_pae, .rflags = 0},
                                 .long_mode = true,
                                 .nested = true,
                                 .host = {.cr0 = 0, .cr3 = nested_root, .cr4 = 0, .rflags = 0}},
                                address);
            const guest_path *const found = path.has_value() && path->spa != 0 ? &*path : nullptr;
            const hw::guest_translation t = hw::translate_guest(*m,
                                                                {.cr0 = cr0_pg,
                                                                 .cr3 = root,
                                                                 .cr4 = cr4_pae,
                                                                 .efer = efer_lma,
                                                                 .nested_cr3 = nested_root,
                                                                 .host_cr4 = 0},
                                                                {.asid = 1}, {.address = address});
            if (t.kind == hw::guest_translation::outcome::mapped) {
                ++mapped;
                ASSERT_NE(found, nullptr) << std::hex << address;
                EXPECT_EQ(found->spa, t.spa) << std::hex << address;
                EXPECT_EQ(found->gpa, t.gpa) << std::hex << address;
            } else {
                ++faults;
            }
        }
    }
    EXPECT_GT(mapped, 500u) << faults;
    EXPECT_GT(faults, 500u) << mapped;
}

} // namespace rmpopt
