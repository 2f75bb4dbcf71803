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
constexpr std::uint32_t measure_bytes = 48; ///< HMAC, nonce
constexpr std::uint32_t report_bytes = 208;
constexpr std::size_t report_signature_usage = 0x34, report_signature = 0x40;
constexpr std::uint32_t ecdsa_sha256 = 2;

/// handle, address at 8, length at 16; the guest must be active for its key to be in use.
firmware_status find_launching(const firmware_call &c, sev_guest *&guest)
{
    const firmware_status status = find_sev_guest_in(c, sev_guest_state::launch_update, guest);
    if (status != firmware_status::success) {
        return status;
    }
    return guest->asid != 0 ? firmware_status::success : firmware_status::inactive;
}

/// As hardware would write the range encrypted, it must be one that firmware may write.
firmware_status measure_range(firmware_call &c, sev_guest &guest, spa_range range)
{
    const firmware_status status = check_sev_outputs(c, {range});
    if (status == firmware_status::success) {
        guest.content.add({c.m.memory().at(range.base, range.bytes), range.bytes});
    }
    return status;
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
sha256_digest measure_of(const sev_guest &guest, const sev_nonce &nonce)
{
    constexpr std::array<std::uint8_t, 4> prefix{4, api_major, api_minor, api_build};
    const sha256_digest digest = guest.content.digest();
    return hmac_sha256(transport_integrity_key,
                       {std::as_bytes(std::span(prefix)),
                        std::as_bytes(std::span(&guest.policy, 1)), digest, nonce});
}

void write_measure(const firmware_call &c, spa_t out, const sha256_digest &measure,
                   const sev_nonce &nonce)
{
    c.m.memory().write(out, measure.data(), measure.size());
    c.m.memory().write(out + measure.size(), nonce.data(), nonce.size());
}

/// Nonce of the caller, launch digest, policy, signature of the PEK, which is none.
std::array<std::byte, report_bytes> make_report(const firmware_call &c, const sev_guest &guest)
{
    std::array<std::byte, report_bytes> report{};
    const auto put = [&report](std::size_t offset, const auto &value) {
        std::memcpy(report.data() + offset, &value, sizeof value);
    };
    put(0, c.get<sev_nonce>(16));
    put(16, guest.content.digest());
    put(48, guest.policy);
    put(report_signature_usage, key_usage::pek);
    put(report_signature_usage + 4, ecdsa_sha256);
    constexpr std::string_view text = "rmpopt model: this is not a signature";
    std::memcpy(report.data() + report_signature, text.data(), text.size());
    return report;
}

} // namespace

firmware_status launch_update_data(firmware_call &c)
{
    sev_guest *guest = nullptr;
    const firmware_status status = find_launching(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    const spa_range data{c.get_address(8), c.get<std::uint32_t>(16)};
    if (data.bytes == 0 || !is_aligned(data.bytes, cipher_block)) {
        return firmware_status::invalid_length;
    }
    if (!is_aligned(data.base, cipher_block)) {
        return firmware_status::invalid_address;
    }
    return measure_range(c, *guest, data);
}

/// Only SEV-ES guests have such a page. Which status others get is nowhere written.
firmware_status launch_update_vmsa(firmware_call &c)
{
    sev_guest *guest = nullptr;
    const firmware_status status = find_launching(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (!guest->is_es()) {
        return firmware_status::policy_failure;
    }
    const spa_range page{c.get_address(8), c.get<std::uint32_t>(16)};
    if (page.bytes != page_4k) {
        return firmware_status::invalid_length;
    }
    if (!is_aligned(page.base, page_4k)) {
        return firmware_status::invalid_address;
    }
    return measure_range(c, *guest, page);
}

/// Ends the measured part of the launch, unless the caller only asks for the length.
firmware_status launch_measure(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_sev_guest_in(c, sev_guest_state::launch_update, guest);
    if (status == firmware_status::success) {
        status = check_answer(c);
    }
    if (status != firmware_status::success) {
        return status;
    }
    if (c.get<std::uint32_t>(16) < measure_bytes) {
        return answer_length(c, 16, measure_bytes);
    }
    const spa_range out{c.get_address(8), measure_bytes};
    status = check_sev_outputs(c, {out});
    if (status != firmware_status::success) {
        return status;
    }
    const sev_nonce nonce = nonce_of(*guest);
    guest->measure = measure_of(*guest, nonce);
    guest->state = sev_guest_state::launch_secret;
    write_measure(c, out.base, guest->measure, nonce);
    c.put(16, measure_bytes);
    c.write_back = true;
    return firmware_status::success;
}

firmware_status launch_finish(firmware_call &c)
{
    sev_guest *guest = nullptr;
    const firmware_status status = find_sev_guest_in(c, sev_guest_state::launch_secret, guest);
    if (status == firmware_status::success) {
        guest->state = sev_guest_state::running;
    }
    return status;
}

/// Once the launch digest is final, that is after LAUNCH_MEASURE.
firmware_status attestation_report(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_sev_guest(c, guest);
    if (status == firmware_status::success && guest->state == sev_guest_state::launch_update) {
        status = firmware_status::invalid_guest_state;
    }
    if (status == firmware_status::success) {
        status = check_answer(c);
    }
    if (status != firmware_status::success) {
        return status;
    }
    if (c.get<std::uint32_t>(32) < report_bytes) {
        return answer_length(c, 32, report_bytes);
    }
    const spa_range out{c.get_address(8), report_bytes};
    status = check_sev_outputs(c, {out});
    if (status != firmware_status::success) {
        return status;
    }
    const auto report = make_report(c, *guest);
    c.m.memory().write(out.base, report.data(), report.size());
    c.put(32, report_bytes);
    c.write_back = true;
    return firmware_status::success;
}

} // namespace rmpopt::hw
