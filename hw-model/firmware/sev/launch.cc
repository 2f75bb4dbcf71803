// SPDX-License-Identifier: GPL-2.0-or-later
// The launch of SEV and SEV-ES guests: what is measured and what comes of it (AMD 55766). Memory
// is not encrypted here, so what the commands measure stays as it is.
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t cipher_block = 16;
constexpr std::uint32_t ecdsa_sha256 = 2;

/// The guest must be active for its key to be in use.
firmware_status find_launching(const firmware_call &c, std::uint32_t handle, sev_guest *&guest)
{
    return in_order(
        [&] { return find_sev_guest_in(c, handle, sev_guest_state::launch_update, guest); },
        [&] { return must(guest->asid != 0, inactive); });
}

/// As hardware would write the range encrypted, it must be one that firmware may write.
firmware_status measure_range(firmware_call &c, sev_guest &guest, spa_range range)
{
    return in_order([&] { return check_sev_outputs(c, {range}); },
                    [&] {
                        guest.content.add({c.m.memory().at(range.base, range.bytes), range.bytes});
                    });
}

/// Differs between guests and is no random number.
sev_nonce nonce_of(const sev_guest &guest)
{
    sev_nonce nonce;
    std::ranges::copy(std::as_bytes(std::span("rmpopt nonce", 12)), nonce.begin());
    std::memcpy(nonce.data() + 12, &guest.handle, sizeof guest.handle);
    return nonce;
}

/// HMAC(4, API major, API minor, build, policy, launch digest, nonce; TIK).
sha256_digest measure_of(const firmware_version &api, const sev_guest &guest,
                         const sev_nonce &nonce)
{
    const std::array<std::uint8_t, 4> prefix{4, api.major, api.minor, api.build};
    const sha256_digest digest = guest.content.digest();
    return hmac_sha256(transport_integrity_key,
                       {std::as_bytes(std::span(prefix)),
                        std::as_bytes(std::span(&guest.policy, 1)), digest, nonce});
}

/// The signature of the PEK is none.
attestation_report_structure make_report(const attestation_report_buffer &b, const sev_guest &guest)
{
    attestation_report_structure report{.mnonce = b.mnonce,
                                        .launch_digest = guest.content.digest(),
                                        .policy = guest.policy,
                                        .sig_usage = static_cast<std::uint32_t>(key_usage::pek),
                                        .sig_algo = ecdsa_sha256,
                                        .reserved = {},
                                        .sig1 = {}};
    constexpr std::string_view text = "rmpopt model: this is not a signature";
    std::memcpy(report.sig1.data(), text.data(), text.size());
    return report;
}

} // namespace

/// AMD 55766, LAUNCH_UPDATE_DATA.
firmware_status launch_update_data(firmware_call &c, const launch_update_buffer &b)
{
    const spa_range data = b.data();
    sev_guest *guest = nullptr;
    return in_order([&] { return find_launching(c, b.handle, guest); },
                    must(data.bytes != 0 && is_aligned(data.bytes, cipher_block), invalid_length),
                    must(is_aligned(data.base, cipher_block), invalid_address),
                    [&] { return measure_range(c, *guest, data); });
}

/// AMD 55766, LAUNCH_UPDATE_VMSA. Only SEV-ES guests have such a page; which status others get is
/// not documented.
firmware_status launch_update_vmsa(firmware_call &c, const launch_update_buffer &b)
{
    const spa_range page = b.data();
    sev_guest *guest = nullptr;
    return in_order([&] { return find_launching(c, b.handle, guest); },
                    [&] { return must(guest->is_es(), policy_failure); },
                    must(page.bytes == page_4k, invalid_length),
                    must(is_aligned(page.base, page_4k), invalid_address),
                    [&] { return measure_range(c, *guest, page); });
}

/// AMD 55766, LAUNCH_MEASURE: ends the measured part of the launch, unless the caller only asks for
/// the length.
firmware_status launch_measure(firmware_call &c, launch_measure_buffer &b)
{
    const spa_range out{b.measure_paddr, sizeof(launch_measurement)};
    const auto answer_length = [&] {
        b.measure_len = sizeof(launch_measurement);
        c.write_back = true;
    };
    const bool fits = b.measure_len >= sizeof(launch_measurement);
    sev_guest *guest = nullptr;
    return in_order(
        [&] { return find_sev_guest_in(c, b.handle, sev_guest_state::launch_update, guest); },
        [&] { return check_answer(c); }, [&] { return check_room(fits, answer_length); },
        [&] { return check_sev_outputs(c, {out}); },
        [&] {
            const sev_nonce nonce = nonce_of(*guest);
            guest->measure = measure_of(c.m.cpu().firmware, *guest, nonce);
            guest->state = sev_guest_state::launch_secret;
            c.m.memory().store(out.base,
                               launch_measurement{.measure = guest->measure, .mnonce = nonce});
            answer_length();
        });
}

/// AMD 55766, LAUNCH_FINISH.
firmware_status launch_finish(firmware_call &c, const handle_buffer &b)
{
    sev_guest *guest = nullptr;
    return in_order(
        [&] { return find_sev_guest_in(c, b.handle, sev_guest_state::launch_secret, guest); },
        [&] { guest->state = sev_guest_state::running; });
}

/// AMD 55766, ATTESTATION_REPORT: once the launch digest is final, that is after LAUNCH_MEASURE.
firmware_status attestation_report(firmware_call &c, attestation_report_buffer &b)
{
    const spa_range out{b.report_paddr, sizeof(attestation_report_structure)};
    const auto answer_length = [&] {
        b.report_len = sizeof(attestation_report_structure);
        c.write_back = true;
    };
    const bool fits = b.report_len >= sizeof(attestation_report_structure);
    sev_guest *guest = nullptr;
    return in_order(
        [&] { return find_sev_guest(c, b.handle, guest); },
        [&] { return must(guest->state != sev_guest_state::launch_update, invalid_guest_state); },
        [&] { return check_answer(c); }, [&] { return check_room(fits, answer_length); },
        [&] { return check_sev_outputs(c, {out}); },
        [&] {
            c.m.memory().store(out.base, make_report(b, *guest));
            answer_length();
        });
}

} // namespace rmpopt::hw
