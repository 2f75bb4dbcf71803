// SPDX-License-Identifier: GPL-2.0-or-later
// The IVRS patch over good, odd and hostile ACPI tables, and where the IOMMU writes.
#include "platform_fixture.h"

#include <cstring>
#include <string_view>

namespace rmpopt
{

namespace
{

using hw::spa_range;
using hw::spa_t;

constexpr std::uint64_t snp_sup = 1ull << 63, snp_page_mode_0 = 1ull << 13;

class ivrs_test : public testing::Test
{
  protected:
    static constexpr spa_t rsdp = 0xf5000, rsdt = 0x1fe0000, xsdt = 0x1fe1000, ivrs = 0x1fe2000,
                           other = 0x1fe3000;
    static constexpr std::uint64_t ram_bytes = 32 * mib;

    void SetUp() override
    {
        put_text(rsdp, "RSD PTR ");
        put<std::uint8_t>(rsdp + 15, 0);
        put(rsdp + 16, static_cast<std::uint32_t>(rsdt));
        put_header(rsdt, "RSDT", 36 + 8);
        put(rsdt + 36, static_cast<std::uint32_t>(other));
        put(rsdt + 40, static_cast<std::uint32_t>(ivrs));
        put_header(other, "FACP", 36);
        set_blocks({});
    }

    template <class T> void put(spa_t at, T v) { memory().store(at, v); }
    void put_text(spa_t at, std::string_view text) { memory().write(at, text.data(), text.size()); }
    void put_header(spa_t at, std::string_view signature, std::uint32_t length)
    {
        put_text(at, signature);
        put(at + 4, length);
    }
    void use_xsdt()
    {
        put<std::uint8_t>(rsdp + 15, 2);
        put(rsdp + 24, xsdt);
        put_header(xsdt, "XSDT", 36 + 8);
        put(xsdt + 36, ivrs);
        put_header(rsdt, "RSDT", 36);
    }

    struct block {
        std::uint8_t type = 0x11;
        std::uint16_t length = 40;
        spa_t register_base = 0xfed80000;
    };
    /// Writes an IVRS with these blocks, each followed by the next.
    void set_blocks(const std::vector<block> &blocks, spa_t at = ivrs)
    {
        spa_t o = at + 48;
        for (const block &b : blocks) {
            put(o, b.type);
            put(o + 2, b.length);
            put(o + 8, b.register_base);
            o += b.length;
        }
        put_header(at, "IVRS", static_cast<std::uint32_t>(o - at));
        std::uint8_t sum = 0;
        put<std::uint8_t>(at + 9, 0);
        for (spa_t a = at; a < o; ++a) {
            sum = static_cast<std::uint8_t>(sum + *memory().load<std::uint8_t>(a));
        }
        put(at + 9, static_cast<std::uint8_t>(-sum));
    }
    std::uint64_t efr(unsigned offset = 0) const
    {
        return *memory().load<std::uint64_t>(ivrs + 48 + offset + 24);
    }
    std::uint64_t efr2(unsigned offset = 0) const
    {
        return *memory().load<std::uint64_t>(ivrs + 48 + offset + 32);
    }
    std::uint8_t sum() const
    {
        std::uint8_t s = 0;
        const auto length = *memory().load<std::uint32_t>(ivrs + 4);
        for (spa_t a = ivrs; a < ivrs + length; ++a) {
            s = static_cast<std::uint8_t>(s + *memory().load<std::uint8_t>(a));
        }
        return s;
    }
    std::vector<std::byte> bytes_at(spa_t at, std::uint64_t n) const
    {
        const std::byte *p = memory().at(at, n);
        return {p, p + n};
    }
    const hw::memory_view &memory() const { return ram_.view(); }

    pc_memory ram_{ram_bytes};
};

TEST_F(ivrs_test, ivhd_11h_announces_snp)
{
    set_blocks({{.type = 0x11}});
    const iommu_setup s = announce_iommu_snp(memory(), true);
    EXPECT_EQ(s.error, "");
    EXPECT_EQ(s.blocks, 1u);
    EXPECT_EQ(s.register_base, 0xfed80000u);
    EXPECT_EQ(efr(), snp_sup);
    EXPECT_EQ(efr2(), snp_page_mode_0);
}

TEST_F(ivrs_test, snp_page_mode_0_is_not_of_every_cpu_model)
{
    set_blocks({{.type = 0x11}});
    announce_iommu_snp(memory(), false);
    EXPECT_EQ(efr(), snp_sup);
    EXPECT_EQ(efr2(), 0u);
}

TEST_F(ivrs_test, ivhd_40h_announces_snp)
{
    set_blocks({{.type = 0x40, .length = 64}});
    EXPECT_EQ(announce_iommu_snp(memory(), true).blocks, 1u);
    EXPECT_EQ(efr(), snp_sup);
}

TEST_F(ivrs_test, other_feature_bits_stay)
{
    set_blocks({{}});
    put<std::uint64_t>(ivrs + 48 + 24, 0xf77ef22294ada);
    put<std::uint64_t>(ivrs + 48 + 32, 5);
    announce_iommu_snp(memory(), true);
    EXPECT_EQ(efr(), snp_sup | 0xf77ef22294ada);
    EXPECT_EQ(efr2(), snp_page_mode_0 | 5);
}

TEST_F(ivrs_test, checksum_is_mended)
{
    set_blocks({{}, {.type = 0x40}});
    ASSERT_EQ(sum(), 0);
    announce_iommu_snp(memory(), true);
    EXPECT_EQ(sum(), 0);
}

TEST_F(ivrs_test, announcing_twice_changes_nothing_more)
{
    set_blocks({{}});
    announce_iommu_snp(memory(), true);
    const auto before = bytes_at(ivrs, 88);
    EXPECT_EQ(announce_iommu_snp(memory(), true).error, "");
    EXPECT_EQ(bytes_at(ivrs, 88), before);
}

TEST_F(ivrs_test, ivhd_10h_has_no_such_fields_and_stays)
{
    set_blocks({{.type = 0x10, .length = 24}, {.type = 0x11}});
    const auto before = bytes_at(ivrs + 48, 24);
    EXPECT_EQ(announce_iommu_snp(memory(), true).blocks, 1u);
    EXPECT_EQ(bytes_at(ivrs + 48, 24), before);
    EXPECT_EQ(efr(24), snp_sup);
}

TEST_F(ivrs_test, memory_blocks_stay)
{
    set_blocks({{.type = 0x20, .length = 40}, {.type = 0x11}});
    const auto before = bytes_at(ivrs + 48, 40);
    announce_iommu_snp(memory(), true);
    EXPECT_EQ(bytes_at(ivrs + 48, 40), before);
}

TEST_F(ivrs_test, register_base_is_that_of_the_first_iommu)
{
    set_blocks({{.register_base = 0xfed80000}, {.register_base = 0xfed90000}});
    const iommu_setup s = announce_iommu_snp(memory(), true);
    EXPECT_EQ(s.blocks, 2u);
    EXPECT_EQ(s.register_base, 0xfed80000u);
}

TEST_F(ivrs_test, table_is_found_through_the_xsdt)
{
    use_xsdt();
    set_blocks({{}});
    EXPECT_EQ(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, missing_table_is_an_error)
{
    put_text(ivrs, "XXXX");
    EXPECT_EQ(announce_iommu_snp(memory(), true).error,
              "no ACPI IVRS table; add -device amd-iommu");
}

TEST_F(ivrs_test, missing_rsdp_is_an_error)
{
    put_text(rsdp, "RSD PTX ");
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, table_without_blocks_is_an_error)
{
    EXPECT_EQ(announce_iommu_snp(memory(), true).error,
              "the ACPI IVRS table has no IVHD of type 11h or 40h");
}

TEST_F(ivrs_test, table_with_only_ivhd_10h_is_an_error)
{
    set_blocks({{.type = 0x10, .length = 24}});
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, root_table_outside_ram_is_an_error)
{
    put<std::uint32_t>(rsdp + 16, 0xf0000000);
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, pointers_outside_ram_are_skipped)
{
    set_blocks({{}});
    put<std::uint32_t>(rsdt + 36, 0xfffffffc);
    EXPECT_EQ(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, root_table_of_gigabytes_is_an_error)
{
    put_header(rsdt, "RSDT", 0xffffffff);
    put<std::uint32_t>(rsdt + 40, 0);
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
}

TEST_F(ivrs_test, block_of_length_0_ends_the_table)
{
    set_blocks({{}, {.type = 0x11, .length = 0}});
    put_header(ivrs, "IVRS", 200);
    EXPECT_EQ(announce_iommu_snp(memory(), true).blocks, 1u);
}

TEST_F(ivrs_test, block_too_short_for_the_fields_stays)
{
    set_blocks({{.type = 0x11, .length = 39}, {}});
    const auto before = bytes_at(ivrs + 48, 39);
    EXPECT_EQ(announce_iommu_snp(memory(), true).blocks, 1u);
    EXPECT_EQ(bytes_at(ivrs + 48, 39), before);
}

TEST_F(ivrs_test, block_that_leaves_its_table_stays)
{
    set_blocks({{}});
    put_header(ivrs, "IVRS", 48 + 20);
    const auto behind = bytes_at(ivrs + 48 + 20, 64);
    EXPECT_EQ(announce_iommu_snp(memory(), true).blocks, 0u);
    EXPECT_EQ(bytes_at(ivrs + 48 + 20, 64), behind);
}

TEST_F(ivrs_test, table_that_leaves_ram_is_an_error)
{
    const spa_t end = ram_bytes - 48 - 20;
    put(rsdt + 40, static_cast<std::uint32_t>(end));
    put_header(end, "IVRS", 48 + 40);
    put<std::uint8_t>(end + 48, 0x11);
    put<std::uint16_t>(end + 48 + 2, 40);
    const iommu_setup s = announce_iommu_snp(memory(), true);
    EXPECT_NE(s.error, "");
    EXPECT_EQ(s.blocks, 0u);
}

TEST_F(ivrs_test, table_of_gigabytes_is_an_error)
{
    set_blocks({{}});
    put_header(ivrs, "IVRS", 0xffffffff);
    const auto before = bytes_at(ivrs, 88);
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
    EXPECT_EQ(bytes_at(ivrs, 88), before);
}

TEST_F(ivrs_test, table_shorter_than_its_header_is_an_error)
{
    put_header(ivrs, "IVRS", 7);
    EXPECT_NE(announce_iommu_snp(memory(), true).error, "");
}

// state_of_iommu.

TEST(state_of_iommu, it_is_on_when_its_control_register_says_so)
{
    EXPECT_FALSE(state_of_iommu({}).enabled);
    EXPECT_TRUE(state_of_iommu({.control = 1}).enabled);
    EXPECT_FALSE(state_of_iommu({.control = ~1ull}).enabled);
}

TEST(state_of_iommu, event_and_ppr_logs_have_their_encoded_lengths)
{
    const auto r =
        state_of_iommu({.event_base = 9ull << 56 | 0x10000, .ppr_base = 15ull << 56 | 0x80000})
            .buffers;
    const std::vector<spa_range> expected{{0x10000, 8192}, {0x80000, 512 * 1024}};
    EXPECT_EQ(r, expected);
}

TEST(state_of_iommu, smallest_log_is_a_page)
{
    EXPECT_EQ(state_of_iommu({.event_base = 8ull << 56 | 0x10000}).buffers,
              (std::vector<spa_range>{{0x10000, 4096}}));
}

TEST(state_of_iommu, reserved_lengths_are_no_log)
{
    for (std::uint64_t length = 0; length < 8; ++length) {
        EXPECT_TRUE(state_of_iommu({.event_base = length << 56 | 0x10000}).buffers.empty())
            << length;
    }
}

TEST(state_of_iommu, flags_of_a_log_are_no_address)
{
    EXPECT_EQ(state_of_iommu({.event_base = 0xf8ull << 56 | 0xfff | 0x10000}).buffers,
              (std::vector<spa_range>{{0x10000, 4096}}));
}

TEST(state_of_iommu, registers_never_written_are_no_buffers)
{
    EXPECT_TRUE(state_of_iommu({}).buffers.empty());
    EXPECT_TRUE(state_of_iommu({.event_base = 8ull << 56}).buffers.empty());
}

TEST(state_of_iommu, completion_wait_range_includes_its_last_page)
{
    EXPECT_EQ(state_of_iommu({.excl_base = 0x20000 | 3, .excl_limit = 0x22fff}).buffers,
              (std::vector<spa_range>{{0x20000, 0x3000}}));
}

TEST(state_of_iommu, completion_wait_range_without_base_is_the_limit_s_page)
{
    EXPECT_EQ(state_of_iommu({.excl_limit = 0x22000}).buffers,
              (std::vector<spa_range>{{0x22000, 4096}}));
}

TEST(state_of_iommu, completion_wait_range_without_limit_is_none)
{
    EXPECT_TRUE(state_of_iommu({.excl_base = 0x22000}).buffers.empty());
}

TEST(state_of_iommu, completion_wait_range_that_ends_before_it_starts_is_none)
{
    EXPECT_TRUE(state_of_iommu({.excl_base = 0x30000, .excl_limit = 0x22000}).buffers.empty());
}

} // namespace

} // namespace rmpopt
