// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_VLEK_LOAD and SNP_DOWNLOAD_FIRMWARE_EX.
#include "firmware_fixture.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

class snp_load : public firmware_fixture
{
  protected:
    static constexpr spa_t blob = 0x30010; ///< anywhere

    firmware_status load_vlek(std::uint32_t len = 16, std::uint32_t version = 0, spa_t from = blob)
    {
        return run_with(snp_vlek_load, len, version, from);
    }
    bool has_vlek()
    {
        make_firmware(output_page);
        EXPECT_EQ(run_with(snp_platform_status, output_page), success);
        const bool vlek = (load<std::uint32_t>(output_page + 8) & 4) != 0;
        EXPECT_EQ(reclaim(output_page), success);
        return vlek;
    }
    firmware_status download(std::uint32_t len, std::uint32_t flags, spa_t image,
                             std::uint32_t bytes, std::uint32_t reserved = 0)
    {
        return run_with(snp_download_firmware_ex, len, flags, image, bytes, reserved);
    }
};

TEST_F(snp_load, a_vlek_shows_in_the_status)
{
    snp_up();
    EXPECT_FALSE(has_vlek());
    EXPECT_EQ(load_vlek(), success);
    EXPECT_TRUE(has_vlek());
}

TEST_F(snp_load, a_vlek_is_gone_after_shutdown_and_reset)
{
    snp_up();
    ASSERT_EQ(load_vlek(), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    ASSERT_EQ(shutdown_ex(0), success);
    ASSERT_EQ(init_ex(1), success);
    EXPECT_FALSE(has_vlek());
    ASSERT_EQ(load_vlek(), success);
    fw->reset();
    ASSERT_EQ(init_ex(1), success);
    EXPECT_FALSE(has_vlek());
}

TEST_F(snp_load, vlek_fields_are_checked)
{
    EXPECT_EQ(load_vlek(), invalid_platform_state);
    snp_up();
    EXPECT_EQ(load_vlek(15), invalid_length);
    EXPECT_EQ(load_vlek(17), invalid_length);
    EXPECT_EQ(load_vlek(16, 1), invalid_param) << "version";
    EXPECT_EQ(load_vlek(16, 1u << 31), invalid_param) << "reserved";
    EXPECT_EQ(load_vlek(16, 0, low.end() - 431), invalid_address);
    EXPECT_EQ(load_vlek(16, 0, ~0ull - 8), invalid_address);
    EXPECT_FALSE(has_vlek());
    EXPECT_EQ(load_vlek(16, 0, low.end() - 432), success);
}

TEST_F(snp_load, no_firmware_has_the_right_signature)
{
    EXPECT_EQ(download(24, 0, 0x30000, page_4k), bad_signature) << "before SNP_INIT";
    snp_up();
    EXPECT_EQ(download(24, 1, 0x30000, page_4k), bad_signature) << "and after it";
}

TEST_F(snp_load, firmware_fields_are_checked)
{
    snp_up();
    EXPECT_EQ(download(16, 0, 0x30000, page_4k), invalid_length);
    EXPECT_EQ(download(24, 2, 0x30000, page_4k), invalid_param);
    EXPECT_EQ(download(24, 0, 0x30000, page_4k, 1), invalid_param);
    EXPECT_EQ(download(24, 0, 0x30000, 0), invalid_length);
    EXPECT_EQ(download(24, 0, 0x30010, page_4k), invalid_address);
    EXPECT_EQ(download(24, 0, low.end() - page_4k, page_4k + 1), invalid_address);
}

} // namespace
} // namespace rmpopt::hw
