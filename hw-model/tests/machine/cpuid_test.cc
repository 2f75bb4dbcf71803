// SPDX-License-Identifier: GPL-2.0-or-later
// CPUID and CPU models.
#include "hw-model/machine/cpuid.h"

#include <gtest/gtest.h>
#include <set>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t encryption_leaf = 0x8000001f, rmp_leaf = 0x80000025;

cpuid_regs ask(std::string_view cpu_model_name, std::uint32_t leaf, cpuid_regs native = {},
               unsigned phys_bits = 48)
{
    machine::settings s;
    s.cpu = find_cpu_model(cpu_model_name);
    s.cpus.core_of_thread = {0};
    s.phys_bits = phys_bits;
    const machine m(std::move(s));
    adjust_cpuid(m, leaf, native);
    return native;
}

bool has(std::uint32_t value, unsigned bit)
{
    return ((value >> bit) & 1) != 0;
}

class any_cpu_model : public testing::TestWithParam<std::string_view>
{
};

TEST_P(any_cpu_model, has_sme_sev_es_and_snp)
{
    const std::uint32_t eax = ask(GetParam(), encryption_leaf).eax;
    for (const unsigned bit : {0u, 1u, 2u, 3u, 4u, 5u}) {
        EXPECT_TRUE(has(eax, bit)) << "bit " << bit;
    }
}

TEST_P(any_cpu_model, does_not_say_that_in_use_pages_may_be_written)
{
    EXPECT_FALSE(has(ask(GetParam(), encryption_leaf).eax, 30));
}

TEST_P(any_cpu_model, has_the_c_bit_at_51_and_4_vmpls)
{
    const std::uint32_t ebx = ask(GetParam(), encryption_leaf).ebx;
    EXPECT_EQ(ebx & 0x3f, 51u);
    EXPECT_EQ(ebx >> 12 & 0xf, 4u);
}

TEST_P(any_cpu_model, reduces_the_address_width_only_where_it_shows_52_bits)
{
    EXPECT_EQ(ask(GetParam(), encryption_leaf, {}, 52).ebx >> 6 & 0x3f, 5u);
    EXPECT_EQ(ask(GetParam(), encryption_leaf, {}, 48).ebx >> 6 & 0x3f, 0u);
    EXPECT_EQ(ask(GetParam(), encryption_leaf, {}, 40).ebx >> 6 & 0x3f, 0u);
}

TEST_P(any_cpu_model, has_room_for_snp_asids)
{
    const cpuid_regs r = ask(GetParam(), encryption_leaf);
    EXPECT_GT(r.edx, 1u);
    EXPECT_GT(r.ecx, r.edx);
}

TEST_P(any_cpu_model, has_more_asids_for_svm_than_for_sev)
{
    EXPECT_GT(ask(GetParam(), 0x8000000a).ebx, ask(GetParam(), encryption_leaf).ecx);
}

TEST_P(any_cpu_model, adds_the_svm_features_that_kvm_needs_to_the_emulator_s)
{
    const cpuid_regs r = ask(GetParam(), 0x8000000a, {.eax = 1, .edx = 1u << 16});
    for (const unsigned bit : {0u, 1u, 3u, 6u, 7u, 16u}) {
        EXPECT_TRUE(has(r.edx, bit)) << "bit " << bit;
    }
    EXPECT_EQ(r.eax, 1u);
}

TEST_P(any_cpu_model, raises_the_highest_leaf)
{
    EXPECT_EQ(ask(GetParam(), 0x80000000, {.eax = 0x8000001e, .ebx = 7}).eax, rmp_leaf);
    EXPECT_EQ(ask(GetParam(), 0x80000000, {.eax = 0x8000001e, .ebx = 7}).ebx, 7u);
}

TEST_P(any_cpu_model, does_not_lower_the_highest_leaf)
{
    EXPECT_EQ(ask(GetParam(), 0x80000000, {.eax = 0x80000030}).eax, 0x80000030);
}

TEST_P(any_cpu_model, does_not_touch_other_leaves)
{
    for (const std::uint32_t leaf :
         {0u, 1u, 7u, 0xbu, 0x80000001u, 0x80000008u, 0x8000001eu, 0x80000020u, 0x80000026u}) {
        EXPECT_FALSE(is_modelled_leaf(leaf)) << std::hex << leaf;
        const cpuid_regs r = ask(GetParam(), leaf, {.eax = 1, .ebx = 2, .ecx = 3, .edx = 4});
        EXPECT_EQ(r.eax + r.ebx * 10 + r.ecx * 100 + r.edx * 1000, 4321u) << std::hex << leaf;
    }
}

TEST_P(any_cpu_model, models_the_leaves_that_it_changes)
{
    for (const std::uint32_t leaf : {0x80000000u, 0x8000000au, encryption_leaf, rmp_leaf}) {
        EXPECT_TRUE(is_modelled_leaf(leaf)) << std::hex << leaf;
    }
}

INSTANTIATE_TEST_SUITE_P(cpu_models, any_cpu_model,
                         testing::Values("venice", "turin", "genoa", "milan"),
                         [](const auto &info) { return std::string(info.param); });

TEST(cpuid, venice_has_rmpread_segments_and_rmpopt)
{
    EXPECT_TRUE(has(ask("venice", encryption_leaf).eax, 21));
    EXPECT_TRUE(has(ask("venice", encryption_leaf).eax, 23));
    EXPECT_TRUE(has(ask("venice", rmp_leaf).edx, 0));
}

TEST(cpuid, turin_has_no_rmpopt)
{
    EXPECT_TRUE(has(ask("turin", encryption_leaf).eax, 21));
    EXPECT_TRUE(has(ask("turin", encryption_leaf).eax, 23));
    EXPECT_EQ(ask("turin", rmp_leaf).edx, 0u);
}

TEST(cpuid, genoa_and_milan_have_neither_rmpread_nor_segments_nor_rmpopt)
{
    for (const char *name : {"genoa", "milan"}) {
        EXPECT_FALSE(has(ask(name, encryption_leaf).eax, 21)) << name;
        EXPECT_FALSE(has(ask(name, encryption_leaf).eax, 23)) << name;
        const cpuid_regs r = ask(name, rmp_leaf, {.eax = 1, .ebx = 2, .ecx = 3, .edx = 4});
        EXPECT_EQ(r.eax | r.ebx | r.ecx | r.edx, 0u) << name;
    }
}

TEST(cpuid, segment_sizes_are_log2_bytes_as_rmp_cfg_holds_them)
{
    const cpuid_regs r = ask("venice", rmp_leaf);
    EXPECT_EQ(r.eax & 0x3f, 30u);
    EXPECT_EQ(r.eax >> 6 & 0x3f, 42u);
    const unsigned shift = find_cpu_model("venice")->segment_shift;
    EXPECT_TRUE(shift >= 30 && shift <= 42);
}

TEST(cpuid, number_of_segments_is_no_hard_limit)
{
    EXPECT_FALSE(has(ask("venice", rmp_leaf).ebx, 10));
}

TEST(cpuid, hard_limit_and_number_of_segments_are_the_cpu_model_s)
{
    cpu_model limited = *find_cpu_model("venice");
    limited.cacheable_segments = 8;
    limited.rst_hard_limit = true;
    machine::settings s;
    s.cpu = &limited;
    s.cpus.core_of_thread = {0};
    const machine m(std::move(s));
    cpuid_regs r;
    adjust_cpuid(m, rmp_leaf, r);
    EXPECT_EQ(r.ebx, 1u << 10 | 8u);
    EXPECT_EQ(ask("venice", rmp_leaf).ebx, 64u);
}

TEST(cpu_model, is_found_by_name)
{
    ASSERT_NE(find_cpu_model("venice"), nullptr);
    EXPECT_EQ(find_cpu_model("venice")->name, "venice");
}

TEST(cpu_model, is_not_found_by_another_spelling)
{
    EXPECT_EQ(find_cpu_model("Venice"), nullptr);
    EXPECT_EQ(find_cpu_model("venic"), nullptr);
    EXPECT_EQ(find_cpu_model(""), nullptr);
}

TEST(cpu_model, names_are_unique)
{
    std::set<std::string_view> names;
    for (const cpu_model &p : cpu_models()) {
        EXPECT_TRUE(names.insert(p.name).second) << p.name;
    }
}

TEST(cpu_model, is_told_from_others_by_family_and_model)
{
    struct expectation {
        std::string_view name;
        unsigned family, first, last;
    };
    for (const expectation &e : {expectation{"venice", 0x1a, 0x50, 0x5f},
                                 {"turin", 0x1a, 0x00, 0x2f},
                                 {"genoa", 0x19, 0x10, 0x1f},
                                 {"milan", 0x19, 0x00, 0x0f}}) {
        const cpu_model *p = find_cpu_model(e.name);
        ASSERT_NE(p, nullptr) << e.name;
        EXPECT_EQ(p->family, e.family) << e.name;
        EXPECT_EQ(p->model_first, e.first) << e.name;
        EXPECT_EQ(p->model_last, e.last) << e.name;
    }
}

TEST(cpu_model, tells_how_many_asids_it_has)
{
    for (const auto &[name, asids] :
         {std::pair{"venice", 1006u}, {"turin", 1006u}, {"genoa", 1006u}, {"milan", 509u}}) {
        EXPECT_EQ(ask(name, encryption_leaf).ecx, asids) << name;
        EXPECT_EQ(ask(name, encryption_leaf).edx, 100u) << name;
    }
}

TEST(cpu_model, boots_with_a_layout_that_it_has)
{
    for (const cpu_model &p : cpu_models()) {
        EXPECT_EQ(p.layout == rmp_layout::segmented, p.segmented_rmp) << p.name;
    }
}

TEST(cpu_model, with_rmpopt_has_segments)
{
    for (const cpu_model &p : cpu_models()) {
        EXPECT_TRUE(!p.rmpopt || p.segmented_rmp) << p.name;
    }
}

TEST(cpu_model, without_raw_entries_has_rmpread)
{
    for (const cpu_model &p : cpu_models()) {
        EXPECT_TRUE(p.family == 0x19 || p.rmpread) << p.name;
    }
}

} // namespace

} // namespace rmpopt::hw
