// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_GUEST_REQUEST: which messages firmware accepts, and what it does with their numbers.
#include "snp_messages_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_status;
using kind = guest_message_type;

class snp_guest_requests : public snp_messages_fixture
{
  protected:
    /// A request for a report with this change, sealed or not, is refused and changes nothing.
    template <class Change>
    void expect_refused(firmware_status status, Change change, bool sealed_after = true)
    {
        guest_message m = message(kind::report_request, report_request{});
        if (!sealed_after) {
            m = sealed(m);
        }
        change(m);
        const snp_guest before = guest();
        EXPECT_EQ(send(sealed_after ? sealed(m) : m), status);
        EXPECT_EQ(guest(), before);
        EXPECT_TRUE(memory_is_zero(response, page_4k));
        EXPECT_EQ(state(response), page_state::firmware);
    }
    template <class Change> void expect_bad_header(Change change)
    {
        expect_refused(invalid_param, [&](guest_message &m) { change(m.header); });
    }
};

TEST_F(snp_guest_requests, need_a_running_guest)
{
    EXPECT_EQ(send(sealed(message(kind::report_request, report_request{}))), invalid_guest_state);
    run_guest();
    EXPECT_EQ(send(sealed(message(kind::report_request, report_request{}))), success);
}

TEST_F(snp_guest_requests, check_the_pages)
{
    run_guest();
    m->memory().store(request, sealed(message(kind::report_request, report_request{})));
    EXPECT_EQ(ask(request + 8), invalid_address);
    EXPECT_EQ(ask(low.end()), invalid_address);
    EXPECT_EQ(ask(response, response), invalid_address);
    EXPECT_EQ(ask(request, response + 8), invalid_address);
    EXPECT_EQ(ask(request, output_page), invalid_page_state);
    EXPECT_EQ(ask(request, context), invalid_page_state);
    EXPECT_EQ(ask(), success) << "none of them has used up the number";
}

TEST_F(snp_guest_requests, check_the_header)
{
    run_guest();
    using header = guest_message_header;
    expect_bad_header([](header &h) { h.algo = 0; });
    expect_bad_header([](header &h) { h.algo = 2; });
    expect_bad_header([](header &h) { h.hdr_version = 2; });
    expect_bad_header([](header &h) { h.hdr_size = 0x61; });
    expect_bad_header([](header &h) { h.msg_vmpck = 4; });
    expect_bad_header([](header &h) { h.reserved_28[7] = std::byte{1}; });
    expect_bad_header([](header &h) { h.reserved_38[3] = std::byte{1}; });
    expect_bad_header([](header &h) { h.reserved_3d[34] = std::byte{1}; });
    expect_bad_header([](header &h) { h.msg_type = 1; });
    expect_bad_header([](header &h) { h.msg_type = 6; });
    expect_bad_header([](header &h) { h.msg_version = 0; });
    expect_bad_header([](header &h) { h.msg_version = 2; });
    expect_bad_header([](header &h) { h.msg_size = 0x5f; });
    expect_bad_header([](header &h) { h.msg_size = 0xfa1; });
}

TEST_F(snp_guest_requests, take_more_than_the_message_has)
{
    run_guest();
    guest_message m = message(kind::report_request, report_request{});
    m.header.msg_size = 0xfa0;
    EXPECT_EQ(send(sealed(m)), success);
}

TEST_F(snp_guest_requests, number_messages_one_by_one)
{
    run_guest();
    expect_refused(aead_oflow, [](guest_message &m) { m.header.msg_seqno = 0; });
    expect_refused(aead_oflow, [](guest_message &m) { m.header.msg_seqno = 2; });
    const guest_message first = sealed(message(kind::report_request, report_request{}));
    EXPECT_EQ(send(first), success);
    EXPECT_EQ(answer().header.msg_seqno, 2u);
    EXPECT_EQ(send(first), aead_oflow) << "once more";
    good_report();
    EXPECT_EQ(answer().header.msg_seqno, 4u);
}

TEST_F(snp_guest_requests, have_a_sequence_for_each_vmpl)
{
    run_guest();
    for (std::uint8_t vmpl = 0; vmpl < vmpls; ++vmpl) {
        good_report({.report_data = {}, .vmpl = 3, .key_sel = 0, .reserved = {}}, vmpl);
        EXPECT_EQ(answer().header.msg_seqno, 2u);
        EXPECT_EQ(answer().header.msg_vmpck, vmpl);
    }
    EXPECT_EQ(guest().messages, (std::array<std::uint64_t, 4>{2, 2, 2, 2}));
}

TEST_F(snp_guest_requests, end_with_the_last_number)
{
    run_guest();
    change_guest().messages[0] = ~0ull - 2;
    EXPECT_EQ(send(sealed(message(kind::report_request, report_request{}))), success);
    EXPECT_EQ(send(sealed(message(kind::report_request, report_request{}))), aead_oflow);
    change_guest().messages[0] = ~0ull - 1;
    EXPECT_EQ(send(sealed(message(kind::report_request, report_request{}))), aead_oflow);
}

TEST_F(snp_guest_requests, authenticate_the_message)
{
    run_guest();
    const auto not_authentic = [this](auto change) {
        expect_refused(bad_measurement, change, false);
    };
    not_authentic([](guest_message &m) { m.header.authtag[0] ^= std::byte{1}; });
    not_authentic([](guest_message &m) { m.header.authtag[15] ^= std::byte{1}; });
    not_authentic([](guest_message &m) { m.payload[0] ^= std::byte{1}; });
    not_authentic([](guest_message &m) { m.payload[0x5f] ^= std::byte{1}; });
    not_authentic([](guest_message &m) { ++m.header.msg_size; });
    not_authentic([](guest_message &m) { m.header.msg_vmpck = 1; });
    not_authentic(
        [](guest_message &m) { m.header.msg_type = static_cast<std::uint8_t>(kind::key_request); });
    good_report();
}

TEST_F(snp_guest_requests, answer_with_the_header_that_drivers_check)
{
    run_guest();
    good_report();
    const guest_message_header h = answer().header;
    EXPECT_EQ(h.algo, 1);
    EXPECT_EQ(h.hdr_version, 1);
    EXPECT_EQ(h.hdr_size, 0x60);
    EXPECT_EQ(h.msg_type, 6);
    EXPECT_EQ(h.msg_version, 1);
    EXPECT_EQ(h.msg_size, 0x4c0);
    EXPECT_EQ(state(response), page_state::firmware) << "for the next answer";
    EXPECT_TRUE(open_message<report_response>(answer(), vmpck(0)));
    EXPECT_FALSE(open_message<report_response>(answer(), vmpck(1)));
}

TEST_F(snp_guest_requests, keys_differ_by_vmpl_and_guest)
{
    std::set<aes256_key> keys;
    for (unsigned vmpl = 0; vmpl < vmpls; ++vmpl) {
        keys.insert(vmpck(vmpl));
    }
    launch(other_context, asid + 1);
    pre_guest(other_page, gpa, asid + 1);
    ASSERT_EQ(update(secrets, other_page, 0, 0, other_context), success);
    for (spa_t at = other_page + 0x20; at < other_page + 0xa0; at += 32) {
        keys.insert(load<aes256_key>(at));
    }
    EXPECT_EQ(keys.size(), 8u);
}

TEST_F(snp_guest_requests, tell_that_the_tsc_is_as_it_is)
{
    run_guest();
    const auto tsc = exchange<tsc_info_response>(kind::tsc_info_request, tsc_info_request{});
    EXPECT_EQ(tsc.status, 0u);
    EXPECT_EQ(tsc.guest_tsc_scale, 1ull << 32);
    EXPECT_EQ(tsc.guest_tsc_offset, 0u);
    EXPECT_EQ(tsc.tsc_factor, 0u);
    EXPECT_EQ(answer().header.msg_type, 18);
    EXPECT_EQ(answer().header.msg_size, 128);
}

} // namespace
} // namespace rmpopt::hw
