// SPDX-License-Identifier: GPL-2.0-or-later
// Random programs of guest commands and RMPUPDATE on a few pages. After each step: guests and
// context pages are the same, no ASID has two owners, and a command that failed has changed
// nothing. After each program the audit finds nothing. Another run: RC_PARAMS="seed=...".
#include "snp_guest_fixture.h"

#include "hw-model/machine/audit.h"

#include <rapidcheck/gtest.h>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;

class snp_guest_program : public snp_guest_fixture
{
  protected:
    static constexpr unsigned pages = 8;
    static constexpr std::array commands{
        snp_gctx_create, snp_decommission,   snp_activate,      snp_launch_start,  snp_launch_start,
        snp_activate,    snp_launch_update,  snp_launch_update, snp_launch_finish, snp_page_move,
        snp_dbg_decrypt, snp_dbg_encrypt,    snp_page_reclaim,  snp_page_md_init,  snp_guest_status,
        snp_df_flush,    snp_platform_status};

    struct picture {
        std::array<std::array<std::byte, page_4k>, pages> memory{};
        std::array<rmp_entry, pages> entries{};
        snp_guest_table guests;
    };

    static unsigned pick(unsigned n) { return *rc::gen::inRange(0u, n); }
    static spa_t at(unsigned i) { return page + i * page_4k; }
    static spa_t any_page() { return at(pick(pages)); }

    /// Mostly a page that is a context.
    spa_t any_guest() const
    {
        const snp_guest_table &all = guests();
        return all.empty() || pick(4) == 0
                   ? any_page()
                   : std::next(all.begin(), pick(static_cast<unsigned>(all.size())))->first;
    }

    picture look() const
    {
        picture p;
        for (unsigned i = 0; i < pages; ++i) {
            m->memory().read(at(i), p.memory[i].data(), page_4k);
            p.entries[i] = entry(at(i));
        }
        p.guests = guests();
        return p;
    }

    void some_rmpupdate()
    {
        rmp_record r;
        r.assigned = pick(4) != 0;
        r.immutable = r.assigned && pick(4) != 0;
        r.asid = r.assigned ? pick(3) : 0;
        r.gpa = r.asid != 0 ? pick(2) * page_4k : 0;
        rmp_changes ignored;
        rmpupdate(*m, any_page(), r, ignored);
    }

    /// Mostly right, so that guests get far.
    firmware_status some_command(firmware_command c)
    {
        const spa_t guest = any_guest();
        switch (c) {
        case snp_activate:
            return activate(guest, pick(4));
        case snp_launch_start:
            return start(guest, pick(2) != 0 ? debug_policy : policy, pick(8) == 0 ? 4 : 0);
        case snp_launch_update:
            return update(static_cast<type>(pick(8)), any_page(), 0, 0, guest);
        case snp_page_move:
            return run_with(c, guest, std::uint64_t{0}, any_page(), any_page());
        default:
            return run_with(c, guest, any_page(), any_page(), std::array<std::uint64_t, 5>{});
        }
    }

    void step()
    {
        if (pick(3) == 0) {
            some_rmpupdate();
            return;
        }
        const firmware_command c = commands[pick(commands.size())];
        const picture before = look();
        const firmware_status status = some_command(c);
        if (status != firmware_status::success) {
            expect_same(before, look(), c == snp_launch_update);
        }
        for (const rmp_change &g : changes.ranges()) {
            RC_ASSERT(!g.host_writable);
        }
    }

    /// A CPUID page that failed has been corrected.
    static void expect_same(const picture &a, const picture &b, bool may_correct)
    {
        RC_ASSERT(may_correct || a.memory == b.memory);
        RC_ASSERT(a.entries == b.entries);
        RC_ASSERT(a.guests == b.guests);
    }

    void check_guests() const
    {
        std::set<spa_t> contexts, context_pages;
        std::set<std::uint32_t> asids;
        for (const auto &[context, guest] : guests()) {
            contexts.insert(context);
            RC_ASSERT(!guest.active() || asids.insert(guest.asid).second);
            RC_ASSERT(!guest.active() || guest.state != snp_guest_state::init);
        }
        for (unsigned i = 0; i < pages; ++i) {
            if (state(at(i)) == page_state::context) {
                context_pages.insert(at(i));
            }
        }
        RC_ASSERT(contexts == context_pages);
    }
};

RC_GTEST_FIXTURE_PROP(snp_guest_program, keeps_the_invariants, ())
{
    launch(at(0), 1);
    const unsigned steps = pick(120);
    for (unsigned i = 0; i < steps; ++i) {
        step();
        check_guests();
    }
    RC_ASSERT(audit(*m).empty());
    RC_CLASSIFY(!guests().empty(), "a guest is left");
}

} // namespace
} // namespace rmpopt::hw
