// SPDX-License-Identifier: GPL-2.0-or-later
// Legacy platform commands: non-volatile storage, keys, certificates.
#include "firmware_fixture.h"

#include <array>
#include <string_view>
#include <utility>

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

constexpr std::uint32_t cert = 2084, chain = 3 * cert, nv_bytes = 32 * 1024;

class sev_platform : public firmware_fixture
{
  protected:
    static constexpr spa_t nv = 0x40000, chain_page = 0x20000;

    void up() { ASSERT_EQ(run_with(init, 0u, 0u, 0ull, 0u), success); }
    firmware_status init_nv(spa_t at = nv, std::uint32_t bytes = nv_bytes, std::uint32_t flags = 0)
    {
        return run_with(firmware_command::init_ex, 36u, flags, tmr, 2u << 20, 0u, at, bytes);
    }
    firmware_status export_to(spa_t pdh, std::uint32_t pdh_len, spa_t certs,
                              std::uint32_t certs_len)
    {
        return run_with(pdh_cert_export, pdh, pdh_len, 0u, certs, certs_len);
    }
    firmware_status export_all() { return export_to(output_page, cert, chain_page, chain); }
    void fill(spa_t at, std::uint64_t bytes, int value)
    {
        std::memset(m->memory().at(at, bytes), value, bytes);
    }
    std::vector<std::byte> bytes_at(spa_t at, std::uint64_t bytes)
    {
        std::vector<std::byte> v(bytes);
        m->memory().read(at, v.data(), bytes);
        return v;
    }
    /// Signs nothing: takes the request as the owner's certificate, beside one of an authority.
    void prepare_import()
    {
        ASSERT_EQ(run_with(pek_csr, output_page, cert), success);
        fill(chain_page, cert, 0);
        m->memory().store(chain_page, 1u);
        m->memory().store(chain_page + 8, 0x1001u);
    }
    firmware_status import(std::uint32_t pek_len = cert, std::uint32_t oca_len = cert)
    {
        return run_with(pek_cert_import, output_page, pek_len, 0u, chain_page, oca_len);
    }
    bool owned()
    {
        run(platform_status, command_page);
        return (load<std::uint8_t>(command_page + 3) & 1) != 0;
    }
    void make_firmware_pages(spa_t from, std::uint64_t bytes)
    {
        for (spa_t p = from; p < from + bytes; p += page_4k) {
            make_firmware(p);
        }
    }
};

TEST_F(sev_platform, key_commands_need_an_initialised_platform)
{
    for (const firmware_command c : {pek_gen, pek_csr, pek_cert_import, pdh_cert_export, pdh_gen}) {
        EXPECT_EQ(static_cast<firmware_status>(run(c, command_page)), invalid_platform_state);
    }
    EXPECT_TRUE(memory_is_zero(command_page, 64));
}

TEST_F(sev_platform, factory_reset_only_when_uninitialised)
{
    EXPECT_EQ(status_of(factory_reset), success);
    up();
    EXPECT_EQ(status_of(factory_reset), invalid_platform_state);
}

TEST_F(sev_platform, export_tells_both_lengths)
{
    up();
    const std::array<std::array<std::uint32_t, 2>, 4> short_ones{
        {{0, 0}, {cert - 1, chain}, {cert, chain - 1}, {cert, 0}}};
    for (const auto &[pdh_len, chain_len] : short_ones) {
        EXPECT_EQ(export_to(output_page, pdh_len, chain_page, chain_len), invalid_length);
        EXPECT_EQ(load<std::uint32_t>(command_page + 8), cert);
        EXPECT_EQ(load<std::uint32_t>(command_page + 24), chain);
    }
    EXPECT_TRUE(memory_is_zero(output_page, cert) && memory_is_zero(chain_page, chain));
    EXPECT_EQ(export_to(0, 0, 0, 0), invalid_length) << "no addresses needed to ask";
}

TEST_F(sev_platform, exports_well_formed_certificates)
{
    up();
    fill(output_page, 0x1000, 0xee);
    fill(chain_page, 0x2000, 0xee);
    ASSERT_EQ(export_to(output_page, 4096, chain_page, 8192), success);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), cert);
    EXPECT_EQ(load<std::uint32_t>(command_page + 24), chain);
    struct expectation {
        spa_t at;
        std::uint32_t usage, algorithm, signer_1, signer_2;
    };
    const std::array<expectation, 4> certs{
        {{output_page, 0x1003, 3, 0x1002, 0x1000},
         {chain_page, 0x1002, 2, 0x1001, 0x1004},
         {chain_page + cert, 0x1001, 2, 0x1001, 0x1000},
         {chain_page + 2 * std::uint64_t{cert}, 0x1004, 2, 0x13, 0x1000}}};
    for (const expectation &e : certs) {
        EXPECT_EQ(load<std::uint32_t>(e.at), 1u) << "version";
        EXPECT_EQ(load<std::uint16_t>(e.at + 4), 0x3a01) << "API 1.58";
        EXPECT_EQ(load<std::uint32_t>(e.at + 8), e.usage);
        EXPECT_EQ(load<std::uint32_t>(e.at + 12), e.algorithm);
        EXPECT_EQ(load<std::uint32_t>(e.at + 16), 2u) << "curve P-384";
        EXPECT_EQ(load<std::uint32_t>(e.at + 0x414), e.signer_1);
        EXPECT_EQ(load<std::uint32_t>(e.at + 0x61c), e.signer_2);
        EXPECT_EQ(memory_is_zero(e.at + 0x620, 516), e.signer_2 == 0x1000);
        const auto *text = reinterpret_cast<const char *>(m->memory().at(e.at + 20, 12));
        EXPECT_EQ(std::string_view(text, 12), "rmpopt model") << "nobody's key";
    }
    EXPECT_EQ(load<std::uint32_t>(chain_page + 2ull * cert + 0x418), 0x101u) << "signed by RSA";
    EXPECT_EQ(load<std::uint8_t>(output_page + cert), 0xee) << "not one byte more";
    EXPECT_EQ(load<std::uint8_t>(chain_page + chain), 0xee);
}

TEST_F(sev_platform, export_refuses_bad_addresses)
{
    up();
    EXPECT_EQ(export_to(low.end() - 8, cert, chain_page, chain), invalid_address);
    EXPECT_EQ(export_to(output_page, cert, low.end() - cert, chain), invalid_address);
    EXPECT_EQ(export_to(output_page, cert, uncovered, chain), invalid_address) << "MMIO";
    EXPECT_EQ(export_to(output_page, cert, ~0ull - 100, chain), invalid_address);
    EXPECT_TRUE(memory_is_zero(output_page, cert)) << "nothing by halves";
    EXPECT_TRUE(memory_is_zero(low.end() - cert, cert));
}

TEST_F(sev_platform, export_refuses_buffers_that_overlap)
{
    up();
    EXPECT_EQ(export_to(output_page, cert, output_page + cert - 1, chain), invalid_address);
    EXPECT_EQ(export_to(command_page + 27, cert, chain_page, chain), invalid_address);
    EXPECT_EQ(export_to(output_page, cert, output_page + cert, chain), success) << "side by side";
    EXPECT_EQ(export_to(command_page + 28, cert, chain_page, chain), success);
}

TEST_F(sev_platform, with_snp_all_outputs_must_be_firmware_owned)
{
    snp_up();
    up();
    EXPECT_EQ(export_to(0, 0, 0, 0), invalid_page_state) << "the answer's own page";
    m->memory().store(command_page + 8, 0x77u);
    EXPECT_EQ(run(pek_csr, command_page), 0x1a);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), 0x77u);
    make_firmware(command_page);
    EXPECT_EQ(export_all(), invalid_page_state);
    make_firmware(output_page);
    make_firmware(chain_page);
    EXPECT_EQ(export_all(), invalid_page_state) << "second page of the chain";
    EXPECT_TRUE(memory_is_zero(output_page, cert));
    make_firmware(chain_page + page_4k);
    EXPECT_EQ(export_all(), success);
    EXPECT_EQ(export_to(segment, cert, chain_page, chain), invalid_page_state) << "the RMP";
}

TEST_F(sev_platform, new_keys_show_in_the_certificates)
{
    up();
    ASSERT_EQ(export_all(), success);
    const auto pdh_1 = bytes_at(output_page, cert), chain_1 = bytes_at(chain_page, chain);
    ASSERT_EQ(status_of(pdh_gen), success);
    ASSERT_EQ(export_all(), success);
    const auto pdh_2 = bytes_at(output_page, cert);
    EXPECT_NE(pdh_2, pdh_1);
    EXPECT_EQ(bytes_at(chain_page, chain), chain_1);
    ASSERT_EQ(status_of(pek_gen), success);
    ASSERT_EQ(export_all(), success);
    EXPECT_NE(bytes_at(output_page, cert), pdh_2);
    EXPECT_NE(bytes_at(chain_page, cert), std::vector(chain_1.begin(), chain_1.begin() + cert));
    EXPECT_EQ(bytes_at(chain_page + 2 * cert, cert),
              std::vector(chain_1.end() - cert, chain_1.end()))
        << "the chip's key is for ever";
}

TEST_F(sev_platform, a_key_names_its_use_and_its_generation)
{
    up();
    ASSERT_EQ(status_of(pdh_gen), success);
    ASSERT_EQ(export_all(), success);
    constexpr spa_t qy = 20 + 72;
    EXPECT_EQ(load<std::uint32_t>(output_page + qy), 0x1003u);
    EXPECT_EQ(load<std::uint32_t>(output_page + qy + 4), 1u);
    EXPECT_EQ(load<std::uint32_t>(chain_page + qy), 0x1002u);
    EXPECT_EQ(load<std::uint32_t>(chain_page + qy + 4), 0u) << "of another key";
    ASSERT_EQ(status_of(pek_gen), success);
    ASSERT_EQ(export_all(), success);
    EXPECT_EQ(load<std::uint32_t>(output_page + qy + 4), 2u) << "a new PDH, too";
    EXPECT_EQ(load<std::uint32_t>(chain_page + qy + 4), 1u);
}

TEST_F(sev_platform, keys_survive_shutdown_and_reset_but_not_factory_reset)
{
    up();
    ASSERT_EQ(export_all(), success);
    const auto first = bytes_at(chain_page, chain);
    ASSERT_EQ(status_of(pek_gen), success);
    ASSERT_EQ(export_all(), success);
    const auto second = bytes_at(chain_page, chain);
    fw->reset();
    up();
    ASSERT_EQ(export_all(), success);
    EXPECT_EQ(bytes_at(chain_page, chain), second);
    ASSERT_EQ(status_of(shutdown), success);
    ASSERT_EQ(status_of(factory_reset), success);
    up();
    ASSERT_EQ(export_all(), success);
    EXPECT_EQ(bytes_at(chain_page, chain), first);
}

TEST_F(sev_platform, signing_request_is_the_certificate_without_signatures)
{
    up();
    EXPECT_EQ(run_with(pek_csr, output_page, cert - 1), invalid_length);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), cert);
    EXPECT_TRUE(memory_is_zero(output_page, cert));
    EXPECT_EQ(run_with(pek_csr, low.end() - 8, cert), invalid_address);
    EXPECT_EQ(run_with(pek_csr, command_page + 4, cert), invalid_address);
    EXPECT_EQ(run_with(pek_csr, output_page, 4096u), success);
    EXPECT_EQ(load<std::uint32_t>(command_page + 8), cert);
    EXPECT_EQ(load<std::uint32_t>(output_page + 8), 0x1002u);
    EXPECT_EQ(load<std::uint32_t>(output_page + 0x414), 0x1000u);
    EXPECT_TRUE(memory_is_zero(output_page + 0x418, 516));
}

TEST_F(sev_platform, an_owner_takes_the_platform_once)
{
    up();
    prepare_import();
    const auto pek = bytes_at(output_page, cert), oca = bytes_at(chain_page, cert);
    EXPECT_FALSE(owned());
    EXPECT_EQ(import(), success);
    EXPECT_TRUE(owned());
    EXPECT_EQ(import(), already_owned);
    ASSERT_EQ(export_all(), success);
    EXPECT_EQ(bytes_at(chain_page, cert), pek);
    EXPECT_EQ(bytes_at(chain_page + cert, cert), oca);
    EXPECT_EQ(status_of(pek_gen), success) << "its own again";
    EXPECT_FALSE(owned());
}

TEST_F(sev_platform, import_refuses_what_is_no_certificate_of_this_platform)
{
    up();
    prepare_import();
    EXPECT_EQ(import(cert - 1), invalid_length);
    EXPECT_EQ(import(cert, cert + 1), invalid_length);
    EXPECT_EQ(run_with(pek_cert_import, low.end() - 8, cert, 0u, chain_page, cert),
              invalid_address);
    EXPECT_EQ(run_with(pek_cert_import, output_page, cert, 0u, uncovered, cert), invalid_address);
    for (const spa_t field : {output_page, output_page + 8, output_page + 16, output_page + 0x413,
                              chain_page, chain_page + 8}) {
        prepare_import();
        const auto byte = load<std::uint8_t>(field);
        m->memory().store<std::uint8_t>(field, byte ^ 0x80);
        EXPECT_EQ(import(), invalid_certificate) << std::hex << field;
    }
    ASSERT_EQ(status_of(pek_gen), success);
    EXPECT_EQ(export_all(), success);
    EXPECT_FALSE(owned());
}

TEST_F(sev_platform, init_ex_checks_its_operands)
{
    EXPECT_EQ(run_with(firmware_command::init_ex, 35u, 0u, 0ull, 0u, 0u, nv, nv_bytes),
              invalid_length);
    EXPECT_EQ(init_nv(nv, nv_bytes - 1), invalid_length);
    EXPECT_EQ(init_nv(nv, nv_bytes + 1), invalid_length);
    EXPECT_EQ(init_nv(nv, 0), invalid_length);
    EXPECT_EQ(init_nv(nv + 8), invalid_address);
    EXPECT_EQ(init_nv(low.end() - page_4k), invalid_address);
    EXPECT_EQ(init_nv(uncovered), invalid_address);
    EXPECT_EQ(init_nv(nv, nv_bytes, 2), invalid_param);
    EXPECT_EQ(run_with(firmware_command::init_ex, 36u, 0u, 0ull, 0u, 1u, nv, nv_bytes),
              invalid_param);
    EXPECT_EQ(init_nv(tmr + page_4k, nv_bytes, 1), invalid_address) << "in the trusted region";
    EXPECT_EQ(init_nv(segment), invalid_page_state) << "the RMP";
    EXPECT_EQ(init_nv(align_down(command_page, nv_bytes)), invalid_address) << "holds the command";
    EXPECT_FALSE(fw->snapshot().platform_init);
    EXPECT_TRUE(memory_is_zero(nv, nv_bytes));
    EXPECT_EQ(init_nv(nv, nv_bytes, 1), success);
    EXPECT_EQ(init_nv(), invalid_platform_state);
}

TEST_F(sev_platform, without_es_no_region_matters_to_init_ex)
{
    EXPECT_EQ(init_nv(tmr + page_4k), success);
}

TEST_F(sev_platform, storage_keeps_keys_and_owner)
{
    fill(nv, nv_bytes, 0xff); // as a file that was never written reads
    ASSERT_EQ(init_nv(), success);
    ASSERT_EQ(status_of(pek_gen), success);
    ASSERT_EQ(status_of(pdh_gen), success);
    prepare_import();
    ASSERT_EQ(import(), success);
    ASSERT_EQ(export_all(), success);
    const auto pdh = bytes_at(output_page, cert), certs = bytes_at(chain_page, chain);
    const auto image = bytes_at(nv, nv_bytes);

    build("venice", rmp_layout::segmented); // another machine, the same file
    m->memory().write(nv, image.data(), image.size());
    ASSERT_EQ(init_nv(), success);
    EXPECT_TRUE(owned());
    ASSERT_EQ(export_all(), success);
    EXPECT_EQ(bytes_at(output_page, cert), pdh);
    EXPECT_EQ(bytes_at(chain_page, chain), certs);

    ASSERT_EQ(status_of(shutdown), success);
    fill(nv, nv_bytes, 0);
    ASSERT_EQ(init_nv(), success);
    EXPECT_FALSE(owned()) << "empty storage is a new platform";
}

TEST_F(sev_platform, storage_is_written_by_each_command_that_changes_the_identity)
{
    ASSERT_EQ(init_nv(), success);
    auto image = bytes_at(nv, nv_bytes);
    const auto is_new = [&] { return std::exchange(image, bytes_at(nv, nv_bytes)) != image; };
    EXPECT_FALSE(is_new());
    ASSERT_EQ(status_of(pek_gen), success);
    EXPECT_TRUE(is_new());
    ASSERT_EQ(status_of(pdh_gen), success);
    EXPECT_TRUE(is_new());
    prepare_import();
    EXPECT_FALSE(is_new());
    ASSERT_EQ(import(), success);
    EXPECT_TRUE(is_new());
}

TEST_F(sev_platform, damaged_storage_is_replaced_and_then_accepted)
{
    for (const spa_t damage : {nv, nv + 16, nv + 24, nv + 3000, nv + 28 + 2 * cert}) {
        fill(nv, nv_bytes, 0);
        ASSERT_EQ(init_nv(), success);
        ASSERT_EQ(status_of(pek_gen), success);
        ASSERT_EQ(status_of(shutdown), success);
        m->memory().store<std::uint8_t>(damage, load<std::uint8_t>(damage) ^ 1);
        EXPECT_EQ(init_nv(), secure_data_invalid) << damage - nv;
        EXPECT_FALSE(fw->snapshot().platform_init);
        EXPECT_EQ(init_nv(), success);
        ASSERT_EQ(status_of(shutdown), success);
    }
}

TEST_F(sev_platform, storage_is_not_written_after_shutdown)
{
    ASSERT_EQ(init_nv(), success);
    ASSERT_EQ(status_of(shutdown), success);
    fill(nv, nv_bytes, 0);
    up();
    ASSERT_EQ(status_of(pek_gen), success);
    EXPECT_TRUE(memory_is_zero(nv, nv_bytes));
}

TEST_F(sev_platform, with_snp_storage_is_firmware_owned_while_in_use)
{
    snp_up();
    EXPECT_EQ(init_nv(), invalid_page_state);
    make_firmware_pages(nv, nv_bytes - page_4k);
    EXPECT_EQ(init_nv(), invalid_page_state) << "the last page";
    make_firmware(nv + nv_bytes - page_4k);
    EXPECT_EQ(init_nv(), success);
    EXPECT_EQ(reclaim(nv + page_4k), invalid_page_state);
    EXPECT_EQ(status_of(shutdown), success);
    EXPECT_EQ(reclaim(nv + page_4k), success);
}

TEST_F(sev_platform, init_makes_asids_wait_for_a_flush)
{
    fw = std::make_unique<firmware>(*m, firmware::settings{.tracks_wbinvd = true});
    up();
    EXPECT_EQ(status_of(df_flush), wbinvd_required);
    fw->note_wbinvd(0);
    EXPECT_EQ(status_of(df_flush), wbinvd_required) << "core 1 is missing";
    fw->note_wbinvd(1);
    EXPECT_EQ(status_of(df_flush), success);
}

} // namespace
} // namespace rmpopt::hw
