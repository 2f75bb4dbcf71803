// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_START and SNP_LAUNCH_UPDATE.
//
// The digests are not from the model: they were computed with Python's hashlib, step by step as
//   ld = sha384(ld + contents + struct.pack('<HBBBBBBQ', 112, type, imi, 0, vmpl1, vmpl2, vmpl3,
//                                           gpa)).digest()
// from 48 zero bytes, where contents is sha384(page) for normal pages and for VMSAs (with bytes
// 0x2f0 to 0x2ff zeroed), else 48 zero bytes.
#include "snp_guest_fixture.h"

#include "hw-model/machine/audit.h"

namespace rmpopt::hw
{
namespace
{

using enum firmware_command;
using enum firmware_status;

using snp_launch_start_test = snp_guest_fixture;

TEST_F(snp_launch_start_test, begins_a_launch)
{
    make_context();
    EXPECT_EQ(start(context), success);
    EXPECT_EQ(guest().state, snp_guest_state::launch);
    EXPECT_EQ(start(context), invalid_guest_state) << "twice";
}

TEST_F(snp_launch_start_test, refuses_reserved_flags)
{
    make_context();
    EXPECT_EQ(start(context, policy, 4), invalid_param);
    EXPECT_EQ(start(context, policy, 1u << 31), invalid_param);
    EXPECT_EQ(start(context, policy, 2), success) << "migration image";
}

TEST_F(snp_launch_start_test, checks_the_policy)
{
    make_context();
    EXPECT_EQ(start(context, policy & ~(1ull << 17)), invalid_param) << "must be one";
    EXPECT_EQ(start(context, policy | 1ull << 26), invalid_param) << "a later version's";
    EXPECT_EQ(start(context, policy | 1ull << 63), invalid_param);
    EXPECT_EQ(start(context, policy & ~(1ull << 16)), policy_failure) << "SMT is on";
    EXPECT_EQ(start(context, policy | 1u << 8 | 59), policy_failure) << "version 1.59";
    EXPECT_EQ(start(context, policy | 2u << 8), policy_failure) << "version 2.0";
    for (const unsigned feature : {22, 23, 24}) {
        EXPECT_EQ(start(context, policy | 1ull << feature), policy_failure) << feature;
    }
    EXPECT_EQ(guest().state, snp_guest_state::init);
    EXPECT_EQ(start(context, policy | 1ull << 21 | 1ull << 20 | 1u << 8 | 58), success);
}

TEST_F(snp_launch_start_test, a_policy_may_demand_what_snp_init_ex_switched_on)
{
    constexpr std::uint64_t no_rapl = 1ull << 23, no_ciphertext = 1ull << 24;
    snp_down();
    ASSERT_EQ(init_hiding(9), success);
    make_context();
    EXPECT_EQ(start(context, policy | no_rapl), policy_failure);
    EXPECT_EQ(start(context, policy | no_ciphertext), success);
    ASSERT_EQ(run_with(snp_decommission, context), success);
    snp_down();
    ASSERT_EQ(init_ex(1u | 1u << 2), success);
    make_context();
    EXPECT_EQ(start(context, policy | no_ciphertext), policy_failure);
    EXPECT_EQ(start(context, policy | no_rapl), success);
}

TEST_F(snp_launch_start_test, page_swap_disable_is_a_policy_from_1_58_on)
{
    make_context();
    EXPECT_EQ(start(context, policy | 1ull << 25), success);
    build("genoa", rmp_layout::contiguous);
    snp_up();
    make_context();
    EXPECT_EQ(start(context, policy | 1ull << 25), invalid_param);
}

TEST_F(snp_launch_start_test, a_policy_without_smt_runs_where_there_is_none)
{
    machine::settings s;
    s.cpu = find_cpu_model("venice");
    s.cpus.core_of_thread = {0, 1};
    s.memory = m->memory();
    m = std::make_unique<machine>(std::move(s));
    m->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
    fw = std::make_unique<firmware>(*m);
    snp_up();
    make_context();
    EXPECT_EQ(start(context, 0x20000), success);
}

TEST_F(snp_launch_start_test, wants_another_guest_as_migration_agent)
{
    constexpr std::uint64_t migratable = policy | 1u << 18;
    make_context();
    EXPECT_EQ(start(context, migratable, 1, other_context), invalid_guest);
    EXPECT_EQ(start(context, migratable, 1, other_context + 1), invalid_address);
    EXPECT_EQ(start(context, migratable, 1, context), invalid_guest) << "itself";
    make_context(other_context);
    EXPECT_EQ(start(context, policy, 1, other_context), policy_failure) << "not migratable";
    EXPECT_EQ(start(context, migratable, 1, other_context), success);
    make_context(page);
    EXPECT_EQ(start(page, migratable, 1, context), policy_failure) << "the agent has an agent";
}

class snp_launch_update_test : public snp_guest_fixture
{
  protected:
    void SetUp() override
    {
        snp_guest_fixture::SetUp();
        launch();
        pre_guest(page);
        fill(page, 0x5a);
    }
    void expect_untouched(spa_t at = page)
    {
        EXPECT_EQ(state(at), page_state::pre_guest);
        EXPECT_EQ(digest(), std::string(96, '0'));
    }
};

TEST_F(snp_launch_update_test, digest_is_as_computed_elsewhere)
{
    ASSERT_EQ(update(normal, page), success);
    EXPECT_EQ(digest(), "23dd7f0a1a259421f2176841a2654563645692ec418053e0"
                        "ed993fa93d892fd8586df2d54bad4cbe0956a541a4f48d03");
    const std::array<std::pair<type, std::string_view>, 4> others{{
        {zero, "6500975cbe02fb716cffbcccd05c1c2bfd4ac9fb76714f06"
               "7f1d8d2e340901a58945b1e51cc0920635d82fc1a7a889e4"},
        {unmeasured, "dd1e84fedb589f9c228f070502b9a4b5d3fa2ddb457a8f61"
                     "4c5d955b717d317f169caa092ab21218c5cfeae18f59e5c2"},
        {secrets, "259fd4414118da65cfe7fed8c5fff0f3d5c37e03d4201ddf"
                  "7132316a1f15700689ff1fac7e231c40bd42b22b4ab657a4"},
        {cpuid, "48e4b05827dd7cf58a6726795a0a037015d29d05d7d4437f"
                "46857a6606d7a00880557ba3bd35b46c0c628fb9ca0e77da"},
    }};
    spa_t at = page;
    for (const auto &[t, expected] : others) {
        at += page_4k;
        pre_guest(at, at);
        ASSERT_EQ(update(t, at), success) << t;
        EXPECT_EQ(digest(), expected) << t;
    }
    at += page_4k;
    pre_guest(at, 0xfffffffff000);
    fill(at, 0x11);
    ASSERT_EQ(update(vmsa, at, 0, 0x0f030100), success);
    EXPECT_EQ(digest(), "387f36e0d4e9fef5fc42b7431b2d42c0120fd1480445f180"
                        "6aeef9320c881e4e3c7d6e129f80cf4830c29cc79684328b");
}

TEST_F(snp_launch_update_test, tsc_scale_and_offset_of_a_vmsa_are_not_measured)
{
    const auto digest_with = [this](type t, std::uint64_t offset) {
        SetUp();
        m->memory().store<std::uint64_t>(page + offset, 0x1234);
        EXPECT_EQ(update(t, page), success);
        return digest();
    };
    const std::string untouched = digest_with(vmsa, 0x1000); // behind the page
    EXPECT_EQ(digest_with(vmsa, 0x2f0), digest_with(vmsa, 0x2f8));
    EXPECT_NE(digest_with(vmsa, 0x2e8), untouched);
    EXPECT_NE(digest_with(vmsa, 0x300), untouched);
    EXPECT_NE(digest_with(normal, 0x2f0), digest_with(normal, 0x2f8));
}

TEST_F(snp_launch_update_test, a_2_mb_page_is_measured_as_512_pages)
{
    pre_guest(page_2mb, 0x200000, asid, true);
    fill(page_2mb, 0x5a, page_2m);
    ASSERT_EQ(update(normal, page_2mb, 1), success);
    EXPECT_EQ(digest(), "8645b50a021a493423fa8156288f1840099b221e92697d57"
                        "9f0ece6bbe5d534632545f2e8852d865feb7ed1ca22f040e");
    EXPECT_EQ(state(page_2mb), page_state::guest_valid);
    EXPECT_TRUE(entry(page_2mb).size_2m);
    EXPECT_TRUE(audit(*m).empty());
}

TEST_F(snp_launch_update_test, pages_become_the_guests)
{
    rmp_entry expected = entry(page);
    ASSERT_EQ(update(normal, page, 0, 0x01030f00), success);
    expected.immutable = false;
    expected.validated = true;
    expected.vmpl = {vmpl_perm::all, 0xf, 3, 1};
    EXPECT_EQ(entry(page), expected);
    EXPECT_EQ(state(page), page_state::guest_valid);
    EXPECT_TRUE(is_filled(page, 0x5a)) << "memory is not encrypted in the model";
    EXPECT_TRUE(changes.ranges().empty()) << "the host could not write it before either";
    EXPECT_EQ(update(normal, page), invalid_page_state) << "twice";
    EXPECT_TRUE(audit(*m).empty());
}

TEST_F(snp_launch_update_test, vmsa_pages_carry_the_bit)
{
    ASSERT_EQ(update(vmsa, page), success);
    EXPECT_TRUE(entry(page).vmsa);
    EXPECT_EQ(state(page), page_state::guest_valid);
}

TEST_F(snp_launch_update_test, zero_pages_are_zeroed)
{
    ASSERT_EQ(update(zero, page), success);
    EXPECT_TRUE(memory_is_zero(page, page_4k));
    pre_guest(page_2mb, 0x200000, asid, true);
    fill(page_2mb, 0x5a, page_2m);
    ASSERT_EQ(update(zero, page_2mb, 1), success);
    EXPECT_TRUE(memory_is_zero(page_2mb, page_2m));
}

TEST_F(snp_launch_update_test, unmeasured_pages_keep_their_content)
{
    ASSERT_EQ(update(unmeasured, page), success);
    EXPECT_TRUE(is_filled(page, 0x5a));
}

TEST_F(snp_launch_update_test, needs_a_launch_with_an_asid)
{
    make_context(other_context);
    EXPECT_EQ(update(normal, page, 0, 0, other_context), invalid_guest_state);
    ASSERT_EQ(start(other_context), success);
    EXPECT_EQ(update(normal, page, 0, 0, other_context), inactive);
    ASSERT_EQ(finish(context), success);
    EXPECT_EQ(update(normal, page), invalid_guest_state);
    expect_untouched();
}

TEST_F(snp_launch_update_test, refuses_reserved_fields)
{
    const auto raw = [this](std::uint32_t flags, std::uint32_t r2, std::uint32_t vmpls,
                            std::uint32_t r4) {
        return run_with(snp_launch_update, context, flags, r2, page, vmpls, r4);
    };
    EXPECT_EQ(raw(2 | 1u << 5, 0, 0, 0), invalid_param);
    EXPECT_EQ(raw(2 | 1u << 31, 0, 0, 0), invalid_param);
    EXPECT_EQ(raw(2, 1, 0, 0), invalid_param);
    EXPECT_EQ(raw(2, 0, 1, 0), invalid_param) << "VMPL0 has all permissions";
    EXPECT_EQ(raw(2, 0, 0, 1), invalid_param);
    for (const std::uint32_t vmpls : {0x2000u, 0x200000u, 0x20000000u}) {
        EXPECT_EQ(raw(2, 0, vmpls, 0), invalid_param) << "permissions without a meaning";
    }
    EXPECT_EQ(raw(0 << 1, 0, 0, 0), invalid_param) << "page type 0";
    EXPECT_EQ(raw(7 << 1, 0, 0, 0), invalid_param) << "page type 7";
    expect_untouched();
    EXPECT_EQ(raw(2, 0, 0x1f1f1f00, 0), success);
}

TEST_F(snp_launch_update_test, migration_image_pages_need_such_a_launch)
{
    EXPECT_EQ(update(normal, page, 1 << 4), invalid_param);
    expect_untouched();
}

TEST_F(snp_launch_update_test, migration_image_pages_are_marked_in_the_digest)
{
    ASSERT_EQ(reclaim(page), success);
    rmp_changes fx;
    ASSERT_EQ(rmpupdate(*m, page, rmp_record{}, fx), rmp_status::success);
    ASSERT_EQ(decommission(context), success);
    ASSERT_EQ(reclaim(context), success);
    ASSERT_EQ(status_of(snp_df_flush), success);
    launch(context, asid, policy, 2);
    pre_guest(page);
    ASSERT_EQ(update(normal, page, 1 << 4), success);
    EXPECT_EQ(digest(), "558a7726992cab554f4b45fe783401b88ca8e873bb95b3a7"
                        "c034da9a47ebc67fca11a13e6e537dac2847f83415b3f5c0");
}

TEST_F(snp_launch_update_test, checks_address_state_size_and_owner_in_this_order)
{
    EXPECT_EQ(update(normal, page + 8), invalid_address);
    EXPECT_EQ(update(normal, page, 1), invalid_address) << "no 2 MB boundary";
    EXPECT_EQ(update(normal, low.end()), invalid_address);
    EXPECT_EQ(update(normal, uncovered), invalid_address);
    EXPECT_EQ(update(normal, other_page), invalid_page_state) << "hypervisor's";
    EXPECT_EQ(update(normal, context), invalid_page_state) << "context";
    EXPECT_EQ(update(normal, segment), invalid_page_state) << "RMP";
    pre_guest(page_2mb, 0x200000, asid + 1, true);
    EXPECT_EQ(update(normal, page_2mb), invalid_page_size);
    EXPECT_EQ(update(normal, page_2mb + page_4k), invalid_page_size);
    EXPECT_EQ(update(normal, page_2mb, 1), invalid_page_owner);
    pre_guest(page_2mb + page_2m, 0x200000);
    EXPECT_EQ(update(normal, page_2mb + page_2m, 1), invalid_page_size);
    pre_guest(other_page, gpa, asid + 1);
    EXPECT_EQ(update(normal, other_page), invalid_page_owner);
    expect_untouched();
}

TEST_F(snp_launch_update_test, pages_with_a_structure_are_4_kb)
{
    pre_guest(page_2mb, 0x200000, asid, true);
    for (const type t : {vmsa, secrets, cpuid}) {
        EXPECT_EQ(update(t, page_2mb, 1), invalid_page_size) << t;
    }
    expect_untouched(page_2mb);
    EXPECT_EQ(update(unmeasured, page_2mb, 1), success);
}

TEST_F(snp_launch_update_test, a_page_that_failed_can_be_reclaimed_and_tried_again)
{
    EXPECT_EQ(update(normal, page, 1 << 4), invalid_param);
    ASSERT_EQ(reclaim(page), success);
    rmp_changes fx;
    ASSERT_EQ(rmpupdate(*m, page, rmp_record{}, fx), rmp_status::success);
    pre_guest(page);
    EXPECT_EQ(update(normal, page), success);
}

TEST_F(snp_launch_update_test, secrets_page_has_keys_that_differ)
{
    ASSERT_EQ(update(secrets, page), success);
    EXPECT_EQ(load<std::uint32_t>(page), 3u);
    EXPECT_EQ(load<std::uint32_t>(page + 4), 0u) << "no migration image";
    EXPECT_EQ(load<std::uint32_t>(page + 8), 0x00b50f00u) << "family 1Ah, model 50h";
    EXPECT_EQ(load<std::uint64_t>(page + 0x10), 0x1111u);
    EXPECT_EQ(load<std::uint64_t>(page + 0x18), 0x2222u);
    std::set<std::uint64_t> keys;
    for (spa_t at = page + 0x20; at < page + 0xa0; at += 8) {
        keys.insert(load<std::uint64_t>(at));
    }
    EXPECT_TRUE(memory_is_zero(page + 0xa0, page_4k - 0xa0));
    launch(other_context, asid + 1);
    pre_guest(other_page, gpa, asid + 1);
    ASSERT_EQ(update(secrets, other_page, 0, 0, other_context), success);
    for (spa_t at = other_page + 0x20; at < other_page + 0xa0; at += 8) {
        keys.insert(load<std::uint64_t>(at));
    }
    EXPECT_EQ(keys.size(), 32u);
}

class snp_cpuid_page : public snp_launch_update_test
{
  protected:
    void SetUp() override
    {
        snp_launch_update_test::SetUp();
        fill(page, 0);
    }
    void put(unsigned i, std::uint32_t leaf, const std::array<std::uint32_t, 4> &regs)
    {
        m->memory().store<std::uint32_t>(page, i + 1);
        m->memory().store(page + 16 + 48ull * i, leaf);
        m->memory().store(page + 16 + 48ull * i + 24, regs);
    }
    std::array<std::uint32_t, 4> get(unsigned i) const
    {
        return load<std::array<std::uint32_t, 4>>(page + 16 + 48ull * i + 24);
    }
    static constexpr std::uint32_t encryption = 0x8000001f, rmp = 0x80000025;
};

TEST_F(snp_cpuid_page, takes_64_functions)
{
    put(63, 1, {1, 2, 3, 4});
    EXPECT_EQ(update(cpuid, page), success);
    EXPECT_EQ(get(63), (std::array<std::uint32_t, 4>{1, 2, 3, 4}));
}

TEST_F(snp_cpuid_page, refuses_more)
{
    m->memory().store<std::uint32_t>(page, 65);
    EXPECT_EQ(update(cpuid, page), invalid_param);
    EXPECT_EQ(load<std::uint32_t>(page), 65u);
    expect_untouched();
}

TEST_F(snp_cpuid_page, corrects_features_that_the_cpu_lacks)
{
    put(0, encryption, {0x80000012, 51 | 4u << 12, 9, 9}); // IBPB on entry
    EXPECT_EQ(update(cpuid, page), invalid_param);
    EXPECT_EQ(get(0), (std::array<std::uint32_t, 4>{0x12, 51 | 4u << 12, 9, 9}));
    expect_untouched();
    EXPECT_EQ(update(cpuid, page), success) << "what firmware made of it";
}

TEST_F(snp_cpuid_page, corrects_c_bit_and_vmpls)
{
    put(0, encryption, {0x12, 47 | 1u << 6 | 5u << 12, 0, 0});
    put(1, encryption, {0x12, 51 | 1u << 12, 0, 0});
    EXPECT_EQ(update(cpuid, page), invalid_param);
    EXPECT_EQ(get(0)[1], 51 | 1u << 6 | 4u << 12);
    EXPECT_EQ(get(1)[1], 51 | 1u << 12) << "fewer VMPLs are all right";
    EXPECT_EQ(update(cpuid, page), success);
}

TEST_F(snp_cpuid_page, corrects_the_rmp_leaf)
{
    put(0, rmp, {1, 2, 3, 3});
    put(1, rmp, {4, 5, 6, 3});
    EXPECT_EQ(update(cpuid, page), invalid_param);
    EXPECT_EQ(get(0), (std::array<std::uint32_t, 4>{1, 2, 3, 1}));
    EXPECT_EQ(get(1), (std::array<std::uint32_t, 4>{4, 5, 6, 1}));
}

TEST_F(snp_cpuid_page, looks_at_no_more_functions_than_there_are)
{
    put(1, encryption, {~0u, 0, 0, 0});
    put(0, 1, {});
    EXPECT_EQ(update(cpuid, page), success);
    EXPECT_EQ(get(1)[0], ~0u);
}

} // namespace
} // namespace rmpopt::hw
