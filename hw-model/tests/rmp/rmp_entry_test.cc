// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/firmware/common/page_state.h"
#include "hw-model/rmp/rmp_entry.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace rmpopt::hw
{

namespace
{

rmp_entry with(auto change)
{
    rmp_entry e;
    change(e);
    return e;
}

std::array<std::byte, 16> record_bytes(std::initializer_list<unsigned> bytes)
{
    std::array<std::byte, 16> out{};
    std::ranges::transform(bytes, out.begin(), [](unsigned b) { return std::byte(b); });
    return out;
}

struct raw_case {
    std::string name;
    std::uint64_t lo;
    std::uint64_t hi;
    rmp_entry entry;
};

class raw_entry : public testing::TestWithParam<raw_case>
{
};

TEST_P(raw_entry, is_decoded)
{
    EXPECT_EQ(rmp_entry::decode({GetParam().lo, GetParam().hi}), GetParam().entry);
}

TEST_P(raw_entry, is_encoded)
{
    EXPECT_EQ(GetParam().entry.encode(), (rmp_entry_raw{GetParam().lo, GetParam().hi}));
}

INSTANTIATE_TEST_SUITE_P(
    each_field, raw_entry,
    testing::Values(
        raw_case{"zero", 0, 0, {}},
        raw_case{"assigned", 1, 0, with([](auto &e) { e.assigned = true; })},
        raw_case{"size", 2, 0, with([](auto &e) { e.size_2m = true; })},
        raw_case{"immutable", 4, 0, with([](auto &e) { e.immutable = true; })},
        raw_case{"subpage_count", 511 << 3, 0, with([](auto &e) { e.subpage_count = 511; })},
        raw_case{"lowest_gpa", 0x1000, 0, with([](auto &e) { e.gpa = 0x1000; })},
        raw_case{"highest_gpa", 0x7fffffffff000, 0, with([](auto &e) { e.gpa = 0x7fffffffff000; })},
        raw_case{"asid", 0x3ffull << 51, 0, with([](auto &e) { e.asid = 0x3ff; })},
        raw_case{"vmsa", 1ull << 61, 0, with([](auto &e) { e.vmsa = true; })},
        raw_case{"validated", 1ull << 62, 0, with([](auto &e) { e.validated = true; })},
        raw_case{"lock", 1ull << 63, 0, with([](auto &e) { e.lock = true; })},
        raw_case{"permissions", 0, 0x1f0f0301, with([](auto &e) {
                     e.vmpl = {1, 3, 15, 31};
                 })}),
    [](const auto &info) { return info.param.name; });

TEST(rmp_entry, decodes_a_firmware_page_as_seen_on_hardware)
{
    EXPECT_EQ(firmware_entry().encode().lo, 0x8000000000000005);
    EXPECT_EQ(state_of(rmp_entry::decode({0x8000000000000005, 0})), page_state::firmware);
}

TEST(rmp_entry, decodes_a_subpage_count_as_seen_on_hardware)
{
    EXPECT_EQ(rmp_entry::decode({0x80000000000007fd, 0}).subpage_count, 255);
}

TEST(rmp_entry, decodes_hv_fixed_as_seen_on_hardware)
{
    EXPECT_EQ(state_of(rmp_entry::decode({4, 0})), page_state::hv_fixed);
}

RC_GTEST_PROP(rmp_entry, raw_form_survives_decoding, (std::uint64_t lo, std::uint32_t hi))
{
    const rmp_entry_raw raw{lo, hi};
    RC_ASSERT(rmp_entry::decode(raw).encode() == raw);
}

TEST(rmp_entry, does_not_keep_the_undefined_upper_half)
{
    EXPECT_EQ(rmp_entry::decode({0, ~0ull}).encode().hi, 0xffffffff);
}

TEST(rmp_entry, gpa_offset_does_not_reach_other_fields)
{
    EXPECT_EQ(with([](auto &e) { e.gpa = 0xfff; }).encode().lo, 0u);
}

TEST(rmp_entry, gpa_above_51_bits_does_not_reach_the_asid)
{
    EXPECT_EQ(with([](auto &e) { e.gpa = ~0ull; }).encode().lo, 0x7fffffffff000u);
}

TEST(rmp_entry, asid_above_10_bits_does_not_reach_vmsa)
{
    EXPECT_EQ(with([](auto &e) { e.asid = 0xfc00; }).encode().lo, 0u);
}

TEST(rmp_entry, subpage_count_above_9_bits_does_not_reach_the_gpa)
{
    EXPECT_EQ(with([](auto &e) { e.subpage_count = 0xfe00; }).encode().lo, 0u);
}

TEST(rmp_entry, unassigned_page_is_host_writable)
{
    EXPECT_TRUE(rmp_entry{}.host_writable());
}

TEST(rmp_entry, hv_fixed_page_is_host_writable)
{
    EXPECT_TRUE(hv_fixed_entry().host_writable());
}

TEST(rmp_entry, assigned_page_is_not_host_writable)
{
    EXPECT_FALSE(with([](auto &e) { e.assigned = true; }).host_writable());
}

TEST(rmp_record, has_the_gpa_at_offset_0)
{
    const auto r = rmp_record::decode(record_bytes({0, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70}));
    EXPECT_EQ(r, (rmp_record{.gpa = 0x7060504030201000}));
}

TEST(rmp_record, has_assigned_at_offset_8)
{
    EXPECT_EQ(rmp_record::decode(record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 1})),
              (rmp_record{.assigned = true}));
}

TEST(rmp_record, has_the_size_at_offset_9_bit_0)
{
    EXPECT_EQ(rmp_record::decode(record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 1})),
              (rmp_record{.size_2m = true}));
}

TEST(rmp_record, has_the_region_status_at_offset_9_bit_1)
{
    EXPECT_EQ((rmp_record{.hpage_region_status = true}.encode()),
              record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 2}));
}

TEST(rmp_record, has_immutable_at_offset_10)
{
    EXPECT_EQ(rmp_record::decode(record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})),
              (rmp_record{.immutable = true}));
}

TEST(rmp_record, has_the_asid_at_offset_12)
{
    EXPECT_EQ((rmp_record{.asid = 0x04030201}.encode()),
              record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}));
}

TEST(rmp_record, ignores_the_reserved_byte)
{
    EXPECT_EQ(rmp_record::decode(record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff})),
              rmp_record{});
}

TEST(rmp_record, ignores_reserved_bits_of_its_flags)
{
    EXPECT_EQ(rmp_record::decode(record_bytes({0, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xfc, 0xfe})),
              rmp_record{});
}

RC_GTEST_PROP(rmp_record, survives_encoding,
              (std::uint64_t gpa, std::uint32_t asid, bool a, bool s, bool h, bool i))
{
    const rmp_record r{.gpa = gpa,
                       .assigned = a,
                       .size_2m = s,
                       .hpage_region_status = h,
                       .immutable = i,
                       .asid = asid};
    RC_ASSERT(rmp_record::decode(r.encode()) == r);
}

// The states of table 3.4 of the firmware ABI, told apart by the fewest fields.

TEST(page_state, assigned_page_of_asid_0_without_immutable_is_reclaim)
{
    EXPECT_EQ(state_of(with([](auto &e) { e.assigned = true; })), page_state::reclaim);
}

TEST(page_state, firmware_page_with_vmsa_is_context)
{
    rmp_entry e = firmware_entry();
    e.vmsa = true;
    EXPECT_EQ(state_of(e), page_state::context);
}

TEST(page_state, firmware_page_with_gpa_frame_1_is_the_iommu_s)
{
    EXPECT_EQ(state_of(firmware_iommu_entry()), page_state::firmware_iommu);
}

TEST(page_state, firmware_page_with_another_gpa_is_metadata)
{
    rmp_entry e = firmware_entry();
    e.gpa = 0x2000;
    EXPECT_EQ(state_of(e), page_state::metadata);
}

TEST(page_state, guest_page_is_told_by_immutable_and_validated)
{
    rmp_entry e;
    e.assigned = true;
    e.asid = 1;
    EXPECT_EQ(state_of(e), page_state::guest_invalid);
    e.validated = true;
    EXPECT_EQ(state_of(e), page_state::guest_valid);
    e.immutable = true;
    EXPECT_EQ(state_of(e), page_state::pre_swap);
    e.validated = false;
    EXPECT_EQ(state_of(e), page_state::pre_guest);
}

TEST(page_state, unassigned_page_is_the_hypervisor_s)
{
    EXPECT_EQ(state_of({}), page_state::hypervisor);
}

} // namespace

} // namespace rmpopt::hw
