// SPDX-License-Identifier: GPL-2.0-or-later
// MSG_KEY_REQ: a key depends on what the guest selects and on nothing else; nobody gets a key of
// something that it is not.
#include "snp_messages_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;
using key = std::array<std::byte, 32>;
using kind = guest_message_type;

class derived_keys : public snp_messages_fixture
{
  protected:
    key_response ask_key(const key_request &r, std::uint8_t vmpl = 0)
    {
        return exchange<key_response>(kind::key_request, r, vmpl);
    }
    key_response ask_key(const key_request_2 &r)
    {
        return exchange<key_response>(kind::key_request, r, 0, 2);
    }
    template <class Request> key good(const Request &r)
    {
        const key_response out = ask_key(r);
        EXPECT_EQ(out.status, 0u);
        EXPECT_NE(out.derived_key, key{});
        return out.derived_key;
    }
    template <class Request> void expect_status(firmware_status status, const Request &r)
    {
        const key_response out = ask_key(r);
        EXPECT_EQ(out.status, static_cast<std::uint32_t>(status));
        EXPECT_EQ(out.derived_key, key{});
    }
    static key_request selecting(std::uint64_t fields)
    {
        key_request r{};
        r.guest_field_select = fields;
        return r;
    }
    /// An equal one, with keys of its own.
    void make_it_another_guest()
    {
        ++change_guest().serial;
        m->memory().store(secrets_page + 0x20, communication_key(guest(), 0));
    }
    void set_identity(const snp_identity &identity) { change_guest().identity = identity; }
};

TEST_F(derived_keys, come_again_for_the_same_question)
{
    run_guest();
    EXPECT_EQ(good(selecting(0)), good(selecting(0)));
    EXPECT_EQ(answer().header.msg_type, 4);
    EXPECT_EQ(answer().header.msg_size, 64);
}

TEST_F(derived_keys, depend_on_what_is_selected)
{
    run_guest();
    std::set<key> keys;
    for (std::uint64_t fields = 0; fields < 64; ++fields) {
        keys.insert(good(selecting(fields)));
    }
    EXPECT_EQ(keys.size(), 64u);
}

/// Of each field: with it selected, another value gives another key; without, it does not.
TEST_F(derived_keys, depend_on_the_guest_as_far_as_selected)
{
    run_guest();
    const auto changes = [this](std::uint64_t field, auto change) {
        const snp_guest before = guest();
        const key selected = good(selecting(field)), unselected = good(selecting(0));
        const auto messages = guest().messages;
        change(change_guest());
        EXPECT_NE(good(selecting(field)), selected) << field;
        EXPECT_EQ(good(selecting(0)), unselected) << field;
        const auto now = guest().messages;
        change_guest() = before;
        change_guest().messages = now;
        EXPECT_NE(messages, now);
    };
    changes(key_request::guest_policy, [](snp_guest &g) { ++g.policy; });
    changes(key_request::image_id, [](snp_guest &g) { g.identity.image_id[15] = std::byte{1}; });
    changes(key_request::family_id, [](snp_guest &g) { g.identity.family_id[15] = std::byte{1}; });
    changes(key_request::measurement, [](snp_guest &g) { g.launch_digest[47] ^= std::byte{1}; });
}

TEST_F(derived_keys, depend_on_the_versions_that_the_guest_names)
{
    run_guest();
    set_identity({.guest_svn = 7});
    const auto named = [](std::uint64_t fields, std::uint32_t svn, std::uint64_t tcb) {
        key_request r = selecting(fields);
        r.svn = svn;
        r.tcb = tcb;
        return r;
    };
    const auto svn = key_request::guest_svn, tcb = key_request::tcb_version;
    EXPECT_NE(good(named(svn, 7, 0)), good(named(svn, 6, 0)));
    EXPECT_EQ(good(named(0, 7, 0)), good(named(0, 6, 0)));
    expect_status(invalid_param, named(svn, 8, 0));
    const std::uint64_t current = firmware_tcb(m->cpu());
    EXPECT_NE(good(named(tcb, 0, current)), good(named(tcb, 0, current - 1)));
    EXPECT_EQ(good(named(0, 0, current)), good(named(0, 0, current - 1)));
    expect_status(invalid_param, named(tcb, 0, current + 1));
    expect_status(invalid_param, named(tcb, 0, 1ull << 32)); // of a component that is 0
}

TEST_F(derived_keys, depend_on_the_vmpl)
{
    run_guest();
    std::set<key> keys;
    for (std::uint32_t vmpl = 0; vmpl < vmpls; ++vmpl) {
        key_request r{};
        r.vmpl = vmpl;
        keys.insert(good(r));
        EXPECT_EQ(ask_key(r, 2).status == 0, vmpl >= 2) << "sent by VMPL 2";
    }
    EXPECT_EQ(keys.size(), 4u);
    key_request r{};
    r.vmpl = 4;
    expect_status(invalid_param, r);
}

TEST_F(derived_keys, have_two_roots)
{
    run_guest();
    key_request own = selecting(0), shared = selecting(0);
    own.root_key_select = 1;
    EXPECT_NE(good(own), good(shared));
    const key own_before = good(own), shared_before = good(shared);
    make_it_another_guest();
    EXPECT_NE(good(own), own_before);
    EXPECT_EQ(good(shared), shared_before);
}

TEST_F(derived_keys, refuse_what_is_reserved)
{
    run_guest();
    key_request r{};
    r.root_key_select = 8;
    expect_status(invalid_param, r);
    r.root_key_select = 3 << 1;
    expect_status(invalid_param, r);
    r.root_key_select = 2 << 1; // a VLEK
    expect_status(invalid_key, r);
    r.root_key_select = 1 << 1;
    EXPECT_EQ(good(r), good(selecting(0)));
    r.reserved_04[3] = std::byte{1};
    expect_status(invalid_param, r);
    expect_status(invalid_param, selecting(1 << 6));
    expect_status(invalid_param, selecting(1ull << 63));
}

TEST_F(derived_keys, need_a_vcek_that_the_launch_allows)
{
    ASSERT_EQ(finish(context, 4), success);
    key_request r{};
    expect_status(invalid_key, r);
    r.root_key_select = 1;
    good(r);
}

TEST_F(derived_keys, of_version_2_take_mitigations_in)
{
    run_guest();
    const auto with = [](std::uint64_t fields, std::uint64_t vector) {
        return key_request_2{.first = selecting(fields), .mit_vector = vector};
    };
    EXPECT_EQ(good(with(0, 0)), good(selecting(0)));
    expect_status(invalid_param, with(64, 1)); // not verified at launch
    change_guest().launch_mitigations = 1;
    EXPECT_NE(good(with(64, 1)), good(with(64, 0)));
    EXPECT_EQ(good(with(0, 1)), good(with(0, 0)));
    expect_status(invalid_param, with(128, 0));
}

TEST_F(derived_keys, of_version_2_need_all_of_the_message)
{
    run_guest();
    guest_message m = message(kind::key_request, key_request{});
    m.header.msg_version = 2;
    EXPECT_EQ(send(sealed(m)), invalid_param);
}

} // namespace
} // namespace rmpopt::hw
