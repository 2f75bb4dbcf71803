// SPDX-License-Identifier: GPL-2.0-or-later
/* Which bytes encode an emulated instruction, in which mode, and which similar bytes do not. */
#include "runtime.h"

struct encoding {
    uint8_t bytes[6];
    uint8_t size;
};

static const struct encoding rmpopt_bytes = {{0xf2, 0x0f, 0x01, 0xfc}, 4},
                             rmpread_bytes = {{0xf2, 0x0f, 0x01, 0xfd}, 4},
                             rmpupdate_bytes = {{0xf2, 0x0f, 0x01, 0xfe}, 4},
                             psmash_bytes = {{0xf3, 0x0f, 0x01, 0xff}, 4},
                             rmpchkd_bytes = {{0xf3, 0x0f, 0x01, 0xfc}, 4},
                             rmpquery_bytes = {{0xf3, 0x0f, 0x01, 0xfd}, 4},
                             rmpadjust_bytes = {{0xf3, 0x0f, 0x01, 0xfe}, 4},
                             pvalidate_bytes = {{0xf2, 0x0f, 0x01, 0xff}, 4},
                             no_prefix_fe = {{0x0f, 0x01, 0xfe}, 3},
                             no_prefix_ff = {{0x0f, 0x01, 0xff}, 3},
                             lock_rmpopt = {{0xf0, 0xf2, 0x0f, 0x01, 0xfc}, 5},
                             lock_rmpupdate = {{0xf0, 0xf2, 0x0f, 0x01, 0xfe}, 5},
                             lock_cpuid = {{0xf0, 0x0f, 0xa2}, 3},
                             cpuid_66 = {{0x66, 0x0f, 0xa2}, 3}, cpuid_f2 = {{0xf2, 0x0f, 0xa2}, 3},
                             cpuid_f3 = {{0xf3, 0x0f, 0xa2}, 3},
                             cpuid_rex = {{0x48, 0x0f, 0xa2}, 3};

static struct rmp_record record = {.assigned = 1, .asid = 1};
static uint64_t page;

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    if (cpu_has_rmpopt() && rmp_is_segmented())
        rmpopt_enable_everywhere(0);
    page = allocate_or_fail(PAGE_2M, PAGE_2M);
}

/* Calls code that is made at run time, under guard. The exception must be at its very first byte.
 */
static void expect_ud_at_cpl0(const void *argument)
{
    const struct encoding *e = argument;
    static uint8_t code[16] __attribute__((aligned(16)));
    uint64_t rax = page, rcx = (uint64_t)&record, target = (uint64_t)code, rdx = 0;

    memcpy(code, e->bytes, e->size);
    code[e->size] = 0xc3; /* ret */
    __asm__ volatile(
        "movq %3, %%gs:" TEXT(
            CPU_GUARD_RIP) "\n\t"
                           "movq $1f, %%gs:" TEXT(
                               CPU_GUARD_RESUME) "\n\t"
                                                 "movq $-1, %%gs:" TEXT(
                                                     CPU_TRAP_VECTOR) "\n\t"
                                                                      "movq %%rsp, %%r12\n\tcall "
                                                                      "*%3\n1:\tmovq %%r12, "
                                                                      "%%rsp\n\t" GUARD_DISARM
        : "+a"(rax), "+c"(rcx), "+d"(rdx)
        : "r"(target)
        : "r12", "memory", "cc");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_UD);
    EXPECT_EQ(rax, page);
    EXPECT_EQ(rmp_lookup(page).assigned, 0);
}

static void expect_ud_in_compatibility_mode(const void *argument)
{
    const struct encoding *e = argument;
    struct trap state = {.rax = page, .rcx = (uint64_t)&record};
    uint64_t start = run_user32(e->bytes, e->size, &state);

    EXPECT_EQ(state.vector, VECTOR_UD);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(rmp_lookup(page).assigned, 0);
}

static void compatibility_mode_works(const void *unused)
{
    static const uint8_t code[] = {0x40, 0x40}; /* inc %eax; inc %eax in 32-bit code */
    struct trap state = {.rax = 40};
    (void)unused;
    run_user32(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_BP);
    EXPECT_EQ(state.rax, 42);
}

static void expect_same_cpuid(uint64_t (*run)(const void *, size_t, struct trap *),
                              const struct encoding *e, uint32_t leaf_number)
{
    struct cpuid_leaf leaf = cpuid(leaf_number, 0);
    struct trap state = {.rax = leaf_number};

    run(e->bytes, e->size, &state);
    EXPECT_EQ(state.vector, VECTOR_BP);
    EXPECT_EQ(state.rax, leaf.eax);
    EXPECT_EQ(state.rbx, leaf.ebx);
    EXPECT_EQ(state.rcx, leaf.ecx);
    EXPECT_EQ(state.rdx, leaf.edx);
}

static void cpuid_with_prefix(const void *argument)
{
    expect_same_cpuid(run_user, argument, 0x8000001f);
    expect_same_cpuid(run_user, argument, 0x80000025);
}

static void cpuid_in_compatibility_mode(const void *unused)
{
    static const struct encoding plain = {{0x0f, 0xa2}, 2};
    (void)unused;
    expect_same_cpuid(run_user32, &plain, 0);
    expect_same_cpuid(run_user32, &plain, 0x80000000);
    expect_same_cpuid(run_user32, &plain, 0x8000001f);
    expect_same_cpuid(run_user32, &plain, 0x80000025);
}

#define UD(encoding, rule) TEST_WITH("ud_" #encoding, expect_ud_at_cpl0, &(encoding), rule)
#define UD32(encoding)                                                                             \
    TEST_WITH("ud_in_compatibility_mode_" #encoding, expect_ud_in_compatibility_mode, &(encoding), \
              "APM3: #UD outside 64-bit mode")
#define PREFIXED(encoding)                                                                         \
    TEST_WITH("prefixed_" #encoding, cpuid_with_prefix, &(encoding),                               \
              "APM3 1.2: CPUID ignores this prefix")

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(compatibility_mode_works, "runtime: 32-bit code segment"),
    UD32(rmpopt_bytes),
    UD32(rmpread_bytes),
    UD32(rmpupdate_bytes),
    UD32(psmash_bytes),
    UD(rmpadjust_bytes, "APM3 RMPADJUST: #UD outside SNP guests; F3 instead of F2"),
    UD(pvalidate_bytes, "APM3 PVALIDATE: #UD outside SNP guests; F2 instead of F3"),
    UD(rmpquery_bytes, "APM3 RMPQUERY: #UD without 8000_001F EAX[6]; F3 instead of F2"),
    UD(rmpchkd_bytes, "LLVM: RMPCHKD is another instruction; F3 instead of F2"),
    UD(no_prefix_fe, "APM3: no instruction without F2 or F3"),
    UD(no_prefix_ff, "APM3: no instruction without F2 or F3"),
    UD(lock_rmpopt, "APM3 1.2.5: LOCK on an instruction that does not take it"),
    UD(lock_rmpupdate, "APM3 1.2.5: LOCK on an instruction that does not take it"),
    UD(lock_cpuid, "APM3 1.2.5: LOCK on an instruction that does not take it"),
    PREFIXED(cpuid_66),
    PREFIXED(cpuid_f2),
    PREFIXED(cpuid_f3),
    PREFIXED(cpuid_rex),
    TEST(cpuid_in_compatibility_mode, "APM3 CPUID: the same in every mode"),
};
TEST_SUITE_IF(cases, snp_unmet);
