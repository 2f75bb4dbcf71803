// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/machine/ciphertext.h"

#include "hw-model/insn/guest_insn.h"
#include "hw-model/insn/psmash.h"
#include "snp_guest_fixture.h"

#include <set>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

TEST(ciphertext, recoding_twice_changes_nothing)
{
    std::array<std::byte, page_4k> page{}, text;
    text.fill(std::byte{0x41});
    page = text;
    recode(3, 0x5000, page);
    EXPECT_NE(page, text);
    recode(3, 0x5000, page);
    EXPECT_EQ(page, text);
}

TEST(ciphertext, no_word_looks_like_another)
{
    std::set<std::uint64_t> seen;
    const auto add = [&](std::uint64_t key, spa_t spa) {
        std::array<std::byte, page_4k> page{};
        recode(key, spa, page);
        for (std::size_t i = 0; i < page.size(); i += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, &page[i], sizeof word);
            seen.insert(word);
        }
    };
    add(1, 0x1000);
    add(1, 0x2000);
    add(2, 0x1000);
    EXPECT_EQ(seen.size(), 3 * page_4k / 8);
    EXPECT_FALSE(seen.contains(0));
}

class ciphertext_test : public snp_guest_fixture
{
  protected:
    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch();
        fill(page, 0x41);
        fill(page_2mb, 0x42, page_2m);
    }
    void assign(spa_t at, bool size_2m = false)
    {
        rmp_record r;
        r.assigned = true;
        r.asid = asid;
        r.gpa = gpa_of(size_2m);
        r.size_2m = size_2m;
        update_rmp(at, r);
    }
    void take(spa_t at, bool size_2m = false)
    {
        rmp_record r;
        r.size_2m = size_2m;
        update_rmp(at, r);
    }
    guest_result validate(spa_t at, bool size_2m = false, bool on = true)
    {
        return pvalidate(*m, {.asid = asid}, {.rcx = size_2m ? 1u : 0u, .rdx = on ? 1u : 0u},
                         {.spa = at, .gpa = gpa_of(size_2m), .large_nested = size_2m});
    }
    /// What memory holds is the guest's view, and not the others'.
    void expect_opened(spa_t at, const page_content &others)
    {
        EXPECT_EQ(others_view(at), others);
        EXPECT_NE(content(at), others);
        EXPECT_EQ(content(at), guests_view(at));
    }

    rmp_changes changes;

  private:
    static std::uint64_t gpa_of(bool size_2m) { return size_2m ? 0x600000 : gpa; }
    void update_rmp(spa_t at, const rmp_record &r)
    {
        changes.clear();
        ASSERT_EQ(rmpupdate(*m, at, r, changes), rmp_status::success);
    }
};

TEST_F(ciphertext_test, a_page_is_opened_to_its_guest_while_it_is_validated)
{
    const page_content text = content(page);
    assign(page);
    EXPECT_EQ(content(page), text) << "the guest cannot use it yet";
    EXPECT_TRUE(changes.recoded().empty());
    EXPECT_EQ(validate(page), guest_result{});
    expect_opened(page, text);
    EXPECT_TRUE(validate(page).cf);
    expect_opened(page, text);
    EXPECT_EQ(validate(page, false, false), guest_result{});
    EXPECT_EQ(content(page), text);
    EXPECT_EQ(validate(page), guest_result{});
    take(page);
    EXPECT_EQ(content(page), text);
    EXPECT_EQ(changes.recoded(), (std::vector<spa_range>{{page, page_4k}}));
}

TEST_F(ciphertext_test, what_the_guest_wrote_is_noise_afterwards_and_comes_back)
{
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    fill(page, 0x66);
    take(page);
    EXPECT_FALSE(is_filled(page, 0x66));
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    EXPECT_TRUE(is_filled(page, 0x66));
}

TEST_F(ciphertext_test, pages_of_2_mb)
{
    constexpr spa_t last = page_2mb + page_2m - page_4k;
    const page_content text = content(last);
    assign(page_2mb, true);
    EXPECT_EQ(validate(page_2mb, true), guest_result{});
    expect_opened(page_2mb, text);
    expect_opened(last, text);
    fill(last, 0x66);
    EXPECT_EQ(psmash(*m, page_2mb), rmp_status::success);
    EXPECT_TRUE(is_filled(last, 0x66)) << "still the guest's";
    take(last);
    EXPECT_FALSE(is_filled(last, 0x66));
    expect_opened(page_2mb, text);
}

TEST_F(ciphertext_test, a_2_mb_page_that_is_taken)
{
    constexpr spa_t last = page_2mb + page_2m - page_4k;
    const page_content text = content(last);
    assign(page_2mb, true);
    EXPECT_EQ(validate(page_2mb, true), guest_result{});
    take(page_2mb, true);
    EXPECT_EQ(content(page_2mb), text);
    EXPECT_EQ(content(last), text);
    EXPECT_EQ(changes.recoded(), (std::vector<spa_range>{{page_2mb, page_2m}}));
}

TEST_F(ciphertext_test, launch_update_encrypts_in_place)
{
    for (const type t : {normal, vmsa, unmeasured}) {
        fill(page, 0x41);
        pre_guest(page);
        ASSERT_EQ(update(t, page), success);
        EXPECT_TRUE(is_filled(page, 0x41)) << "to the guest it is what the host has written";
        EXPECT_NE(others_view(page), content(page));
        take(page);
        EXPECT_FALSE(is_filled(page, 0x41));
    }
}

TEST_F(ciphertext_test, the_next_guest_with_the_asid_has_another_key)
{
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    fill(page, 0x66);
    take(page);
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    launch(other_context);
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    EXPECT_FALSE(is_filled(page, 0x66));
}

TEST_F(ciphertext_test, a_debugger_sees_plain_text)
{
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    launch(other_context, asid, debug_policy);
    const auto decrypt = [&] {
        return run_with(snp_dbg_decrypt, other_context, page, output_page);
    };
    const auto encrypt = [&] { return run_with(snp_dbg_encrypt, other_context, other_page, page); };
    make_firmware(output_page);
    pre_guest(page);
    ASSERT_EQ(update(normal, page, 0, 0, other_context), success);
    fill(page, 0x66);
    ASSERT_EQ(decrypt(), success);
    EXPECT_TRUE(is_filled(output_page, 0x66));
    EXPECT_EQ(validate(page, false, false), guest_result{});
    ASSERT_EQ(decrypt(), success);
    EXPECT_TRUE(is_filled(output_page, 0x66)) << "also of a page that is not validated";
    fill(other_page, 0x77);
    ASSERT_EQ(encrypt(), success);
    EXPECT_EQ(validate(page), guest_result{});
    EXPECT_TRUE(is_filled(page, 0x77));
}

TEST_F(ciphertext_test, nothing_is_left_open_without_snp)
{
    const page_content text = content(page);
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    m->reset();
    EXPECT_EQ(content(page), text);
    m->reset();
    EXPECT_EQ(content(page), text) << "once";
}

TEST_F(ciphertext_test, nothing_is_left_open_after_the_x86_shutdown)
{
    const page_content text = content(page_2mb);
    assign(page_2mb, true);
    EXPECT_EQ(validate(page_2mb, true), guest_result{});
    {
        const std::scoped_lock lock(m->rmp_lock());
        m->firmware_clear_snp_en();
    }
    EXPECT_EQ(content(page_2mb), text);
    EXPECT_EQ(content(page_2mb + page_2m - page_4k), text);
}

TEST_F(ciphertext_test, the_rmp_is_left_alone)
{
    const rmp_entry before = entry(context);
    rmp_entry e = entry(segment);
    e.validated = true;
    e.asid = asid;
    set(segment, e);
    EXPECT_EQ(entry(segment), e);
    EXPECT_EQ(entry(context), before) << "its entry is in that page";
}

TEST_F(ciphertext_test, plain_by_policy)
{
    build("venice", rmp_layout::segmented, {.ciphertext = choice::ciphertext::plain});
    snp_up();
    const page_content text = content(page);
    assign(page);
    EXPECT_EQ(validate(page), guest_result{});
    EXPECT_EQ(content(page), text);
    take(page);
    EXPECT_EQ(content(page), text);
}

} // namespace
} // namespace rmpopt::hw
