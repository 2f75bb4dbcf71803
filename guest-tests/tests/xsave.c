// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * XSAVEC and XRSTOR of the compacted form, which the plugin adds to QEMU's CPU: what they store and
 * load, their exceptions, and the control words that take effect.
 */
#include "runtime.h"

#define CR0_TS (1ul << 3)
#define CR4_OSXSAVE (1ul << 18)
#define X87 (1ul << 0)
#define SSE (1ul << 1)
#define AVX (1ul << 2)
#define PKRU (1ul << 9)
#define COMPACTED (1ul << 63)
#define MXCSR_RESET 0x1f80u
#define MXCSR_ROUND_UP (2u << 13)
#define MXCSR_INEXACT (1u << 5)
#define UNTOUCHED 0xa5
#define VECTOR_NM 7

struct image {
    uint16_t fcw, fsw;
    uint8_t rest_of_x87[20];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t unused[96];
    uint64_t xstate_bv, xcomp_bv;
    uint8_t header_rest[48];
    uint8_t behind[3520];
};
_Static_assert(sizeof(struct image) == PAGE_4K, "an image has a page");

static struct image image __attribute__((aligned(PAGE_4K)));
static struct image other __attribute__((aligned(PAGE_4K)));

DEFINE_INSN(insn_xsavec, "xsavec64 (%%rcx)")
DEFINE_INSN(insn_xsave, "xsave64 (%%rcx)")
DEFINE_INSN(insn_xrstor, "xrstor64 (%%rcx)")

static struct insn_result xsavec(void *to, uint64_t mask)
{
    return insn_xsavec(mask, (uint64_t)to, mask >> 32);
}

static struct insn_result xrstor(const void *from, uint64_t mask)
{
    return insn_xrstor(mask, (uint64_t)from, mask >> 32);
}

static uint64_t read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static void write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static void set_osxsave(bool on)
{
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 = on ? cr4 | CR4_OSXSAVE : cr4 & ~CR4_OSXSAVE;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

static void set_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
}

static uint64_t offered(void)
{
    const struct cpuid_leaf leaf = cpuid(0xd, 0);
    return leaf.eax | (uint64_t)leaf.edx << 32;
}

static const char *unmet(void)
{
    if ((offered() & (X87 | SSE | AVX)) != (X87 | SSE | AVX))
        return "the CPU has no AVX";
    set_osxsave(true);
    set_xcr0(offered());
    return (cpuid(0xd, 1).eax & 2) == 0 ? "the CPU has no XSAVEC" : NULL;
}

static void fill(struct image *to, uint8_t byte)
{
    memset(to, byte, sizeof(*to));
}

static void load_xmm0(uint64_t value)
{
    __asm__ volatile("movq %0, %%xmm0" : : "r"(value));
}

static uint64_t xmm0(void)
{
    uint64_t value;
    __asm__ volatile("movq %%xmm0, %0" : "=r"(value));
    return value;
}

/* The upper half of YMM1, with a broadcast of the value. */
static void load_ymm1(uint64_t value)
{
    __asm__ volatile("vmovq %0, %%xmm1\n\tvpunpcklqdq %%xmm1, %%xmm1, %%xmm1\n\t"
                     "vinsertf128 $1, %%xmm1, %%ymm1, %%ymm1"
                     :
                     : "r"(value));
}

static uint64_t ymm1_high(void)
{
    uint64_t value;
    __asm__ volatile("vextractf128 $1, %%ymm1, %%xmm2\n\tvmovq %%xmm2, %0" : "=r"(value));
    return value;
}

static void load_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

static uint32_t mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

/* 1/3 in double precision, as the rounding mode wants it. */
static uint64_t a_third(void)
{
    static const uint64_t one = 0x3ff0000000000000, three = 0x4008000000000000;
    uint64_t result;
    __asm__ volatile("movsd %1, %%xmm5\n\tdivsd %2, %%xmm5\n\tmovq %%xmm5, %0"
                     : "=r"(result)
                     : "m"(one), "m"(three));
    return result;
}

static uint64_t x87_third(void)
{
    uint64_t result;
    static const uint32_t three = 3;
    __asm__ volatile("fld1\n\tfidivl %1\n\tfstpl %0" : "=m"(result) : "m"(three));
    return result;
}

static void cpuid_tells_its_size(const void *unused)
{
    (void)unused;
    set_xcr0(X87 | SSE);
    EXPECT_EQ(cpuid(0xd, 1).ebx, 576);
    set_xcr0(X87 | SSE | AVX);
    EXPECT_EQ(cpuid(0xd, 1).ebx, 576 + 256);
    if ((offered() & PKRU) != 0) {
        set_xcr0(X87 | SSE | PKRU);
        EXPECT_EQ(cpuid(0xd, 1).ebx, 576 + 8);
    }
    set_xcr0(offered());
}

static void stores_what_is_asked_for(const void *unused)
{
    (void)unused;
    fill(&image, UNTOUCHED);
    load_xmm0(0x1122334455667788);
    load_ymm1(0x99aabbccddeeff00);
    __asm__ volatile("fninit\n\tfld1\n\tfldz");
    EXPECT_NO_TRAP(xsavec(&image, X87 | AVX));
    EXPECT_EQ(image.fcw, 0x37f);
    EXPECT_EQ(image.st[1][9], 0x3f); /* ST(1) is 1.0 */
    EXPECT_EQ(image.st[0][9], 0);
    EXPECT_EQ(image.xmm[0][0], UNTOUCHED);
    EXPECT_EQ(image.mxcsr & 0xff, UNTOUCHED);
    EXPECT_EQ(image.xstate_bv, X87 | AVX);
    EXPECT_EQ(image.xcomp_bv, X87 | AVX | COMPACTED);
    EXPECT_EQ(image.header_rest[0], UNTOUCHED);
    EXPECT_EQ(image.header_rest[47], UNTOUCHED);
    EXPECT_EQ(*(uint64_t *)&image.behind[16], 0x99aabbccddeeff00);
    EXPECT_EQ(image.behind[256], UNTOUCHED);
    __asm__ volatile("fninit");

    fill(&image, UNTOUCHED);
    EXPECT_NO_TRAP(xsavec(&image, SSE));
    EXPECT_EQ(*(uint64_t *)image.xmm[0], 0x1122334455667788);
    EXPECT_EQ(image.mxcsr, MXCSR_RESET);
    EXPECT_EQ(image.mxcsr_mask, 0xffff);
    EXPECT_EQ(image.fcw & 0xff, UNTOUCHED);
    EXPECT_EQ(image.st[0][0], UNTOUCHED);
    EXPECT_EQ(image.behind[0], UNTOUCHED);
    EXPECT_EQ(image.xcomp_bv, SSE | COMPACTED);
}

static void leaves_no_gaps(const void *unused)
{
    (void)unused;
    uint32_t low, high;
    if ((offered() & PKRU) == 0)
        SKIP("the CPU has no protection keys");
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1ul << 22)); /* CR4.PKE */
    __asm__ volatile("wrpkru" : : "a"(0x5554), "c"(0), "d"(0));
    fill(&image, 0);
    EXPECT_NO_TRAP(xsavec(&image, SSE | PKRU));
    EXPECT_EQ(*(uint32_t *)&image.behind[0], 0x5554);
    EXPECT_NO_TRAP(xsavec(&image, AVX | PKRU));
    EXPECT_EQ(*(uint32_t *)&image.behind[256], 0x5554);
    __asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0));
    EXPECT_NO_TRAP(xrstor(&image, PKRU));
    __asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
    EXPECT_EQ(low, 0x5554);
    __asm__ volatile("wrpkru" : : "a"(0), "c"(0), "d"(0));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

static void ignores_what_is_not_enabled(const void *unused)
{
    (void)unused;
    set_xcr0(X87 | SSE);
    fill(&image, UNTOUCHED);
    EXPECT_NO_TRAP(xsavec(&image, ~0ul));
    EXPECT_EQ(image.xstate_bv, X87 | SSE);
    EXPECT_EQ(image.xcomp_bv, X87 | SSE | COMPACTED);
    EXPECT_EQ(image.behind[0], UNTOUCHED);
    set_xcr0(offered());
}

static void comes_back(const void *unused)
{
    (void)unused;
    fill(&image, 0);
    load_xmm0(1);
    load_ymm1(2);
    __asm__ volatile("fninit\n\tfldz\n\tfld1"); /* TOP is 6 */
    EXPECT_NO_TRAP(xsavec(&image, X87 | SSE | AVX));
    load_xmm0(3);
    load_ymm1(4);
    __asm__ volatile("fninit");
    EXPECT_NO_TRAP(xrstor(&image, AVX));
    EXPECT_EQ(xmm0(), 3);
    EXPECT_EQ(ymm1_high(), 2);
    EXPECT_NO_TRAP(xrstor(&image, X87 | SSE));
    EXPECT_EQ(xmm0(), 1);
    double one = 0;
    __asm__ volatile("fstpl %0" : "=m"(one));
    EXPECT_EQ(*(uint64_t *)&one, 0x3ff0000000000000);
    fill(&other, 0);
    EXPECT_NO_TRAP(xsavec(&other, X87));
    EXPECT_EQ(other.fsw >> 11 & 7, 7);
    EXPECT_EQ(other.rest_of_x87[0], 1u << 7); /* FTW: only register 7 is in use */
    __asm__ volatile("fninit");
}

static void without_a_component_resets_it(const void *unused)
{
    (void)unused;
    fill(&image, 0);
    EXPECT_NO_TRAP(xsavec(&image, X87 | SSE | AVX));
    image.xstate_bv = 0;
    load_xmm0(5);
    load_ymm1(6);
    load_mxcsr(MXCSR_RESET | MXCSR_ROUND_UP);
    __asm__ volatile("fldz");
    EXPECT_NO_TRAP(xrstor(&image, SSE));
    EXPECT_EQ(xmm0(), 0);
    EXPECT_EQ(mxcsr(), MXCSR_RESET);
    EXPECT_EQ(ymm1_high(), 6);
    EXPECT_NO_TRAP(xrstor(&image, X87 | AVX));
    EXPECT_EQ(ymm1_high(), 0);
    fill(&other, UNTOUCHED);
    EXPECT_NO_TRAP(xsavec(&other, X87));
    EXPECT_EQ(other.fcw, 0x37f);
    EXPECT_EQ(other.fsw, 0);
    EXPECT_EQ(other.rest_of_x87[0], 0);
}

/* The control words are more than what is read back. */
static void rounding_takes_effect(const void *unused)
{
    const uint64_t nearest = 0x3fd5555555555555;
    const uint16_t up = 0x37f | 2 << 10, plain = 0x37f;
    (void)unused;
    fill(&image, 0);
    load_mxcsr(MXCSR_RESET | MXCSR_ROUND_UP);
    __asm__ volatile("fninit\n\tfldcw %0" : : "m"(up));
    EXPECT_NO_TRAP(xsavec(&image, X87 | SSE));
    load_mxcsr(MXCSR_RESET);
    __asm__ volatile("fldcw %0" : : "m"(plain));
    EXPECT_EQ(a_third(), nearest);
    EXPECT_NO_TRAP(xrstor(&image, SSE));
    EXPECT_EQ(a_third(), nearest + 1);
    EXPECT_EQ(mxcsr() & MXCSR_INEXACT, MXCSR_INEXACT);
    EXPECT_NO_TRAP(xrstor(&image, X87));
    fill(&other, 0);
    EXPECT_NO_TRAP(xsavec(&other, SSE));
    EXPECT_EQ(other.mxcsr, MXCSR_RESET | MXCSR_ROUND_UP | MXCSR_INEXACT);
    EXPECT_EQ(x87_third(), nearest + 1);
    image.xstate_bv = 0;
    EXPECT_NO_TRAP(xrstor(&image, X87 | SSE));
    EXPECT_EQ(a_third(), nearest);
    EXPECT_EQ(x87_third(), nearest);
    load_mxcsr(MXCSR_RESET);
}

/* What XSAVE stores, which QEMU executes. */
static void the_standard_form_comes_back(const void *unused)
{
    (void)unused;
    fill(&image, 0);
    load_xmm0(1);
    load_ymm1(2);
    load_mxcsr(MXCSR_RESET | MXCSR_ROUND_UP);
    __asm__ volatile("fninit\n\tfldz\n\tfld1");
    EXPECT_NO_TRAP(insn_xsave(X87 | SSE | AVX, (uint64_t)&image, 0));
    EXPECT_EQ(image.xcomp_bv, 0);
    load_xmm0(3);
    load_ymm1(4);
    load_mxcsr(MXCSR_RESET);
    __asm__ volatile("fninit");
    EXPECT_NO_TRAP(xrstor(&image, X87));
    EXPECT_EQ(xmm0(), 3);
    double one = 0;
    __asm__ volatile("fstpl %0" : "=m"(one));
    EXPECT_EQ(*(uint64_t *)&one, 0x3ff0000000000000);
    EXPECT_EQ(mxcsr(), MXCSR_RESET);
    EXPECT_NO_TRAP(xrstor(&image, AVX)); /* MXCSR goes with it */
    EXPECT_EQ(ymm1_high(), 2);
    EXPECT_EQ(mxcsr(), MXCSR_RESET | MXCSR_ROUND_UP);
    EXPECT_EQ(xmm0(), 3);
    load_mxcsr(MXCSR_RESET);
    image.xstate_bv = 0;
    EXPECT_NO_TRAP(xrstor(&image, SSE)); /* and does not ask XSTATE_BV */
    EXPECT_EQ(xmm0(), 0);
    EXPECT_EQ(mxcsr(), MXCSR_RESET | MXCSR_ROUND_UP);
    image.mxcsr = 1u << 16;
    EXPECT_GP0(xrstor(&image, AVX));
    EXPECT_NO_TRAP(xrstor(&image, X87));
    load_mxcsr(MXCSR_RESET);
    __asm__ volatile("fninit");
}

static void expect_gp_both(void *at)
{
    EXPECT_GP0(xsavec(at, SSE));
    EXPECT_GP0(xrstor(at, SSE));
}

static void gp_for_a_bad_address(const void *unused)
{
    (void)unused;
    expect_gp_both((char *)&image + 32);
    expect_gp_both((char *)&image + 8);
    expect_gp_both((void *)(1ul << 62));
}

static void ud_without_osxsave(const void *unused)
{
    (void)unused;
    set_osxsave(false);
    EXPECT_UD(xsavec(&image, SSE));
    EXPECT_UD(xrstor(&image, SSE));
    set_osxsave(true);
}

static void nm_with_ts(const void *unused)
{
    (void)unused;
    const uint64_t cr0 = read_cr0();
    write_cr0(cr0 | CR0_TS);
    const struct insn_result save = xsavec(&image, SSE), restore = xrstor(&image, SSE);
    write_cr0(cr0);
    EXPECT_EQ(save.vector, VECTOR_NM);
    EXPECT_EQ(restore.vector, VECTOR_NM);
}

struct header {
    uint64_t xstate_bv, xcomp_bv;
    uint8_t byte;   /* in front of the header's end */
    uint32_t mxcsr; /* 0: as it was */
};

static void gp_for_a_bad_header(const void *argument)
{
    const struct header *bad = argument;
    fill(&image, 0);
    EXPECT_NO_TRAP(xsavec(&image, X87 | SSE | AVX));
    load_xmm0(7);
    image.xstate_bv = bad->xstate_bv;
    image.xcomp_bv = bad->xcomp_bv;
    image.header_rest[47] = bad->byte;
    image.mxcsr = bad->mxcsr != 0 ? bad->mxcsr : image.mxcsr;
    EXPECT_GP0(xrstor(&image, X87 | SSE | AVX));
    EXPECT_EQ(xmm0(), 7);
}

/* A store that reaches into a page that is not there changes nothing. */
static void page_fault_comes_first(const void *unused)
{
    (void)unused;
    const uint64_t spa = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint8_t *window = unmapped_window(2 * PAGE_4K);
    map_page((uint64_t)window, spa, PAGE_4K, MAP_WRITE);
    memset(window, UNTOUCHED, PAGE_4K);
    uint8_t *at = window + PAGE_4K - 576;
    struct insn_result result = xsavec(at, X87 | SSE | AVX);
    EXPECT_PF(result, PF_WRITE, (uint64_t)window + PAGE_4K);
    for (unsigned i = 0; i < PAGE_4K; i++)
        if (window[i] != UNTOUCHED)
            EXPECT_EQ(i, PAGE_4K);
    EXPECT_NO_TRAP(xsavec(at, X87 | SSE));
    ((uint64_t *)(at + 512))[0] = X87 | SSE | AVX;
    ((uint64_t *)(at + 520))[0] = X87 | SSE | AVX | COMPACTED;
    memset(at + 528, 0, 48);
    result = xrstor(at, X87 | SSE | AVX);
    EXPECT_PF(result, 0, (uint64_t)window + PAGE_4K);
}

static void rmp_fault_comes_first(const void *unused)
{
    (void)unused;
    const uint64_t spa = allocate_or_fail(2 * PAGE_4K, PAGE_4K);
    uint8_t *window = map_window(spa, 2 * PAGE_4K, PAGE_4K, MAP_WRITE);
    memset(window, UNTOUCHED, 2 * PAGE_4K);
    uint8_t *at = window + PAGE_4K - 576;
    EXPECT_EQ(rmp_assign(spa + PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    struct insn_result result = xsavec(at, X87 | SSE | AVX);
    EXPECT_PF(result, RMP_FAULT, (uint64_t)window + PAGE_4K);
    EXPECT_EQ(at[0], UNTOUCHED);
    EXPECT_EQ(at[512], UNTOUCHED);
    EXPECT_EQ(rmp_unassign(spa + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_NO_TRAP(xsavec(at, X87 | SSE | AVX));
    EXPECT_EQ(*(uint64_t *)(at + 512), X87 | SSE | AVX);
}

/* User code has no more rights than with any other store, and gets its exceptions. */
static void runs_in_user_mode(const void *unused)
{
    static const uint8_t save_to_rdi[] = {0x0f, 0xc7, 0x27}; /* xsavec (%rdi) */
    const uint64_t spa = allocate_or_fail(2 * PAGE_4K, PAGE_4K);
    uint8_t *window = unmapped_window(2 * PAGE_4K);
    (void)unused;
    map_page((uint64_t)window, spa, PAGE_4K, MAP_WRITE | MAP_USER);
    map_page((uint64_t)window + PAGE_4K, spa + PAGE_4K, PAGE_4K, MAP_WRITE);
    memset(window, UNTOUCHED, 2 * PAGE_4K);
    struct trap state = {.rdi = (uint64_t)window, .rax = SSE};
    run_user(save_to_rdi, sizeof(save_to_rdi), &state);
    EXPECT_EQ(state.vector, VECTOR_BP);
    EXPECT_EQ(*(uint64_t *)(window + 520), SSE | COMPACTED);
    state = (struct trap){.rdi = (uint64_t)window + PAGE_4K, .rax = SSE};
    run_user(save_to_rdi, sizeof(save_to_rdi), &state);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, PF_PRESENT | PF_WRITE | PF_USER);
    EXPECT_EQ(state.cr2, (uint64_t)window + PAGE_4K);
    EXPECT_EQ(window[PAGE_4K + 520], UNTOUCHED);
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

static const struct header not_enabled = {X87 | SSE, X87 | SSE | AVX | 1ul << 40 | COMPACTED, 0, 0},
                           no_place = {X87 | SSE | AVX, X87 | SSE | COMPACTED, 0, 0},
                           reserved = {X87 | SSE, X87 | SSE | AVX | COMPACTED, 1, 0},
                           bad_mxcsr = {X87 | SSE, X87 | SSE | COMPACTED, 0, 1u << 16},
                           neither = {X87 | SSE, X87 | SSE, 0, 0};

static const struct test_case cases[] = {
    TEST(enable, "SNP_EN"),
    TEST(cpuid_tells_its_size, "CPUID 0Dh:1"),
    TEST(stores_what_is_asked_for, "APM vol. 4, XSAVEC"),
    TEST(leaves_no_gaps, "APM vol. 2, 11.5: compacted form"),
    TEST(ignores_what_is_not_enabled, "APM vol. 4, XSAVEC: XCR0"),
    TEST(comes_back, "APM vol. 4, XRSTOR"),
    TEST(without_a_component_resets_it, "APM vol. 4, XRSTOR: XSTATE_BV"),
    TEST(the_standard_form_comes_back, "APM vol. 4, XRSTOR"),
    TEST(rounding_takes_effect, "MXCSR and FCW"),
    TEST(gp_for_a_bad_address, "#GP: alignment, canonical form"),
    TEST(ud_without_osxsave, "#UD: CR4.OSXSAVE"),
    TEST(nm_with_ts, "#NM: CR0.TS"),
    TEST_WITH("gp_for_a_component_that_is_not_enabled", gp_for_a_bad_header, &not_enabled, "#GP"),
    TEST_WITH("gp_for_a_component_without_a_place", gp_for_a_bad_header, &no_place, "#GP"),
    TEST_WITH("gp_for_a_reserved_byte", gp_for_a_bad_header, &reserved, "#GP"),
    TEST_WITH("gp_for_a_reserved_bit_of_mxcsr", gp_for_a_bad_header, &bad_mxcsr, "#GP"),
    TEST_WITH("gp_for_a_header_of_neither_form", gp_for_a_bad_header, &neither, "#GP"),
    TEST(page_fault_comes_first, "#PF"),
    TEST(rmp_fault_comes_first, "#PF with the RMP bit"),
    TEST(runs_in_user_mode, "#PF of CPL 3"),
};
TEST_SUITE_IF(cases, unmet);
