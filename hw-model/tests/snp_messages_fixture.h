// SPDX-License-Identifier: GPL-2.0-or-later
// A running guest that talks to firmware.
#pragma once

#include "snp_guest_fixture.h"
#include "snp_messages.h"

namespace rmpopt::hw
{

class snp_messages_fixture : public snp_guest_fixture
{
  protected:
    static constexpr spa_t request = 0x30000, response = 0x31000, secrets_page = 0x102000;

    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch();
        pre_guest(page);
        fill(page, 0x5a);
        ASSERT_EQ(update(normal, page), firmware_status::success);
        pre_guest(secrets_page, gpa + page_4k);
        ASSERT_EQ(update(secrets, secrets_page), firmware_status::success);
        make_firmware(response);
    }
    /// As the guest finds it in its secrets page.
    aes256_key vmpck(unsigned vmpl) const
    {
        return load<aes256_key>(secrets_page + 0x20 + 32ull * vmpl);
    }
    firmware_status ask(spa_t from = request, spa_t to = response)
    {
        return run_with(firmware_command::snp_guest_request, context, from, to);
    }
    firmware_status send(const guest_message &sent)
    {
        m->memory().store(request, sent);
        return ask();
    }
    template <class Request>
    guest_message message(guest_message_type type, const Request &r, std::uint8_t vmpl = 0) const
    {
        return make_message(type, std::as_bytes(std::span(&r, 1)), guest().messages.at(vmpl) + 1,
                            vmpl);
    }
    guest_message sealed(guest_message m) const
    {
        seal_message(m, vmpck(m.header.msg_vmpck % vmpls));
        return m;
    }
    guest_message answer() const { return load<guest_message>(response); }

    /// Sends a message that firmware accepts, and returns what it says to it.
    template <class Response, class Request>
    Response exchange(guest_message_type type, const Request &r, std::uint8_t vmpl = 0,
                      std::uint8_t version = 1)
    {
        guest_message m = message(type, r, vmpl);
        m.header.msg_version = version;
        EXPECT_EQ(send(sealed(m)), firmware_status::success);
        const auto opened = open_message<Response>(answer(), vmpck(vmpl));
        EXPECT_TRUE(opened.has_value());
        return opened.value_or(Response{});
    }
    report_response ask_report(const report_request &r, std::uint8_t vmpl = 0)
    {
        return exchange<report_response>(guest_message_type::report_request, r, vmpl);
    }
    snp_report good_report(const report_request &r = {}, std::uint8_t vmpl = 0)
    {
        const report_response out = ask_report(r, vmpl);
        EXPECT_EQ(out.status, 0u);
        EXPECT_EQ(out.report_size, sizeof out.report);
        return out.report;
    }
    /// What no command could make of the guest.
    snp_guest &change_guest() { return firmware_inside::change_guest(*fw, context); }
    void run_guest() { ASSERT_EQ(finish(context), firmware_status::success); }
};

} // namespace rmpopt::hw
