// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_PAGE_UNSMASH, SNP_PAGE_MOVE, SNP_DBG_DECRYPT, SNP_DBG_ENCRYPT, SNP_PAGE_MD_INIT,
// SNP_PAGE_SET_STATE.
#include "snp_guest_fixture.h"

#include "hw-model/machine/audit.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

class snp_page_unsmash_test : public snp_guest_fixture
{
  protected:
    static constexpr std::uint64_t gpa_2mb = 0x600000;
    static constexpr spa_t last = page_2mb + page_2m - page_4k;

    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        for (std::uint64_t o = 0; o < page_2m; o += page_4k) {
            pre_guest(page_2mb + o, gpa_2mb + o);
        }
    }
    firmware_status unsmash(spa_t at) { return run_with(snp_page_unsmash, at); }
    void change(spa_t at, auto f)
    {
        rmp_entry e = entry(at);
        f(e);
        set(at, e);
    }
};

TEST_F(snp_page_unsmash_test, joins_512_pages)
{
    EXPECT_EQ(unsmash(page_2mb | 1), success);
    rmp_entry whole;
    whole.assigned = whole.immutable = whole.size_2m = true;
    whole.asid = asid;
    whole.gpa = gpa_2mb;
    whole.vmpl = entry(page_2mb).vmpl;
    EXPECT_EQ(entry(page_2mb), whole);
    EXPECT_TRUE(audit(*m).empty());
    EXPECT_EQ(unsmash(page_2mb), invalid_page_size) << "twice";
}

TEST_F(snp_page_unsmash_test, joins_pages_on_their_way_out)
{
    for (std::uint64_t o = 0; o < page_2m; o += page_4k) {
        change(page_2mb + o, [](rmp_entry &e) { e.validated = true; });
    }
    EXPECT_EQ(unsmash(page_2mb), success);
    EXPECT_EQ(state(page_2mb), page_state::pre_swap);
}

TEST_F(snp_page_unsmash_test, checks_the_address)
{
    EXPECT_EQ(unsmash(page_2mb + page_4k), invalid_address);
    EXPECT_EQ(unsmash(low.end()), invalid_address);
    EXPECT_EQ(unsmash(uncovered), invalid_address);
}

TEST_F(snp_page_unsmash_test, wants_pages_that_agree)
{
    const auto differs = [this](auto f) {
        const rmp_entry before = entry(last);
        change(last, f);
        const firmware_status status = unsmash(page_2mb);
        set(last, before);
        return status;
    };
    EXPECT_EQ(differs([](rmp_entry &e) { e.immutable = false; }), invalid_page_state);
    EXPECT_EQ(differs([](rmp_entry &e) { e = {}; }), invalid_page_state);
    EXPECT_EQ(differs([](rmp_entry &e) { e.vmsa = true; }), invalid_page_state);
    EXPECT_EQ(differs([](rmp_entry &e) { e.asid = asid + 1; }), invalid_page_owner);
    EXPECT_EQ(differs([](rmp_entry &e) { e.gpa += page_4k; }), invalid_param);
    EXPECT_EQ(differs([](rmp_entry &e) { e.validated = true; }), invalid_param);
    EXPECT_EQ(differs([](rmp_entry &e) { e.vmpl[1] = 1; }), invalid_param);
    EXPECT_FALSE(entry(page_2mb).size_2m);
    EXPECT_EQ(unsmash(page_2mb), success);
}

TEST_F(snp_page_unsmash_test, wants_an_aligned_guest_address)
{
    for (std::uint64_t o = 0; o < page_2m; o += page_4k) {
        change(page_2mb + o, [](rmp_entry &e) { e.gpa += page_4k; });
    }
    EXPECT_EQ(unsmash(page_2mb), invalid_param);
}

TEST_F(snp_page_unsmash_test, leaves_other_pages_alone)
{
    EXPECT_EQ(unsmash(page_2mb + page_2m), invalid_page_state) << "hypervisor's";
    EXPECT_EQ(unsmash(segment - segment % page_2m), invalid_page_state) << "RMP";
}

class snp_page_move_test : public snp_guest_fixture
{
  protected:
    static constexpr spa_t to = page + 8 * page_4k;

    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch();
        pre_guest(page);
        pre_guest(to);
        fill(page, 0x5a);
    }
    firmware_status move(spa_t from, spa_t dest, std::uint32_t flags = 0,
                         std::uint32_t reserved = 0)
    {
        return run_with(snp_page_move, context, flags, reserved, from, dest);
    }
    /// As the hypervisor prepares a page that the guest uses.
    void make_pre_swap(spa_t at)
    {
        rmp_entry e = entry(at);
        e.immutable = e.validated = true;
        e.vmpl = {vmpl_perm::all, 3, 1, 0};
        set(at, e);
    }
};

TEST_F(snp_page_move_test, takes_content_and_state_along)
{
    make_pre_swap(page);
    fill(page, 0x5a);
    rmp_entry expected = entry(page);
    expected.immutable = false;
    const rmp_entry left = entry(to);
    EXPECT_EQ(move(page, to), success);
    EXPECT_EQ(entry(to), expected);
    EXPECT_EQ(state(to), page_state::guest_valid);
    EXPECT_TRUE(is_filled(to, 0x5a));
    EXPECT_EQ(entry(page), left) << "free for the next page";
    EXPECT_TRUE(audit(*m).empty());
}

TEST_F(snp_page_move_test, moves_pages_that_the_guest_has_not_validated)
{
    const page_content before = guests_view(page);
    EXPECT_EQ(move(page, to), success);
    EXPECT_EQ(guests_view(to), before);
    EXPECT_EQ(state(to), page_state::guest_invalid);
    EXPECT_EQ(state(page), page_state::pre_guest);
}

TEST_F(snp_page_move_test, moves_2_mb_and_first_pages_of_2_mb)
{
    pre_guest(page_2mb, 0x600000, asid, true);
    pre_guest(page_2mb + page_2m, 0x600000, asid, true);
    fill(page_2mb, 0x77, page_2m);
    const page_content before = guests_view(page_2mb + 511 * page_4k);
    EXPECT_EQ(move(page_2mb, page_2mb + page_2m, 1), success);
    EXPECT_EQ(guests_view(page_2mb + page_2m + 511 * page_4k), before);
    EXPECT_TRUE(entry(page_2mb + page_2m).size_2m);
    const spa_t first = page_2mb + 2 * page_2m;
    pre_guest(first);
    pre_guest(first + page_4k, 0x700000);
    EXPECT_EQ(move(first, to), success);
    EXPECT_TRUE(audit(*m).empty()) << "the count of other pages stays with the region";
}

TEST_F(snp_page_move_test, checks_its_fields)
{
    EXPECT_EQ(move(page, to, 2), invalid_param);
    EXPECT_EQ(move(page, to, 0, 1), invalid_param);
    EXPECT_EQ(move(page, page), invalid_address) << "onto itself";
    EXPECT_EQ(move(page + 8, to), invalid_address);
    EXPECT_EQ(move(page, to + 8), invalid_address);
    EXPECT_EQ(move(page, to, 1), invalid_address) << "no 2 MB boundary";
    EXPECT_EQ(move(page, low.end()), invalid_address);
    EXPECT_TRUE(is_filled(page, 0x5a));
}

TEST_F(snp_page_move_test, checks_both_pages)
{
    EXPECT_EQ(move(output_page, to), invalid_page_state);
    EXPECT_EQ(move(page, output_page), invalid_page_state);
    EXPECT_EQ(move(page, context), invalid_page_state);
    EXPECT_EQ(move(page, segment), invalid_page_state);
    pre_guest(page_2mb, gpa, asid, true);
    EXPECT_EQ(move(page_2mb, to), invalid_page_size);
    EXPECT_EQ(move(page, page_2mb), invalid_page_size);
    pre_guest(other_page, gpa, asid + 1);
    EXPECT_EQ(move(other_page, to), invalid_page_owner);
    EXPECT_EQ(move(page, other_page), invalid_page_owner);
    pre_guest(other_page + page_4k, gpa + page_4k);
    EXPECT_EQ(move(page, other_page + page_4k), invalid_page_owner) << "another guest address";
    make_pre_swap(to);
    const page_content before = content(to);
    EXPECT_EQ(move(page, to), invalid_page_state) << "something is there";
    EXPECT_EQ(content(to), before);
}

TEST_F(snp_page_move_test, needs_an_active_guest)
{
    make_context(other_context);
    const auto of_other = [this] {
        return run_with(snp_page_move, other_context, std::uint64_t{0}, page, to);
    };
    EXPECT_EQ(of_other(), invalid_guest_state);
    ASSERT_EQ(start(other_context), success);
    EXPECT_EQ(of_other(), inactive);
    ASSERT_EQ(activate(other_context, asid + 1), success);
    EXPECT_EQ(of_other(), invalid_page_owner);
}

class snp_debug : public snp_guest_fixture
{
  protected:
    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch(context, asid, debug_policy);
        pre_guest(page);
        fill(page, 0x5a);
        ASSERT_EQ(update(vmsa, page), success);
        ASSERT_EQ(finish(context), success);
        make_firmware(output_page);
    }
    firmware_status decrypt(spa_t from, spa_t to, spa_t of = context)
    {
        return run_with(snp_dbg_decrypt, of, from, to);
    }
    firmware_status encrypt(spa_t from, spa_t to, spa_t of = context)
    {
        return run_with(snp_dbg_encrypt, of, from, to);
    }
};

TEST_F(snp_debug, decrypt_copies_a_page_of_the_guest)
{
    EXPECT_EQ(decrypt(page, output_page), success);
    EXPECT_TRUE(is_filled(output_page, 0x5a));
    EXPECT_EQ(state(output_page), page_state::firmware);
    EXPECT_EQ(reclaim(output_page), success) << "as Linux goes on";
}

TEST_F(snp_debug, decrypt_writes_firmware_pages_only)
{
    for (const spa_t to : {command_page + page_4k, context, segment, page}) {
        EXPECT_EQ(decrypt(page, to), invalid_page_state) << std::hex << to;
    }
    EXPECT_EQ(decrypt(page, output_page + 16), invalid_address);
    EXPECT_EQ(decrypt(page, low.end()), invalid_address);
    EXPECT_TRUE(memory_is_zero(output_page, page_4k));
}

TEST_F(snp_debug, decrypt_reads_pages_of_the_guest_only)
{
    pre_guest(other_page, gpa, asid + 1);
    EXPECT_EQ(decrypt(other_page, output_page), invalid_page_owner);
    EXPECT_EQ(decrypt(context, output_page), invalid_page_state);
    EXPECT_EQ(decrypt(output_page, output_page), invalid_page_state);
    EXPECT_EQ(decrypt(command_page, output_page), invalid_page_state);
    EXPECT_EQ(decrypt(page + 8, output_page), invalid_address);
    EXPECT_EQ(decrypt(uncovered, output_page), invalid_address);
}

TEST_F(snp_debug, decrypt_looks_into_2_mb_pages)
{
    pre_guest(page_2mb, 0x600000, asid, true);
    fill(page_2mb + 5 * page_4k, 0x66);
    EXPECT_EQ(decrypt(page_2mb + 5 * page_4k, output_page), success);
    EXPECT_EQ(content(output_page), guests_view(page_2mb + 5 * page_4k));
}

TEST_F(snp_debug, encrypt_writes_a_page_of_the_guest)
{
    constexpr spa_t source = 0x50000;
    fill(source, 0x33);
    EXPECT_EQ(encrypt(source, page), success);
    EXPECT_TRUE(is_filled(page, 0x33));
    pre_guest(other_page, gpa, asid + 1);
    EXPECT_EQ(encrypt(source, other_page), invalid_page_owner);
    EXPECT_EQ(encrypt(source, output_page), invalid_page_state);
    EXPECT_EQ(encrypt(source, segment), invalid_page_state);
    EXPECT_EQ(encrypt(source + 4, page), invalid_address);
    EXPECT_EQ(encrypt(source, page + 4), invalid_address);
    EXPECT_EQ(encrypt(context, page), invalid_page_state);
    EXPECT_EQ(encrypt(page, page), invalid_page_state) << "onto itself";
    EXPECT_TRUE(is_filled(page, 0x33));
}

TEST_F(snp_debug, needs_a_policy_that_allows_it)
{
    launch(other_context, asid + 1, policy);
    pre_guest(other_page, gpa, asid + 1);
    EXPECT_EQ(decrypt(other_page, output_page, other_context), policy_failure);
    EXPECT_EQ(encrypt(0x50000, other_page, other_context), policy_failure);
}

TEST_F(snp_debug, needs_an_active_guest)
{
    make_context(other_context);
    EXPECT_EQ(decrypt(page, output_page, other_context), invalid_guest_state);
    ASSERT_EQ(start(other_context, debug_policy), success);
    EXPECT_EQ(decrypt(page, output_page, other_context), inactive);
    EXPECT_EQ(encrypt(0x50000, page, other_context), inactive);
}

class snp_page_purposes : public snp_guest_fixture
{
  protected:
    static constexpr spa_t list = 0x60000;

    firmware_status set_fixed(const std::vector<spa_range> &ranges, std::uint32_t len = 16,
                              std::uint32_t reserved = 0)
    {
        m->memory().store<std::uint64_t>(list, ranges.size());
        spa_t at = list + 8;
        for (const spa_range &r : ranges) {
            m->memory().store(at, r.base);
            m->memory().store(at + 8, r.bytes / page_4k);
            at += 16;
        }
        return run_with(snp_page_set_state, len, reserved, list);
    }
};

TEST_F(snp_page_purposes, md_init_makes_an_empty_metadata_page)
{
    make_context();
    make_firmware(page);
    fill(page, 0x5a);
    EXPECT_EQ(run_with(snp_page_md_init, context, page), success);
    EXPECT_EQ(state(page), page_state::metadata);
    EXPECT_TRUE(memory_is_zero(page, page_4k));
    EXPECT_EQ(reclaim(page), success);
}

TEST_F(snp_page_purposes, md_init_takes_free_firmware_pages_of_4_kb_only)
{
    const auto md_init = [this](spa_t at) { return run_with(snp_page_md_init, context, at); };
    make_context();
    EXPECT_EQ(md_init(page), invalid_page_state);
    EXPECT_EQ(md_init(segment), invalid_page_state);
    EXPECT_EQ(md_init(page + 8), invalid_address);
    EXPECT_EQ(md_init(low.end()), invalid_address);
    EXPECT_EQ(md_init(context), invalid_page_state);
    make_firmware(page_2mb, true);
    EXPECT_EQ(md_init(page_2mb), invalid_page_size);
}

TEST_F(snp_page_purposes, md_init_is_for_a_guest)
{
    make_firmware(page);
    EXPECT_EQ(run_with(snp_page_md_init, context, page), invalid_guest) << "no context page";
    EXPECT_EQ(run_with(snp_page_md_init, page, page), invalid_guest);
    EXPECT_EQ(state(page), page_state::firmware);
}

TEST_F(snp_page_purposes, set_state_makes_pages_hv_fixed)
{
    EXPECT_EQ(set_fixed({{page_2mb, 2 * page_2m}, {uncovered, page_2m}}), success);
    EXPECT_EQ(state(page_2mb), page_state::hv_fixed);
    EXPECT_EQ(state(page_2mb + 2 * page_2m - page_4k), page_state::hv_fixed);
    EXPECT_EQ(state(page_2mb - page_4k), page_state::hypervisor);
    EXPECT_EQ(state(page_2mb + 2 * page_2m), page_state::hypervisor);
    EXPECT_TRUE(changes.ranges().empty()) << "the host writes them as before";
    EXPECT_EQ(set_fixed({{page_2mb, page_2m}}), success) << "once more";
    EXPECT_TRUE(audit(*m).empty());
}

TEST_F(snp_page_purposes, set_state_changes_all_or_nothing)
{
    pre_guest(page_2mb + page_2m + 5 * page_4k);
    EXPECT_EQ(set_fixed({{page_2mb, 2 * page_2m}}), invalid_page_state);
    EXPECT_EQ(state(page_2mb), page_state::hypervisor);
    EXPECT_EQ(state(page_2mb + page_2m + 5 * page_4k), page_state::pre_guest);
    EXPECT_EQ(set_fixed({{align_down(segment, page_2m), page_2m}}), invalid_page_state);
    pre_guest(page_2mb, 0x600000, asid, true);
    EXPECT_EQ(set_fixed({{page_2mb, page_2m}}), invalid_page_state);
}

TEST_F(snp_page_purposes, set_state_checks_its_fields)
{
    EXPECT_EQ(set_fixed({}, 8), invalid_length);
    EXPECT_EQ(set_fixed({}, 16, 1), invalid_param);
    EXPECT_EQ(set_fixed({{page_2mb + 8, page_2m}}), invalid_address);
    EXPECT_EQ(set_fixed({{page_2mb + page_4k, page_2m}}), invalid_address);
    EXPECT_EQ(set_fixed({{page_2mb, page_2m}, {page_2mb + page_2m, page_2m - page_4k}}),
              invalid_address);
    EXPECT_EQ(run_with(snp_page_set_state, 16u, 0u, list + 8), invalid_address);
    m->memory().store<std::uint64_t>(list, 1000);
    EXPECT_EQ(run_with(snp_page_set_state, 16u, 0u, list), invalid_param);
}

} // namespace
} // namespace rmpopt::hw
