// SPDX-License-Identifier: GPL-2.0-or-later
// MSG_REPORT_REQ: who gets a report, what is in it, and who has signed it.
#include "hw-model/firmware/common/chip.h"
#include "snp_messages_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;
using report = snp_report;

constexpr std::uint32_t as_number(firmware_status s)
{
    return static_cast<std::uint32_t>(s);
}

class attestation_reports : public snp_messages_fixture
{
  protected:
    static report_request asking(std::uint32_t vmpl = 0, std::uint32_t key_sel = 0)
    {
        report_request r{};
        r.report_data.fill(std::byte{0xda});
        r.vmpl = vmpl;
        r.key_sel = key_sel;
        return r;
    }
    firmware_status config(std::uint64_t tcb, std::uint32_t flags = 0)
    {
        return run_with(snp_config, tcb, flags, std::array<std::uint32_t, 13>{});
    }
    std::uint64_t tcb() const { return firmware_tcb(m->cpu()); }

    /// As a verifier does it.
    static bool is_signed_by(const report &r, std::uint64_t by_tcb)
    {
        p384_signature s;
        return read_number(r.signature.r, s.r) && read_number(r.signature.s, s.s) &&
               p384_verify(p384_public_key(versioned_endorsement_key(by_tcb)), s,
                           sha384(r.signed_part()));
    }
    void expect_status(firmware_status status, const report_request &r, std::uint8_t vmpl = 0)
    {
        const std::uint64_t before = guest().messages.at(vmpl);
        const report_response out = ask_report(r, vmpl);
        EXPECT_EQ(out.status, as_number(status));
        EXPECT_EQ(out.report_size, 0u);
        EXPECT_EQ(out.report.version, 0u);
        EXPECT_EQ(guest().messages.at(vmpl), before + 2) << "the message itself was good";
    }
};

TEST_F(attestation_reports, say_what_firmware_knows)
{
    run_guest();
    const report r = good_report(asking(2));
    EXPECT_EQ(r.version, 5u);
    EXPECT_EQ(r.guest_svn, 0u);
    EXPECT_EQ(r.policy, policy);
    EXPECT_EQ(r.vmpl, 2u);
    EXPECT_EQ(r.signature_algo, 1u);
    EXPECT_EQ(r.report_data, asking().report_data);
    EXPECT_EQ(r.measurement, guest().launch_digest);
    EXPECT_NE(r.measurement, sha384_digest{});
    EXPECT_EQ(r.current_tcb, tcb());
    EXPECT_EQ(r.committed_tcb, tcb());
    EXPECT_EQ(r.reported_tcb, tcb());
    EXPECT_EQ(r.launch_tcb, tcb());
    EXPECT_EQ(r.key_info, 0u);
    EXPECT_EQ(r.cpuid_fam_id, 0x1a);
    EXPECT_EQ(r.cpuid_mod_id, 0x50);
    EXPECT_EQ(r.cpuid_step, 0);
    EXPECT_EQ(r.platform_info, report::smt_en | report::alias_check_complete);
    for (const auto &number : {r.current, r.committed}) {
        EXPECT_EQ(number.major, 1);
        EXPECT_EQ(number.minor, 58);
        EXPECT_EQ(number.build, 5);
    }
}

TEST_F(attestation_reports, name_the_chip)
{
    run_guest();
    const report r = good_report();
    std::array<std::byte, 64> id{};
    std::copy_n(own_chip_id().begin(), 8, id.begin());
    EXPECT_EQ(r.chip_id, id);
    ASSERT_EQ(config(0, 1), success);
    EXPECT_EQ(good_report().chip_id, chip_id{}) << "masked";
}

TEST_F(attestation_reports, are_signed)
{
    run_guest();
    const report r = good_report(asking());
    EXPECT_TRUE(is_signed_by(r, tcb()));
    for (std::size_t at = 0; at < 0x2a0; ++at) {
        report flipped = r;
        reinterpret_cast<std::byte *>(&flipped)[at] ^= std::byte{1};
        ASSERT_FALSE(is_signed_by(flipped, tcb())) << at;
    }
    EXPECT_TRUE(is_signed_by(good_report(asking(0, 1)), tcb())) << "by name of the key";
}

TEST_F(attestation_reports, are_signed_for_the_reported_tcb)
{
    run_guest();
    const std::uint64_t older = tcb() - 1;
    ASSERT_EQ(config(older), success);
    const report r = good_report();
    EXPECT_EQ(r.reported_tcb, older);
    EXPECT_EQ(r.current_tcb, tcb());
    EXPECT_TRUE(is_signed_by(r, older));
    EXPECT_FALSE(is_signed_by(r, tcb()));
}

TEST_F(attestation_reports, are_not_signed_with_a_masked_key)
{
    run_guest();
    ASSERT_EQ(config(0, 2), success);
    const report r = good_report();
    EXPECT_EQ(r.key_info, report::mask_chip_key | report::signed_by_nobody);
    EXPECT_EQ(r.signature.r.digits, p384_number{});
    EXPECT_EQ(r.signature.s.digits, p384_number{});
}

TEST_F(attestation_reports, are_the_same_for_the_same_question)
{
    run_guest();
    const report first = good_report(asking()), second = good_report(asking());
    EXPECT_EQ(std::memcmp(&first, &second, sizeof first), 0);
}

TEST_F(attestation_reports, speak_for_the_senders_vmpl_or_lower_ones)
{
    run_guest();
    for (std::uint8_t sender = 0; sender < vmpls; ++sender) {
        for (std::uint32_t vmpl = 0; vmpl < vmpls; ++vmpl) {
            if (vmpl >= sender) {
                EXPECT_EQ(good_report(asking(vmpl), sender).vmpl, vmpl);
            } else {
                expect_status(invalid_param, asking(vmpl), sender);
            }
        }
    }
    expect_status(invalid_param, asking(4));
    expect_status(invalid_param, asking(~0u));
}

TEST_F(attestation_reports, refuse_reserved_bits_and_keys)
{
    run_guest();
    report_request r = asking();
    r.reserved[23] = std::byte{1};
    expect_status(invalid_param, r);
    expect_status(invalid_param, asking(0, 3));
    expect_status(invalid_param, asking(0, 4));
    expect_status(invalid_key, asking(0, 2));
}

TEST_F(attestation_reports, need_a_vcek_that_the_launch_allows)
{
    ASSERT_EQ(finish(context, 4), success);
    expect_status(invalid_key, asking());
    expect_status(invalid_key, asking(0, 1));
}

TEST_F(attestation_reports, know_the_hosts_data)
{
    const std::array<std::uint64_t, 4> data{1, 2, 3, 4};
    ASSERT_EQ(run_with(snp_launch_finish, context, spa_t{0}, spa_t{0}, std::uint64_t{0}, data),
              success);
    const report r = good_report();
    EXPECT_EQ(std::memcmp(r.host_data.data(), data.data(), sizeof data), 0);
}

TEST_F(attestation_reports, tell_guests_apart)
{
    run_guest();
    const report r = good_report();
    EXPECT_EQ(r.report_id, report_id(guest().serial));
    EXPECT_NE(r.report_id, report_id(guest().serial + 1));
    std::array<std::byte, 32> nobody;
    nobody.fill(std::byte{0xff});
    EXPECT_EQ(r.report_id_ma, nobody);
}

TEST_F(attestation_reports, know_the_mitigations_at_launch_and_now)
{
    run_guest();
    EXPECT_EQ(good_report().current_mit_vector, 0u);
    ASSERT_EQ(run_with(snp_verify_mitigation, 64u, 1u, 1ull, std::array<std::uint64_t, 6>{}),
              success);
    const report r = good_report();
    EXPECT_EQ(r.current_mit_vector, 1u);
    EXPECT_EQ(r.launch_mit_vector, 0u);
}

TEST_F(attestation_reports, have_the_version_of_the_firmware)
{
    EXPECT_EQ(report_version({.major = 1, .minor = 54, .build = 99}), 3u);
    EXPECT_EQ(report_version({.major = 1, .minor = 55, .build = 30}), 3u);
    EXPECT_EQ(report_version({.major = 1, .minor = 55, .build = 31}), 4u);
    EXPECT_EQ(report_version({.major = 1, .minor = 55, .build = 44}), 4u);
    EXPECT_EQ(report_version({.major = 1, .minor = 55, .build = 45}), 5u);
    EXPECT_EQ(report_version({.major = 1, .minor = 56, .build = 0}), 5u);
}

class attestation_reports_of_a_shielded_platform : public attestation_reports
{
  protected:
    firmware_status initialise() override
    {
        const std::uint64_t max_snp_asid = asid;
        return run_with(snp_init_ex, 1u | 1u << 2 | 1u << 3, 0u, spa_t{0}, max_snp_asid,
                        std::array<std::uint64_t, 5>{});
    }
};

TEST_F(attestation_reports_of_a_shielded_platform, say_so)
{
    run_guest();
    EXPECT_EQ(good_report().platform_info, report::smt_en | report::alias_check_complete |
                                               report::rapl_dis | report::ciphertext_hiding);
}

class attestation_reports_without_smt : public attestation_reports
{
  protected:
    std::vector<unsigned> core_of_thread() const override { return {0, 1, 2, 3}; }
};

TEST_F(attestation_reports_without_smt, do_not_claim_it)
{
    run_guest();
    EXPECT_EQ(good_report().platform_info, report::alias_check_complete);
}

class older_attestation_reports : public attestation_reports
{
  protected:
    std::string_view model() const override { return "milan"; }
};

TEST_F(older_attestation_reports, have_fewer_fields)
{
    run_guest();
    const report r = good_report();
    EXPECT_EQ(r.version, 3u);
    EXPECT_EQ(r.cpuid_fam_id, 0x19);
    EXPECT_EQ(r.chip_id, own_chip_id()) << "all of it";
    EXPECT_EQ(r.current_tcb, tcb());
    EXPECT_TRUE(is_signed_by(r, tcb()));
}

/// A guest with a migration agent, whose report id is in the guest's reports.
TEST_F(attestation_reports, name_the_migration_agent)
{
    constexpr spa_t agent = other_context;
    make_context(agent);
    const std::uint64_t agent_serial = guests().at(agent).serial;
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(reclaim(context), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    for (const spa_t at : {page, secrets_page}) {
        rmp_changes ignored;
        ASSERT_EQ(rmpupdate(*m, at, rmp_record{}, ignored), rmp_status::success);
    }
    make_context();
    ASSERT_EQ(start(context, policy | 1u << 18, 1, agent), success);
    ASSERT_EQ(activate(context, asid), success);
    pre_guest(secrets_page);
    ASSERT_EQ(update(secrets, secrets_page), success);
    run_guest();
    EXPECT_EQ(good_report().report_id_ma, report_id(agent_serial));
}

} // namespace
} // namespace rmpopt::hw
