// SPDX-License-Identifier: GPL-2.0-or-later
// The platform's keys and certificates: PEK, PDH, owner (AMD 55766). None is real: see
// certificate.h.
#include "hw-model/firmware/sev/sev.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t chain_bytes = 3 * cert_bytes; ///< PEK, OCA, CEK
using cert_chain = std::array<sev_cert, 3>;
static_assert(sizeof(cert_chain) == chain_bytes);

/// The platform's own certificate of its endorsement key, before an owner signs it.
sev_cert own_pek(const firmware_version &api, const platform_identity &id)
{
    return make_cert(api, key_usage::pek, id.pek_generation, key_usage::oca, key_usage::cek);
}

cert_chain chain_of(const firmware_version &api, const platform_identity &id)
{
    const sev_cert cek = make_cert(api, key_usage::cek, 0, key_usage::ask, key_usage::invalid);
    if (id.owned) {
        return {id.owner_pek, id.owner_oca, cek};
    }
    return {own_pek(api, id),
            make_cert(api, key_usage::oca, id.pek_generation, key_usage::oca, key_usage::invalid),
            cek};
}

/// Copies a certificate from memory before anything looks at it.
firmware_status read_cert(const firmware_call &c, spa_t spa, std::uint32_t bytes, sev_cert &out)
{
    return in_order(must(bytes == cert_bytes, invalid_length), [&] {
        return must(c.m.memory().read(spa, out.data(), out.size()), invalid_address);
    });
}

/// WORKING counts as initialised.
firmware_status must_be_initialised(const firmware_call &c)
{
    return must(phase_of(c.s) != platform_phase::uninit, invalid_platform_state);
}

} // namespace

/// AMD 55766, FACTORY_RESET: owner, keys and certificates back to what they were at first.
firmware_status factory_reset(firmware_call &c)
{
    return in_order(must(phase_of(c.s) == platform_phase::uninit, invalid_platform_state),
                    [&] { c.s.identity = {}; });
}

/// AMD 55766, PEK_GEN: a new endorsement key. An owner's signature is of the old one, so the
/// platform owns itself.
firmware_status pek_gen(firmware_call &c)
{
    return in_order(must(phase_of(c.s) == platform_phase::init, invalid_platform_state), [&] {
        c.s.identity = {.pek_generation = c.s.identity.pek_generation + 1,
                        .pdh_generation = c.s.identity.pdh_generation + 1};
        store_identity(c);
    });
}

/// AMD 55766, PDH_GEN.
firmware_status pdh_gen(firmware_call &c)
{
    return in_order(must_be_initialised(c), [&] {
        ++c.s.identity.pdh_generation;
        store_identity(c);
    });
}

/// AMD 55766, PEK_CSR: the certificate that an owner is asked to sign, without signatures yet.
firmware_status pek_csr(firmware_call &c, pek_csr_buffer &b)
{
    const spa_range out{b.csr_paddr, cert_bytes};
    const bool fits = b.csr_len >= cert_bytes;
    const auto answer_length = [&] {
        b.csr_len = cert_bytes;
        c.write_back = true;
    };
    return in_order(
        must_be_initialised(c), [&] { return check_answer(c); },
        [&] { return check_room(fits, answer_length); },
        [&] { return check_sev_outputs(c, {out}); },
        [&] {
            const sev_cert csr =
                make_cert(c.m.cpu().firmware, key_usage::pek, c.s.identity.pek_generation,
                          key_usage::invalid, key_usage::invalid);
            c.m.memory().write(out.base, csr.data(), csr.size());
            answer_length();
        });
}

/// AMD 55766, PEK_CERT_IMPORT. The owner's certificate must be of the key that the platform has.
/// The owner's signature is not checked: no real authority could have signed a key that is none.
firmware_status pek_cert_import(firmware_call &c, const pek_cert_import_buffer &b)
{
    sev_cert pek, oca;
    return in_order(
        must(phase_of(c.s) == platform_phase::init, invalid_platform_state),
        must(!c.s.identity.owned, already_owned),
        [&] { return read_cert(c, b.pek_cert_paddr, b.pek_cert_len, pek); },
        [&] { return read_cert(c, b.oca_cert_paddr, b.oca_cert_len, oca); },
        [&] {
            return must(is_cert_for(pek, key_usage::pek) && is_cert_for(oca, key_usage::oca) &&
                            is_same_key(pek, own_pek(c.m.cpu().firmware, c.s.identity)),
                        invalid_certificate);
        },
        [&] {
            c.s.identity.owned = true;
            c.s.identity.owner_pek = pek;
            c.s.identity.owner_oca = oca;
            ++c.s.identity.pdh_generation; // sessions of the new owner: a new key
            store_identity(c);
        });
}

/// AMD 55766, PDH_CERT_EXPORT. A caller without enough room is told both lengths.
firmware_status pdh_cert_export(firmware_call &c, pdh_cert_export_buffer &b)
{
    const spa_range pdh_out{b.pdh_cert_paddr, cert_bytes},
        chain_out{b.cert_chain_paddr, chain_bytes};
    const bool fits = b.pdh_cert_len >= cert_bytes && b.cert_chain_len >= chain_bytes;
    const auto answer_lengths = [&] {
        b.pdh_cert_len = cert_bytes;
        b.cert_chain_len = chain_bytes;
        c.write_back = true;
    };
    return in_order(
        must_be_initialised(c), [&] { return check_answer(c); },
        [&] { return check_room(fits, answer_lengths); },
        [&] {
            return check_sev_outputs(c, {pdh_out, chain_out});
        },
        [&] {
            const sev_cert pdh =
                make_cert(c.m.cpu().firmware, key_usage::pdh, c.s.identity.pdh_generation,
                          key_usage::pek, key_usage::invalid);
            const cert_chain chain = chain_of(c.m.cpu().firmware, c.s.identity);
            c.m.memory().write(pdh_out.base, pdh.data(), pdh.size());
            c.m.memory().write(chain_out.base, chain.data(), chain_bytes);
            answer_lengths();
        });
}

} // namespace rmpopt::hw
