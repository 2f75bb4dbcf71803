// SPDX-License-Identifier: GPL-2.0-or-later
// Launch of SEV and SEV-ES guests: what is measured, secrets, debugging. Expected digests were
// computed with Python's hashlib and hmac and with openssl.
#include "sev_fixture.h"

#include <array>
#include <string>
#include <string_view>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

class sev_launch : public sev_fixture
{
  protected:
    /// The HMACs below begin with the version of the API: 1.55.25.
    void SetUp() override { build("milan", rmp_layout::contiguous); }

    static constexpr spa_t data_page = 0x30000, header_page = 0x50000, packet_page = 0x52000;
    static constexpr std::uint32_t measure_bytes = 48, report_bytes = 208;

    /// Of the bytes 7 * i, 4096 and then 16 of them.
    static constexpr std::string_view digest_of_data =
        "d9dc53c779f51853628215363cf33781e8a0309c0dc48c5fa3123b9cca21d9b8";
    static constexpr std::string_view measure_of_data =
        "e8bc3af1e785fb8c238bb5f4e7919977b41f6d5e6853aa03e6a2522f2c0a231a";
    static constexpr std::string_view measure_of_es_data =
        "f35df0b739513219e5f585d9dcba589c844c24602dc2f4812585a11c24afbf4a";

    /// "an owner's secret, of 32 bytes.." for a guest with nothing measured, IV 0, 1, 2...
    static constexpr std::string_view secret_text = "an owner's secret, of 32 bytes..";
    static constexpr std::string_view secret_data =
        "b7dcfd2c549d5f0e5d1539e795de30ce55975e4ea2632fa7133d23b9db4d59a5";
    static constexpr std::string_view secret_mac =
        "8d6151b7f91936bd31dcec30506b9881499d8c42dda089737fb16edfe0e4e5da";

    void fill_data()
    {
        for (unsigned i = 0; i < page_4k; ++i) {
            m->memory().store(data_page + i, static_cast<std::uint8_t>(i * 7));
        }
    }
    void store_hex(spa_t at, std::string_view hex)
    {
        for (std::size_t i = 0; i < hex.size(); i += 2) {
            m->memory().store(at + i / 2, static_cast<std::uint8_t>(std::stoul(
                                              std::string(hex.substr(i, 2)), nullptr, 16)));
        }
    }
    std::string hex_at(spa_t at, std::uint64_t bytes) const
    {
        std::string out;
        for (spa_t a = at; a < at + bytes; ++a) {
            const unsigned b = load<std::uint8_t>(a);
            out += "0123456789abcdef"[b >> 4];
            out += "0123456789abcdef"[b & 15];
        }
        return out;
    }
    std::string text_at(spa_t at, std::uint64_t bytes) const
    {
        return {reinterpret_cast<const char *>(m->memory().at(at, bytes)), bytes};
    }

    /// A guest of the platform's first handle, active.
    void launch(std::uint32_t policy)
    {
        platform_up_es();
        guest = start(policy);
        ASSERT_EQ(run_with(activate, guest, (policy & es) != 0 ? 1u : 100u), success);
    }
    firmware_status update(spa_t at, std::uint32_t bytes)
    {
        return run_with(launch_update_data, guest, 0u, at, bytes);
    }
    firmware_status update_vmsa(spa_t at, std::uint32_t bytes)
    {
        return run_with(launch_update_vmsa, guest, 0u, at, bytes);
    }
    firmware_status measure(spa_t at = output_page, std::uint32_t bytes = measure_bytes)
    {
        return run_with(launch_measure, guest, 0u, at, bytes);
    }
    firmware_status report(spa_t at = output_page, std::uint32_t bytes = report_bytes)
    {
        return run_with(attestation_report, guest, 0u, at, std::array<std::uint64_t, 2>{11, 12},
                        bytes);
    }
    void prepare_secret()
    {
        m->memory().store(header_page, 0u);
        for (unsigned i = 0; i < 16; ++i) {
            m->memory().store(header_page + 4 + i, static_cast<std::uint8_t>(i));
        }
        store_hex(header_page + 20, secret_mac);
        store_hex(packet_page, secret_data);
    }
    firmware_status secret(std::uint32_t header_bytes = 52, std::uint32_t guest_bytes = 32,
                           std::uint32_t packet_bytes = 32, spa_t to = data_page)
    {
        return run_with(launch_update_secret, guest, 0u, header_page, header_bytes, 0u, to,
                        guest_bytes, 0u, packet_page, packet_bytes);
    }
    firmware_status debug(firmware_command c, spa_t from, spa_t to, std::uint32_t bytes)
    {
        return run_with(c, guest, 0u, from, to, bytes);
    }
    unsigned state_of_guest()
    {
        EXPECT_EQ(by_handle(guest_status, guest), success);
        return load<std::uint8_t>(command_page + 12);
    }

    std::uint32_t guest = 0;
};

TEST_F(sev_launch, goes_through_its_states)
{
    launch(sev);
    EXPECT_EQ(state_of_guest(), 1u);
    EXPECT_EQ(by_handle(launch_finish, guest), invalid_guest_state) << "not measured yet";
    EXPECT_EQ(report(), invalid_guest_state);
    prepare_secret();
    EXPECT_EQ(secret(), invalid_guest_state);
    EXPECT_EQ(measure(), success);
    EXPECT_EQ(state_of_guest(), 2u);
    EXPECT_EQ(measure(), invalid_guest_state);
    EXPECT_EQ(update(data_page, 16), invalid_guest_state);
    EXPECT_EQ(update_vmsa(data_page, 4096), invalid_guest_state);
    EXPECT_EQ(report(), success);
    EXPECT_EQ(by_handle(launch_finish, guest), success);
    EXPECT_EQ(state_of_guest(), 3u);
    EXPECT_EQ(by_handle(launch_finish, guest), invalid_guest_state);
    EXPECT_EQ(secret(), invalid_guest_state);
    EXPECT_EQ(report(), success);
    EXPECT_EQ(by_handle(deactivate, guest), success);
    EXPECT_EQ(by_handle(decommission, guest), success);
}

TEST_F(sev_launch, every_command_needs_the_guest)
{
    constexpr std::array commands{launch_update_data,   launch_update_vmsa, launch_measure,
                                  launch_update_secret, launch_finish,      attestation_report,
                                  dbg_decrypt,          dbg_encrypt};
    for (const firmware_command c : commands) {
        EXPECT_EQ(run_with(c, 1u, 0u), invalid_platform_state);
    }
    launch(sev);
    for (const firmware_command c : commands) {
        EXPECT_EQ(run_with(c, guest + 1, 0u), invalid_guest);
    }
}

TEST_F(sev_launch, what_uses_the_guests_key_needs_it_active)
{
    platform_up_es();
    guest = start(es);
    EXPECT_EQ(update(data_page, 16), inactive);
    EXPECT_EQ(update_vmsa(data_page, 4096), inactive);
    EXPECT_EQ(debug(dbg_decrypt, data_page, output_page, 16), inactive);
    EXPECT_EQ(measure(), success);
    EXPECT_EQ(secret(), inactive);
}

TEST_F(sev_launch, measures_what_was_put_in)
{
    launch(sev);
    fill_data();
    ASSERT_EQ(update(data_page, 4096), success);
    ASSERT_EQ(update(data_page, 16), success);
    EXPECT_EQ(load<std::uint8_t>(data_page + 3), 21) << "memory stays as it is";
    m->memory().store<std::uint8_t>(output_page + 48, 0xee);
    ASSERT_EQ(measure(output_page, 256), success);
    EXPECT_EQ(load<std::uint32_t>(command_page + 16), measure_bytes);
    EXPECT_EQ(hex_at(output_page, 32), measure_of_data);
    EXPECT_EQ(text_at(output_page + 32, 12), "rmpopt nonce");
    EXPECT_EQ(load<std::uint32_t>(output_page + 44), guest);
    EXPECT_EQ(load<std::uint8_t>(output_page + 48), 0xee);
}

TEST_F(sev_launch, measures_the_cpus_of_es_guests_and_the_policy)
{
    launch(es);
    fill_data();
    ASSERT_EQ(update_vmsa(data_page, 4096), success);
    ASSERT_EQ(update(data_page, 16), success);
    ASSERT_EQ(measure(), success);
    EXPECT_EQ(hex_at(output_page, 32), measure_of_es_data);
}

TEST_F(sev_launch, a_failed_update_is_not_measured)
{
    launch(sev);
    fill_data();
    ASSERT_EQ(update(data_page, 4096), success);
    for (const std::uint32_t bad : std::array<std::uint32_t, 4>{0, 8, 4095, ~0u}) {
        EXPECT_EQ(update(data_page, bad), invalid_length) << bad;
    }
    for (const spa_t bad :
         std::array<spa_t, 5>{data_page + 8, low.end() - 16, uncovered, 0xfffffff0, ~0ull << 4}) {
        EXPECT_EQ(update(bad, 32), invalid_address) << bad;
    }
    EXPECT_EQ(update(low.end() - 16, 0xfffffff0), invalid_address) << "4 GB";
    EXPECT_EQ(update(command_page, 32), invalid_address) << "the command itself";
    EXPECT_EQ(update(tmr, 4096), invalid_page_state) << "the trusted region";
    EXPECT_EQ(update(segment, 4096), invalid_page_state) << "the RMP";
    ASSERT_EQ(update(data_page, 16), success);
    ASSERT_EQ(measure(), success);
    EXPECT_EQ(hex_at(output_page, 32), measure_of_data);
}

TEST_F(sev_launch, only_es_guests_have_a_vmsa_of_one_page)
{
    launch(sev);
    EXPECT_EQ(update_vmsa(data_page, 4096), policy_failure);
    guest = start(es);
    ASSERT_EQ(run_with(activate, guest, 1u), success);
    EXPECT_EQ(update_vmsa(data_page, 4080), invalid_length);
    EXPECT_EQ(update_vmsa(data_page, 8192), invalid_length);
    EXPECT_EQ(update_vmsa(data_page + 16, 4096), invalid_address);
    EXPECT_EQ(update_vmsa(high.end(), 4096), invalid_address);
    EXPECT_EQ(update_vmsa(tmr, 4096), invalid_page_state);
    EXPECT_EQ(update_vmsa(data_page, 4096), success);
}

TEST_F(sev_launch, asking_for_lengths_changes_nothing_else)
{
    launch(sev);
    for (const std::uint32_t room : {0u, measure_bytes - 1}) {
        EXPECT_EQ(measure(0, room), invalid_length);
        EXPECT_EQ(load<std::uint32_t>(command_page + 16), measure_bytes);
    }
    EXPECT_EQ(state_of_guest(), 1u);
    ASSERT_EQ(measure(), success);
    for (const std::uint32_t room : {0u, report_bytes - 1}) {
        EXPECT_EQ(report(0, room), invalid_length);
        EXPECT_EQ(load<std::uint32_t>(command_page + 32), report_bytes);
    }
}

TEST_F(sev_launch, answers_go_where_they_may)
{
    launch(sev);
    for (const spa_t bad : {low.end() - 16, uncovered, ~0ul - 20, command_page + 16}) {
        EXPECT_EQ(measure(bad), invalid_address) << bad;
    }
    EXPECT_EQ(measure(tmr), invalid_page_state);
    EXPECT_EQ(state_of_guest(), 1u);
    ASSERT_EQ(measure(), success);
    for (const spa_t bad : {low.end() - 16, uncovered, ~0ul - 20, command_page + 16}) {
        EXPECT_EQ(report(bad), invalid_address) << bad;
    }
    EXPECT_EQ(report(segment), invalid_page_state);
    EXPECT_TRUE(memory_is_zero(low.end() - 16, 16));
}

TEST_F(sev_launch, report_has_nonce_digest_and_policy)
{
    launch(no_key_sharing);
    fill_data();
    ASSERT_EQ(update(data_page, 4096), success);
    ASSERT_EQ(update(data_page, 16), success);
    ASSERT_EQ(measure(), success);
    ASSERT_EQ(report(output_page + 256, 4096), success);
    const spa_t r = output_page + 256;
    EXPECT_EQ(load<std::uint32_t>(command_page + 32), report_bytes);
    EXPECT_EQ(load<std::uint64_t>(r), 11u);
    EXPECT_EQ(load<std::uint64_t>(r + 8), 12u);
    EXPECT_EQ(hex_at(r + 16, 32), digest_of_data);
    EXPECT_EQ(load<std::uint32_t>(r + 48), no_key_sharing);
    EXPECT_EQ(load<std::uint32_t>(r + 52), 0x1002u) << "said to be signed by the PEK";
    EXPECT_EQ(load<std::uint32_t>(r + 56), 2u);
    EXPECT_EQ(text_at(r + 64, 12), "rmpopt model") << "but is not";
    EXPECT_TRUE(memory_is_zero(r + report_bytes, 64));
}

TEST_F(sev_launch, secrets_of_the_owner_arrive)
{
    launch(sev);
    ASSERT_EQ(measure(), success);
    prepare_secret();
    EXPECT_EQ(secret(), success);
    EXPECT_EQ(text_at(data_page, 32), secret_text);
    EXPECT_TRUE(memory_is_zero(data_page + 32, 64));
    EXPECT_EQ(secret(52, 32, 32, data_page + 64), success) << "as often as one likes";
    EXPECT_EQ(text_at(data_page + 64, 32), secret_text);
}

TEST_F(sev_launch, secrets_of_others_do_not)
{
    launch(sev);
    ASSERT_EQ(measure(), success);
    for (const spa_t at : {header_page + 4, header_page + 20, packet_page, packet_page + 31}) {
        prepare_secret();
        m->memory().store<std::uint8_t>(at, load<std::uint8_t>(at) ^ 1);
        EXPECT_EQ(secret(), bad_measurement) << std::hex << at;
    }
    prepare_secret();
    m->memory().store(header_page, 1u);
    EXPECT_EQ(secret(), invalid_param) << "compressed";
    EXPECT_TRUE(memory_is_zero(data_page, page_4k));
}

TEST_F(sev_launch, a_secret_belongs_to_one_measurement)
{
    launch(sev);
    ASSERT_EQ(update(packet_page, 16), success);
    ASSERT_EQ(measure(), success);
    prepare_secret();
    EXPECT_EQ(secret(), bad_measurement);
}

TEST_F(sev_launch, secrets_have_their_lengths_and_places)
{
    launch(sev);
    ASSERT_EQ(measure(), success);
    prepare_secret();
    EXPECT_EQ(secret(51), invalid_length);
    EXPECT_EQ(secret(52, 0, 0), invalid_length);
    EXPECT_EQ(secret(52, 24, 24), invalid_length);
    EXPECT_EQ(secret(52, 32, 48), invalid_length);
    EXPECT_EQ(secret(52, 16400, 16400), invalid_length);
    EXPECT_EQ(secret(52, 16384, 16384), bad_measurement) << "the most there may be";
    EXPECT_EQ(secret(52, 32, 32, data_page + 8), invalid_address);
    EXPECT_EQ(secret(52, 32, 32, low.end() - 16), invalid_address);
    EXPECT_EQ(secret(52, 32, 32, uncovered), invalid_address);
    EXPECT_EQ(secret(52, 32, 32, command_page + 48), invalid_address);
    EXPECT_EQ(secret(52, 32, 32, tmr), invalid_page_state);
    EXPECT_EQ(run_with(launch_update_secret, guest, 0u, low.end() - 8, 52u, 0u, data_page, 32u, 0u,
                       packet_page, 32u),
              invalid_address);
    EXPECT_EQ(run_with(launch_update_secret, guest, 0u, header_page, 52u, 0u, data_page, 32u, 0u,
                       uncovered, 32u),
              invalid_address);
    EXPECT_TRUE(memory_is_zero(data_page, page_4k));
}

TEST_F(sev_launch, debugging_copies)
{
    launch(sev);
    fill_data();
    ASSERT_EQ(debug(dbg_decrypt, data_page + 16, output_page, 64), success);
    EXPECT_EQ(hex_at(output_page, 64), hex_at(data_page + 16, 64));
    EXPECT_TRUE(memory_is_zero(output_page + 64, 64));
    const std::string before = hex_at(data_page, 64);
    ASSERT_EQ(debug(dbg_encrypt, data_page, data_page + 16, 64), success);
    EXPECT_EQ(hex_at(data_page + 16, 64), before) << "also where the two overlap";
    EXPECT_EQ(debug(dbg_encrypt, data_page, data_page, 4096), success);
}

TEST_F(sev_launch, debugging_is_refused_where_it_must)
{
    launch(no_debug);
    EXPECT_EQ(debug(dbg_decrypt, data_page, output_page, 16), policy_failure);
    EXPECT_EQ(debug(dbg_encrypt, data_page, output_page, 16), policy_failure);
    guest = start(sev);
    ASSERT_EQ(run_with(activate, guest, 101u), success);
    EXPECT_EQ(debug(dbg_decrypt, data_page, output_page, 0), invalid_length);
    EXPECT_EQ(debug(dbg_decrypt, data_page, output_page, 17), invalid_length);
    EXPECT_EQ(debug(dbg_decrypt, data_page + 8, output_page, 16), invalid_address);
    EXPECT_EQ(debug(dbg_decrypt, data_page, output_page + 8, 16), invalid_address);
    EXPECT_EQ(debug(dbg_decrypt, uncovered, output_page, 16), invalid_address);
    EXPECT_EQ(debug(dbg_decrypt, data_page, low.end() - 16, 32), invalid_address);
    EXPECT_EQ(debug(dbg_decrypt, data_page, command_page, 16), invalid_address);
    EXPECT_EQ(debug(dbg_decrypt, segment, output_page, 16), invalid_page_state);
    EXPECT_EQ(debug(dbg_decrypt, tmr, output_page, 16), invalid_page_state);
    EXPECT_EQ(debug(dbg_encrypt, data_page, tmr, 16), invalid_page_state);
    EXPECT_TRUE(memory_is_zero(output_page, page_4k));
}

TEST_F(sev_launch, with_snp_memory_is_firmware_owned_meanwhile)
{
    snp_up();
    platform_up();
    make_firmware(command_page);
    guest = start(sev);
    ASSERT_EQ(run_with(activate, guest, 100u), success);
    EXPECT_EQ(update(data_page, 4096), invalid_page_state);
    EXPECT_EQ(debug(dbg_encrypt, packet_page, data_page, 16), invalid_page_state);
    set(packet_page, guest_entry(false, true));
    make_firmware(data_page);
    EXPECT_EQ(update(data_page, 4096), success);
    EXPECT_EQ(update(data_page, 8192), invalid_page_state);
    EXPECT_EQ(debug(dbg_decrypt, packet_page, data_page, 16), invalid_page_state)
        << "an SNP guest's page";
    EXPECT_EQ(debug(dbg_decrypt, header_page, data_page, 16), success) << "the hypervisor's";
    EXPECT_EQ(measure(), invalid_page_state);
    make_firmware(output_page);
    EXPECT_EQ(measure(), success);
    EXPECT_EQ(secret(52, 32, 32, header_page), invalid_page_state);
    set(command_page, rmp_entry{});
    EXPECT_EQ(report(), invalid_page_state);
}

TEST_F(sev_launch, migration_is_unsupported)
{
    launch(sev);
    for (const firmware_command c :
         {send_start, send_update_data, send_update_vmsa, send_finish, send_cancel, receive_start,
          receive_update_data, receive_update_vmsa, receive_finish}) {
        EXPECT_EQ(by_handle(c, guest), unsupported);
    }
}

} // namespace
} // namespace rmpopt::hw
