// SPDX-License-Identifier: GPL-2.0-or-later
/* CPUID as an SNP host sees it. `persona=NAME` on the command line gives the CPU to expect. */
#include "runtime.h"

enum {
    SVM_NPT = 1 << 0,
    SVM_LBRV = 1 << 1,
    SVM_NRIPS = 1 << 3,
    SVM_FLUSH_BY_ASID = 1 << 6,
    SVM_DECODE_ASSISTS = 1 << 7,
    SEV_FEATURES = 1 << 1 | 1 << 3 | 1 << 4, /* SEV, SEV-ES, SEV-SNP */
};

struct persona {
    const char *name;
    unsigned family, model_first, model_last;
    bool rmpread, segmented, rmpopt;
};

static const struct persona personas[] = {
    {"venice", 0x1a, 0x50, 0x5f, true, true, true},
    {"turin", 0x1a, 0x00, 0x2f, true, true, false},
    {"genoa", 0x19, 0x10, 0x1f, false, false, false},
    {"milan", 0x19, 0x00, 0x0f, false, false, false},
};

static const struct persona *expected_persona(void)
{
    for (unsigned i = 0; i < sizeof(personas) / sizeof(personas[0]); i++) {
        if (option_is("persona", personas[i].name))
            return &personas[i];
    }
    return NULL;
}

static const char *persona_unmet(void)
{
    return option_present("persona") || cpu_has_snp() ? NULL : "this CPU has no SEV-SNP";
}

static void extended_leaves_reach_rmpopt(const void *unused)
{
    (void)unused;
    EXPECT(cpuid(0x80000000, 0).eax >= 0x80000025);
    EXPECT(cpuid(0x80000000, 0).eax < 0x80000100);
}

static void hypervisor_bit_is_clear(const void *unused)
{
    (void)unused;
    EXPECT_EQ(cpuid(1, 0).ecx >> 31, 0);
}

static void family_and_model(const void *unused)
{
    const struct persona *p = expected_persona();
    uint32_t signature = cpuid(1, 0).eax;
    unsigned family = (signature >> 8 & 15) + (signature >> 20 & 255);
    unsigned model = (signature >> 4 & 15) | (signature >> 12 & 0xf0);
    (void)unused;

    if (!p)
        SKIP("no persona= on the command line");
    EXPECT_EQ(family, p->family);
    EXPECT(model >= p->model_first && model <= p->model_last);
}

static void sev_features(const void *unused)
{
    struct cpuid_leaf leaf = cpuid(0x8000001f, 0);
    (void)unused;

    EXPECT_EQ(leaf.eax & SEV_FEATURES, SEV_FEATURES);
    EXPECT(leaf.ecx > 0);
    EXPECT(leaf.edx > 1);
    EXPECT(leaf.edx <= leaf.ecx + 1);
}

static void rmp_features_are_the_personas(const void *unused)
{
    const struct persona *p = expected_persona();
    (void)unused;

    if (!p)
        SKIP("no persona= on the command line");
    EXPECT_EQ(cpu_has_snp(), true);
    EXPECT_EQ(cpu_has_rmpread(), p->rmpread);
    EXPECT_EQ(cpu_has_segmented_rmp(), p->segmented);
    EXPECT_EQ(cpu_has_rmpopt(), p->rmpopt);
}

static void svm_features_for_kvm(const void *unused)
{
    struct cpuid_leaf leaf = cpuid(0x8000000a, 0);
    uint32_t needed = SVM_NPT | SVM_LBRV | SVM_NRIPS | SVM_FLUSH_BY_ASID | SVM_DECODE_ASSISTS;
    (void)unused;

    EXPECT_EQ(leaf.edx & needed, needed);
    EXPECT(leaf.ebx > cpuid(0x8000001f, 0).ecx);
    EXPECT_EQ(cpuid(0x80000001, 0).ecx >> 2 & 1, 1);
}

static void segment_limits_are_a_range(const void *unused)
{
    struct cpuid_leaf leaf = cpuid(0x80000025, 0);
    (void)unused;

    if (!cpu_has_segmented_rmp()) {
        EXPECT_EQ(leaf.eax, 0);
        EXPECT_EQ(leaf.edx & 1, 0);
        return;
    }
    EXPECT((leaf.eax & 63) >= 30);
    EXPECT((leaf.eax & 63) <= (leaf.eax >> 6 & 63));
    EXPECT(!(leaf.ebx & 1 << 10) || (leaf.ebx & 0x3ff) > 0);
}

static void rmpopt_needs_segments_and_rmpread(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt())
        SKIP("no RMPOPT");
    EXPECT(cpu_has_segmented_rmp());
    EXPECT(cpu_has_rmpread());
}

static void physical_addresses_reach_all_ram(const void *unused)
{
    unsigned reduction = cpuid(0x8000001f, 0).ebx >> 6 & 63;
    unsigned c_bit = cpuid(0x8000001f, 0).ebx & 63;
    unsigned bits = (cpuid(0x80000008, 0).eax & 255) - reduction;
    (void)unused;

    EXPECT(ram_end() <= 1ul << bits);
    EXPECT(c_bit != bits);
    EXPECT(c_bit >= bits);
}

static void compare_leaves(void *differences)
{
    static const uint32_t leaves[] = {0x80000000, 0x8000000a, 0x8000001f, 0x80000025};
    static struct cpuid_leaf first[4];
    for (unsigned i = 0; i < 4; i++) {
        struct cpuid_leaf leaf = cpuid(leaves[i], 0);
        if (this_cpu()->index == 0)
            first[i] = leaf;
        else if (memcmp(&leaf, &first[i], sizeof(leaf)) != 0)
            ++*(unsigned *)differences;
    }
}

static void every_cpu_says_the_same(const void *unused)
{
    unsigned differences = 0;
    (void)unused;
    run_on_all_cpus(compare_leaves, &differences);
    EXPECT_EQ(differences, 0);
}

static void subleaf_is_ignored(const void *unused)
{
    struct cpuid_leaf plain = cpuid(0x8000001f, 0), other = cpuid(0x8000001f, 0xffffffff);
    (void)unused;
    EXPECT_EQ(memcmp(&plain, &other, sizeof(plain)), 0);
}

static void upper_register_halves_are_cleared(const void *leaf)
{
    uint64_t garbage = 0xdeadbeef00000000;
    uint64_t rax = garbage | *(const uint32_t *)leaf, rbx = garbage, rcx = garbage, rdx = garbage;

    __asm__ volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
    EXPECT_EQ((rax | rbx | rcx | rdx) >> 32, 0);
}

static void leaf_is_the_low_half_of_rax(const void *unused)
{
    uint64_t rax = 0xffffffff8000001f, rbx, rcx = 0, rdx;
    (void)unused;
    __asm__ volatile("cpuid" : "+a"(rax), "=b"(rbx), "+c"(rcx), "=d"(rdx));
    EXPECT_EQ(rax, cpuid(0x8000001f, 0).eax);
}

static void other_leaves_are_untouched(const void *unused)
{
    struct cpuid_leaf vendor = cpuid(0, 0);
    (void)unused;
    EXPECT_EQ(memcmp(&vendor.ebx, "Auth", 4), 0);
    EXPECT_EQ(memcmp(&vendor.edx, "enti", 4), 0);
    EXPECT_EQ(memcmp(&vendor.ecx, "cAMD", 4), 0);
}

static void user_mode_reads_the_same(const void *unused)
{
    static const uint8_t code[] = {0x0f, 0xa2}; /* cpuid */
    struct trap state = {.rax = 0x8000001f};
    struct cpuid_leaf leaf = cpuid(0x8000001f, 0);
    (void)unused;

    run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_BP);
    EXPECT_EQ(state.rax, leaf.eax);
    EXPECT_EQ(state.rbx, leaf.ebx);
    EXPECT_EQ(state.rcx, leaf.ecx);
    EXPECT_EQ(state.rdx, leaf.edx);
}

static unsigned threads_of_this_core(void)
{
    unsigned threads = 0;
    for (unsigned i = 0; i < cpu_count(); i++)
        threads += cpu_at(i)->core == this_cpu()->core;
    return threads;
}

static void check_processor_topology(void *unused)
{
    struct cpuid_leaf leaf = cpuid(0x8000001e, 0);
    (void)unused;
    EXPECT_EQ((leaf.ebx >> 8 & 255) + 1, threads_of_this_core());
    EXPECT_EQ(leaf.eax, this_cpu()->apic_id);
}

static void processor_topology_agrees(const void *unused)
{
    (void)unused;
    if (!(cpuid(0x80000001, 0).ecx >> 22 & 1))
        SKIP("no topology extensions");
    run_on_all_cpus(check_processor_topology, NULL);
}

static void check_extended_topology(void *unused)
{
    struct cpuid_leaf leaf = cpuid(0x80000026, 0);
    (void)unused;
    EXPECT_EQ(leaf.edx, this_cpu()->apic_id);
    EXPECT_EQ(leaf.edx >> (leaf.eax & 31), this_cpu()->core);
    EXPECT_EQ(leaf.ebx & 0xffff, threads_of_this_core());
}

static void extended_topology_agrees(const void *unused)
{
    (void)unused;
    if (cpuid(0x80000000, 0).eax < 0x80000026 || !cpuid(0x80000026, 0).ebx)
        SKIP("no leaf 8000_0026");
    run_on_all_cpus(check_extended_topology, NULL);
}

static const uint32_t encryption_leaf = 0x8000001f, rmp_leaf = 0x80000025, plain_leaf = 1;

static const struct test_case cases[] = {
    TEST(extended_leaves_reach_rmpopt, "APM3 appendix E: 8000_0000 is the largest extended leaf"),
    TEST(hypervisor_bit_is_clear, "Linux 7.3 bsp_determine_snp: a host has 1 ECX[31]=0"),
    TEST(family_and_model, "Linux 7.3 bsp_init_amd: generation by family and model"),
    TEST(sev_features, "APM3 appendix E: 8000_001F EAX[1,3,4], ECX, EDX"),
    TEST(rmp_features_are_the_personas, "APM3 appendix E: 8000_001F EAX[21,23]; 8000_0025 EDX[0]"),
    TEST(svm_features_for_kvm, "Linux 7.3 sev_hardware_setup: EDX[0,1,3,6,7], spare ASIDs"),
    TEST(segment_limits_are_a_range, "APM2 15.36.22: 8000_0025 EAX is min and max segment size"),
    TEST(rmpopt_needs_segments_and_rmpread, "AMD mail 2026-06-18: RMPOPT needs a segmented RMP"),
    TEST(physical_addresses_reach_all_ram, "APM3 appendix E: address reduction and C-bit"),
    TEST(every_cpu_says_the_same, "APM3 appendix E: these leaves do not depend on the CPU"),
    TEST(subleaf_is_ignored, "APM3 appendix E: 8000_001F has no subleaves"),
    TEST_WITH("upper_register_halves_are_cleared_8000_001F", upper_register_halves_are_cleared,
              &encryption_leaf, "APM3 CPUID: 64-bit registers get zero-extended results"),
    TEST_WITH("upper_register_halves_are_cleared_8000_0025", upper_register_halves_are_cleared,
              &rmp_leaf, "APM3 CPUID: 64-bit registers get zero-extended results"),
    TEST_WITH("upper_register_halves_are_cleared_1", upper_register_halves_are_cleared, &plain_leaf,
              "APM3 CPUID: 64-bit registers get zero-extended results"),
    TEST(leaf_is_the_low_half_of_rax, "APM3 CPUID: the function number is EAX"),
    TEST(other_leaves_are_untouched, "APM3 appendix E: vendor string"),
    TEST(user_mode_reads_the_same, "APM3 CPUID: executable at any privilege level"),
    TEST(processor_topology_agrees, "APM3 appendix E: 8000_001E agrees with leaf 0Bh"),
    TEST(extended_topology_agrees, "APM3 appendix E: 8000_0026 agrees with leaf 0Bh"),
};
TEST_SUITE_IF(cases, persona_unmet);
