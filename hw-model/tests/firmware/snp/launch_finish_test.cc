// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_FINISH with and without an ID block.
//
// Keys and signatures were made with Python's cryptography package for the ID block that
// write_id_block() lays out: launch digest of one page, version 1, policy 0x30000. The ID key
// signed the block, the author key the 1028 bytes of the ID key. A key is x, y and a signature r,
// s, most significant digit first.
#include "snp_guest_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr std::string_view id_key =
    "add040b8baa445d2b9bd79036a883d749bcc4be9fcaa129727d50634e3c86551"
    "4c36d362e633b14fe1ca24a625f974f8529c287573e0edf8f1095d6812fb7b9c"
    "7bd9b0c3e6ec88424529611c16547ba97ae967ca44431645ea7796ed8461fe35";
constexpr std::string_view author_key =
    "08791ab02b33f4207a6032d0f61e0e693be2b74d31fd25574c71a0a6e720512e"
    "4e13e1e76cf145555d1123111227b959001f00d29e9992e82a89eeb6184aac25"
    "a562f995b668b5602330fca22e118b80e74e32834dc38fac6848d4d9ce99e1d6";
constexpr std::string_view block_signature =
    "67f983b4601566d4fc8f754174e596b5ab012927b8fec286508af1e8207c8cad"
    "bf6ee0dfa5a7216706948b64e5ea76dad1210343bcf7cf58f1167d0faac684a7"
    "5202b9fe1c0c2d483d9015f3d5e664b556e2416acd26fcd39c782b9c29928462";
constexpr std::string_view key_signature =
    "706fccbf62975be3482dae0de4be4e237336d4b54f7222a8f919b69028234f2f"
    "88c5af39c74ab124c383865956fb4d964d91fcc076e3ed41fe632b095a41e3f2"
    "7a3318d11cedb5185b6c86abdfaa7a721ca1f672460f820b7e09dbb0c30f3228";

class snp_launch_finish : public snp_guest_fixture
{
  protected:
    static constexpr spa_t block = 0x40000, auth = 0x41000;
    static constexpr std::uint64_t with_block = 1, with_author = 2, without_vcek = 4;

    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch_one_page(policy);
        write_id_block();
        write_id_auth();
    }
    void launch_one_page(std::uint64_t with_policy, std::uint8_t content = 0x5a)
    {
        launch(context, asid, with_policy);
        pre_guest(page);
        fill(page, content);
        ASSERT_EQ(update(normal, page), success);
    }
    void write_id_block()
    {
        m->memory().store(block, guest().launch_digest);
        fill_bytes(block + 48, 'F', 16);
        fill_bytes(block + 64, 'I', 16);
        m->memory().store<std::uint32_t>(block + 80, 1);
        m->memory().store<std::uint32_t>(block + 84, 0);
        m->memory().store<std::uint64_t>(block + 88, policy);
    }
    void write_id_auth()
    {
        m->memory().store<std::uint32_t>(auth, 1);
        m->memory().store<std::uint32_t>(auth + 4, 1);
        write_pair(auth + 0x40, block_signature);
        write_key(auth + 0x240, id_key);
        write_pair(auth + 0x680, key_signature);
        write_key(auth + 0x880, author_key);
    }
    void write_key(spa_t at, std::string_view key)
    {
        m->memory().store<std::uint32_t>(at, 2); // P-384
        write_pair(at + 4, key);
    }
    /// Two numbers of 72 bytes, least significant byte first.
    void write_pair(spa_t at, std::string_view digits)
    {
        for (std::size_t i = 0; i < 96; ++i) {
            const auto value = std::stoul(std::string(digits.substr(2 * i, 2)), nullptr, 16);
            const spa_t number = at + (i < 48 ? 0 : 72);
            m->memory().store(number + 47 - i % 48, static_cast<std::uint8_t>(value));
        }
    }
    void fill_bytes(spa_t at, char value, std::uint64_t bytes)
    {
        std::memset(m->memory().at(at, bytes), value, bytes);
    }
    void flip(spa_t at) { m->memory().store<std::uint8_t>(at, load<std::uint8_t>(at) ^ 1); }
    firmware_status finish_with(std::uint64_t flags) { return finish(context, flags, block, auth); }
    /// The guest once more, from the start.
    void launch_again(std::uint64_t with_policy, std::uint8_t content)
    {
        rmp_changes ignored;
        ASSERT_EQ(decommission(context), success);
        ASSERT_EQ(reclaim(context), success);
        ASSERT_EQ(rmpupdate(*m, page, rmp_record{}, ignored), rmp_status::success);
        ASSERT_EQ(status_of(snp_df_flush), success);
        launch_one_page(with_policy, content);
    }
};

TEST_F(snp_launch_finish, makes_the_guest_run)
{
    EXPECT_EQ(finish(context), success);
    EXPECT_EQ(guest().state, snp_guest_state::running);
    EXPECT_EQ(finish(context), invalid_guest_state) << "twice";
    make_context(other_context);
    EXPECT_EQ(finish(other_context), invalid_guest_state) << "never started";
}

TEST_F(snp_launch_finish, refuses_reserved_flags)
{
    EXPECT_EQ(finish_with(8), invalid_param);
    EXPECT_EQ(finish_with(1ull << 63), invalid_param);
    EXPECT_EQ(finish_with(with_author), invalid_param) << "an author of no block";
    EXPECT_EQ(guest().state, snp_guest_state::launch);
    EXPECT_EQ(finish_with(without_vcek), success);
}

TEST_F(snp_launch_finish, takes_a_signed_id_block)
{
    EXPECT_EQ(finish_with(with_block), success);
    EXPECT_EQ(guest().state, snp_guest_state::running);
}

TEST_F(snp_launch_finish, takes_an_author_key)
{
    EXPECT_EQ(finish_with(with_block | with_author), success);
}

TEST_F(snp_launch_finish, reads_block_and_signatures_from_ram_only)
{
    EXPECT_EQ(finish(context, with_block, low.end() - 95, auth), invalid_address);
    EXPECT_EQ(finish(context, with_block, block, low.end() - page_4k + 1), invalid_address);
    EXPECT_EQ(finish(context, with_block, low.end(), auth), invalid_address);
    EXPECT_EQ(guest().state, snp_guest_state::launch);
}

TEST_F(snp_launch_finish, knows_one_version_and_one_algorithm)
{
    flip(block + 80);
    EXPECT_EQ(finish_with(with_block), invalid_param);
    flip(block + 80);
    flip(auth);
    EXPECT_EQ(finish_with(with_block), invalid_param);
    flip(auth);
    flip(auth + 4);
    EXPECT_EQ(finish_with(with_block | with_author), invalid_param);
    EXPECT_EQ(finish_with(with_block), success) << "no author, no algorithm";
}

TEST_F(snp_launch_finish, checks_the_signature_of_the_block)
{
    // digest, family, number of the guest, r, s, their upper parts, x, y
    for (const spa_t at : {block, block + 48, block + 84, auth + 0x40, auth + 0x40 + 72,
                           auth + 0x40 + 71, auth + 0x40 + 143, auth + 0x244, auth + 0x244 + 72,
                           auth + 0x244 + 71, auth + 0x244 + 143}) {
        flip(at);
        EXPECT_EQ(finish_with(with_block), bad_signature) << std::hex << at;
        flip(at);
    }
    flip(auth + 0x240);
    EXPECT_EQ(finish_with(with_block), bad_signature) << "another curve";
    EXPECT_EQ(guest().state, snp_guest_state::launch);
}

TEST_F(snp_launch_finish, checks_the_signature_of_the_key)
{
    for (const spa_t at : {auth + 0x680, auth + 0x880, auth + 0x884, auth + 0x240 + 1000}) {
        flip(at);
        EXPECT_EQ(finish_with(with_block | with_author), bad_signature) << std::hex << at;
        flip(at);
    }
    flip(auth + 0x884);
    EXPECT_EQ(finish_with(with_block), success) << "no author, no signature";
}

TEST_F(snp_launch_finish, compares_what_was_launched)
{
    launch_again(policy, 0x5b);
    EXPECT_EQ(finish_with(with_block), bad_measurement);
    EXPECT_EQ(guest().state, snp_guest_state::launch);
    launch_again(debug_policy, 0x5a);
    EXPECT_EQ(finish_with(with_block), policy_failure);
    EXPECT_EQ(guest().state, snp_guest_state::launch);
    EXPECT_EQ(finish(context), success) << "without a block nobody compares";
}

} // namespace
} // namespace rmpopt::hw
