// SPDX-License-Identifier: GPL-2.0-or-later
// The platform's keys and certificates: PEK, PDH, owner (AMD 55766). See psp_cert.h: none is real.
#include "hw-model/firmware/sev/sev.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t chain_bytes = 3 * cert_bytes; ///< PEK, OCA, CEK
using cert_chain = std::array<sev_cert, 3>;
static_assert(sizeof(cert_chain) == chain_bytes);

/// The platform's own certificate of its endorsement key, before an owner signs it.
sev_cert own_pek(const platform_identity &id)
{
    return make_cert(key_usage::pek, id.pek_generation, key_usage::oca, key_usage::cek);
}

cert_chain chain_of(const platform_identity &id)
{
    const sev_cert cek = make_cert(key_usage::cek, 0, key_usage::ask, key_usage::invalid);
    if (id.owned) {
        return {id.owner_pek, id.owner_oca, cek};
    }
    return {own_pek(id),
            make_cert(key_usage::oca, id.pek_generation, key_usage::oca, key_usage::invalid), cek};
}

/// Copies a certificate from memory before anything looks at it.
firmware_status read_cert(const firmware_call &c, spa_t spa, std::uint32_t bytes, sev_cert &out)
{
    if (bytes != cert_bytes) {
        return firmware_status::invalid_length;
    }
    return c.m.memory().read(spa, out.data(), out.size()) ? firmware_status::success
                                                          : firmware_status::invalid_address;
}

firmware_status read_certs(const firmware_call &c, sev_cert &pek, sev_cert &oca)
{
    const firmware_status status = read_cert(c, c.get_address(0), c.get<std::uint32_t>(8), pek);
    return status == firmware_status::success
               ? read_cert(c, c.get_address(16), c.get<std::uint32_t>(24), oca)
               : status;
}

} // namespace

/// Owner, keys and certificates back to what they were at first.
firmware_status factory_reset(firmware_call &c)
{
    if (phase_of(c.s) != platform_phase::uninit) {
        return firmware_status::invalid_platform_state;
    }
    c.s.identity = {};
    return firmware_status::success;
}

/// A new endorsement key. An owner's signature is of the old one, so the platform owns itself.
firmware_status pek_gen(firmware_call &c)
{
    if (phase_of(c.s) != platform_phase::init) {
        return firmware_status::invalid_platform_state;
    }
    c.s.identity = {.pek_generation = c.s.identity.pek_generation + 1,
                    .pdh_generation = c.s.identity.pdh_generation + 1};
    store_identity(c);
    return firmware_status::success;
}

firmware_status pdh_gen(firmware_call &c)
{
    if (phase_of(c.s) == platform_phase::uninit) {
        return firmware_status::invalid_platform_state;
    }
    ++c.s.identity.pdh_generation;
    store_identity(c);
    return firmware_status::success;
}

/// The certificate that an owner is asked to sign: no signatures yet.
firmware_status pek_csr(firmware_call &c)
{
    if (phase_of(c.s) == platform_phase::uninit) {
        return firmware_status::invalid_platform_state;
    }
    firmware_status status = check_answer(c);
    if (status != firmware_status::success) {
        return status;
    }
    if (c.get<std::uint32_t>(8) < cert_bytes) {
        return answer_length(c, 8, cert_bytes);
    }
    const spa_range out{c.get_address(0), cert_bytes};
    status = check_sev_outputs(c, {out});
    if (status != firmware_status::success) {
        return status;
    }
    const sev_cert csr = make_cert(key_usage::pek, c.s.identity.pek_generation, key_usage::invalid,
                                   key_usage::invalid);
    c.m.memory().write(out.base, csr.data(), csr.size());
    c.put<std::uint32_t>(8, cert_bytes);
    c.write_back = true;
    return firmware_status::success;
}

/// The owner's certificate must be of the key that the platform has. The owner's signature is not
/// checked: no real authority could have signed a key that is none.
firmware_status pek_cert_import(firmware_call &c)
{
    if (phase_of(c.s) != platform_phase::init) {
        return firmware_status::invalid_platform_state;
    }
    if (c.s.identity.owned) {
        return firmware_status::already_owned;
    }
    sev_cert pek, oca;
    const firmware_status status = read_certs(c, pek, oca);
    if (status != firmware_status::success) {
        return status;
    }
    if (!is_cert_for(pek, key_usage::pek) || !is_cert_for(oca, key_usage::oca) ||
        !is_same_key(pek, own_pek(c.s.identity))) {
        return firmware_status::invalid_certificate;
    }
    c.s.identity.owned = true;
    c.s.identity.owner_pek = pek;
    c.s.identity.owner_oca = oca;
    ++c.s.identity.pdh_generation; // the new owner's platform gets a new key for sessions
    store_identity(c);
    return firmware_status::success;
}

firmware_status pdh_cert_export(firmware_call &c)
{
    if (phase_of(c.s) == platform_phase::uninit) {
        return firmware_status::invalid_platform_state;
    }
    firmware_status status = check_answer(c);
    if (status != firmware_status::success) {
        return status;
    }
    const bool fits =
        c.get<std::uint32_t>(8) >= cert_bytes && c.get<std::uint32_t>(24) >= chain_bytes;
    const spa_range pdh_out{c.get_address(0), cert_bytes},
        chain_out{c.get_address(16), chain_bytes};
    if (fits) {
        status = check_sev_outputs(c, {pdh_out, chain_out});
        if (status != firmware_status::success) {
            return status;
        }
        const sev_cert pdh = make_cert(key_usage::pdh, c.s.identity.pdh_generation, key_usage::pek,
                                       key_usage::invalid);
        const cert_chain chain = chain_of(c.s.identity);
        c.m.memory().write(pdh_out.base, pdh.data(), pdh.size());
        c.m.memory().write(chain_out.base, chain.data(), chain_bytes);
    }
    c.put<std::uint32_t>(8, cert_bytes);
    c.put<std::uint32_t>(24, chain_bytes);
    c.write_back = true;
    return fits ? firmware_status::success : firmware_status::invalid_length;
}

} // namespace rmpopt::hw
