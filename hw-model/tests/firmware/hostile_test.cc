// SPDX-License-Identifier: GPL-2.0-or-later
// Software that means harm: long random runs of commands, buffers and RMP updates. Whatever it
// does, the RMP stays firmware's, and firmware writes only where the ABI lets it.
#include "firmware_fixture.h"

#include <array>
#include <random>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;

class firmware_hostile : public firmware_fixture
{
  protected:
    std::uint64_t pick(std::uint64_t n) { return random_() % n; }

    /// Mostly addresses where something is at stake.
    spa_t address()
    {
        const std::array<spa_t, 9> bases{command_page, output_page, rmp_base,  segment, tmr,
                                         low.end(),    high.base,   uncovered, 0xa0000};
        const std::array<std::uint64_t, 6> offsets{0, 0, 0, page_4k, page_4k - 8, page_2m};
        switch (pick(8)) {
        case 0:
            return random_();
        case 1:
            return pick(low.bytes);
        default:
            return bases[pick(bases.size())] + offsets[pick(offsets.size())] + (pick(4) == 0);
        }
    }

    void fill_command_page()
    {
        for (spa_t at = command_page; at < command_page + max_fields; at += 4) {
            const std::array<std::uint32_t, 4> values{0, static_cast<std::uint32_t>(pick(70)),
                                                      static_cast<std::uint32_t>(address()),
                                                      static_cast<std::uint32_t>(random_())};
            m->memory().store(at, values[pick(values.size())]);
        }
    }

    void touch_rmp()
    {
        rmp_record r;
        r.assigned = pick(2) != 0;
        r.immutable = pick(2) != 0;
        r.size_2m = pick(4) == 0;
        r.asid = static_cast<std::uint32_t>(pick(3) == 0 ? 5 : 0);
        r.gpa = pick(3) * page_4k;
        const spa_range page{align_down(address(), r.size_2m ? page_2m : page_4k),
                             r.size_2m ? page_2m : page_4k};
        rmp_changes ignored;
        if (!page.overlaps({guest_page, page_4k})) { // a page taken back is no longer the guest's
            rmpupdate(*m, page.base, r, ignored);
        }
    }

    /// A page of a guest, filled with a pattern that nobody may change.
    void hand_page_to_guest()
    {
        set(guest_page, guest_entry(true, true));
        for (std::uint64_t o = 0; o < page_4k; o += 8) {
            m->memory().store(guest_page + o, guest_pattern);
        }
    }
    bool guest_page_is_whole() const
    {
        for (std::uint64_t o = 0; o < page_4k; o += 8) {
            if (load<std::uint64_t>(guest_page + o) != guest_pattern) {
                return false;
            }
        }
        return true;
    }

    static constexpr std::uint64_t max_fields = 64;
    static constexpr spa_t guest_page = high.base + page_4k;
    static constexpr std::uint64_t guest_pattern = 0x6775657374206d65;
    std::mt19937_64 random_{20}; // NOLINT: the same run every time
};

TEST_F(firmware_hostile, cannot_get_at_the_rmp_or_at_guests)
{
    constexpr std::array commands{platform_status,      get_id,           snp_platform_status,
                                  snp_feature_info,     snp_page_reclaim, snp_config,
                                  snp_df_flush,         shutdown,         init,
                                  download_firmware,    snp_commit,       snp_activate,
                                  snp_gctx_create,      snp_decommission, snp_launch_start,
                                  snp_launch_update,    snp_guest_status, snp_page_move,
                                  snp_page_unsmash,     snp_page_md_init, snp_dbg_decrypt,
                                  snp_dbg_encrypt,      snp_vlek_load,    snp_page_set_state,
                                  snp_verify_mitigation};
    snp_up();
    hand_page_to_guest();
    for (int i = 0; i < 20000; ++i) {
        touch_rmp();
        fill_command_page();
        run(commands[pick(commands.size())], pick(4) == 0 ? address() : command_page);
        for (const rmp_change &g : changes.ranges()) {
            ASSERT_FALSE(g.host_writable) << "no command of these hands a page to the host";
        }
    }
    EXPECT_TRUE(guest_page_is_whole());
    for (const spa_range &r : m->rmp().table_memory()) {
        for (spa_t p = r.base; p < r.end(); p += page_4k) {
            ASSERT_EQ(state(p), page_state::firmware) << std::hex << p;
        }
    }
}

TEST_F(firmware_hostile, survives_any_command_in_any_state)
{
    enable_snp();
    for (int i = 0; i < 3000; ++i) {
        if (pick(20) == 0) {
            touch_rmp();
        }
        fill_command_page();
        const auto command = static_cast<std::uint16_t>(pick(0xd0));
        fw->execute(command, pick(4) == 0 ? address() : command_page);
        if (pick(50) == 0) {
            fw->reset();
        }
    }
    const firmware_snapshot s = fw->snapshot();
    EXPECT_EQ(s.commands, 3000u);
    EXPECT_LT(s.failed, s.commands);
}

} // namespace
} // namespace rmpopt::hw
