// SPDX-License-Identifier: GPL-2.0-or-later
// MSG_REPORT_REQ: what firmware attests of a guest and of the platform (AMD 56860).
#include "hw-model/firmware/common/chip.h"
#include "hw-model/firmware/snp/guest_messages.h"

namespace rmpopt::hw
{

namespace
{

using report = snp_report;

std::uint64_t platform_info(const firmware_call &c)
{
    return (smt_is_on(c.m) ? report::smt_en : 0) | (c.s.rapl_disabled ? report::rapl_dis : 0) |
           (c.s.max_snp_asid != 0 ? report::ciphertext_hiding : 0) |
           (c.s.alias_check_complete ? report::alias_check_complete : 0);
}

/// There is one firmware, so it is always the committed one.
report::firmware_number number_of(const firmware_version &v)
{
    return {.build = v.build, .minor = v.minor, .major = v.major, .reserved = {}};
}

std::array<std::byte, 32> agent_report_id(const snp_guest &guest)
{
    std::array<std::byte, 32> nobody;
    nobody.fill(std::byte{0xff});
    return guest.agent_serial == 0 ? nobody : report_id(guest.agent_serial);
}

/// Chips of family 1Ah have an id of 8 bytes (AMDESE/AMDSEV issue 285).
chip_id reported_chip_id(const firmware_call &c)
{
    chip_id id = c.s.mask_chip_id ? chip_id{} : own_chip_id();
    if (c.m.cpu().family >= 0x1a) {
        std::fill(id.begin() + 8, id.end(), std::byte{});
    }
    return id;
}

void add_guest(report &out, const snp_guest &guest)
{
    out.guest_svn = guest.identity.guest_svn;
    out.policy = guest.policy;
    out.family_id = guest.identity.family_id;
    out.image_id = guest.identity.image_id;
    out.key_info |= guest.identity.has_author ? report::author_key_en : 0;
    out.measurement = guest.launch_digest;
    out.host_data = guest.host_data;
    out.id_key_digest = guest.identity.id_key_digest;
    out.author_key_digest = guest.identity.author_key_digest;
    out.report_id = report_id(guest.serial);
    out.report_id_ma = agent_report_id(guest);
    out.launch_tcb = guest.launch_tcb;
}

void add_platform(report &out, const firmware_call &c)
{
    out.current_tcb = out.committed_tcb = c.s.current_tcb;
    out.reported_tcb = c.s.reported_tcb;
    out.platform_info = platform_info(c);
    out.key_info |= c.s.mask_chip_key ? report::mask_chip_key | report::signed_by_nobody : 0;
    out.chip_id = reported_chip_id(c);
    out.current = out.committed = number_of(c.m.cpu().firmware);
}

/// Fields that came with later versions of the format.
void add_later_fields(report &out, const firmware_call &c, const snp_guest &guest)
{
    if (out.version >= 3) {
        out.cpuid_fam_id = static_cast<std::uint8_t>(c.m.cpu().family);
        out.cpuid_mod_id = static_cast<std::uint8_t>(c.m.cpu().model_first);
    }
    if (out.version >= 5) {
        out.launch_mit_vector = guest.launch_mitigations;
        out.current_mit_vector = c.s.mitigations_verified;
    }
}

/// A masked key signs nothing.
void sign(report &out, const firmware_call &c)
{
    out.signature_algo = report::ecdsa_p384_sha384;
    if (!c.s.mask_chip_key) {
        out.signature = to_abi(
            p384_sign(versioned_endorsement_key(c.s.reported_tcb), sha384(out.signed_part())));
    }
}

} // namespace

/// ABI 1.58 has version 5, and firmware has it from 1.55.45 on (edgelesssys/contrast, pull request
/// 1688). 1.55.31 writes version 4, whose layout is that of version 3 (google/go-sev-guest, pull
/// request 158). That an older 1.55 writes version 3 is assumed.
std::uint32_t report_version(const firmware_version &firmware)
{
    const auto is_from = [&firmware](unsigned minor, unsigned build) {
        return firmware.minor > minor || (firmware.minor == minor && firmware.build >= build);
    };
    return is_from(55, 45) ? 5 : is_from(55, 31) ? 4 : 3;
}

report_response answer_report_request(const guest_call &call, const report_request &r)
{
    report_response out{};
    const firmware_status status = in_order(
        must(reserved_zero(r.reserved) && speaks_for(call, r.vmpl), invalid_param),
        [&] { return check_endorsement_key(call, r.key_sel); },
        [&] {
            out.report_size = sizeof out.report;
            out.report.version = report_version(call.c.m.cpu().firmware);
            out.report.vmpl = r.vmpl;
            out.report.report_data = r.report_data;
            add_guest(out.report, call.guest);
            add_platform(out.report, call.c);
            add_later_fields(out.report, call.c, call.guest);
            sign(out.report, call.c);
        });
    out.status = static_cast<std::uint32_t>(status);
    return out;
}

} // namespace rmpopt::hw
