// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stores that begin in a shared page and end in an assigned one, or the reverse. They must raise
 * #PF with the RMP bit at the first byte in the assigned page, change nothing on either side, and
 * be restartable.
 */
#include "runtime.h"
#include "stores.h"

#define CR4_OSXSAVE (1ul << 18)
#define XCR0_X87_SSE_AVX 7

static bool has_xsave, has_avx;

static void enable_vectors(void)
{
    uint32_t features = cpuid(1, 0).ecx;
    uint64_t cr4;

    has_xsave = features >> 26 & 1;
    has_avx = has_xsave && features >> 28 & 1;
    if (!has_xsave)
        return;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
    __asm__ volatile("xsetbv" : : "c"(0), "a"(has_avx ? XCR0_X87_SSE_AVX : 3), "d"(0));
}

static void enable(const void *unused)
{
    enable_vectors();
    enable_with_window(unused);
}

#define YMM_FROM_RAX "vmovq %%rax, %%xmm0; vpbroadcastq %%xmm0, %%ymm0;"

DEFINE_STORE(mov_segment, "", "movw %%ss, (%%rdi)", "")
DEFINE_STORE(shl, "", "shll $3, (%%rdi)", "")
DEFINE_STORE(shld, "movl $5, %%ecx", "shldq %%cl, %%rax, (%%rdi)", "")
DEFINE_STORE(bts, "movl $17, %%ecx", "btsq %%rcx, (%%rdi)", "")
DEFINE_STORE(lock_add, "", "lock addq %%rax, (%%rdi)", "")
DEFINE_STORE(cmpxchg8b, "movl (%%rdi), %%eax; movl 4(%%rdi), %%edx; movl $1, %%ebx; movl $2, %%ecx",
             "cmpxchg8b (%%rdi)", "")
DEFINE_STORE(lock_cmpxchg8b,
             "movl (%%rdi), %%eax; movl 4(%%rdi), %%edx; movl $1, %%ebx; movl $2, %%ecx",
             "lock cmpxchg8b (%%rdi)", "")
DEFINE_STORE(cmpxchg16b, "", "cmpxchg16b (%%rdi)", "")
DEFINE_STORE(stosq, "movl $1, %%ecx", "rep stosq", "")
DEFINE_STORE(movsq, "leaq -1000(%%rdi), %%rsi", "movsq", "")
DEFINE_STORE(insl, "movl $0xcf8, %%edx", "insl", "")
DEFINE_STORE(enter_nested, SAVE_STACK "movq %%rbp, %%rbx; leaq -1024(%%rdi), %%rbp",
             "enter $32, $3", RESTORE_STACK "; movq %%rbx, %%rbp")
DEFINE_STORE(sidt, "", "sidt (%%rdi)", "")
DEFINE_STORE(sldt, "", "sldt (%%rdi)", "")
DEFINE_STORE(smsw, "", "smsw (%%rdi)", "")
DEFINE_STORE(fistp, "fldpi", "fistpll (%%rdi)", "fninit")
DEFINE_STORE(fbstp, "fldpi", "fbstp (%%rdi)", "fninit")
DEFINE_STORE(fnstenv, "", "fnstenv (%%rdi)", "fninit")
DEFINE_STORE(movhps, XMM_FROM_RAX, "movhps %%xmm0, (%%rdi)", "")
DEFINE_STORE(maskmovdqu, XMM_FROM_RAX "pcmpeqd %%xmm1, %%xmm1", "maskmovdqu %%xmm1, %%xmm0", "")
DEFINE_STORE(xsave, YMM_FROM_RAX "movl $7, %%eax; xorl %%edx, %%edx", "xsave64 (%%rdi)", "")
DEFINE_STORE(vmovups, YMM_FROM_RAX, "vmovups %%ymm0, (%%rdi)", "")
DEFINE_STORE(vmovdqu, YMM_FROM_RAX, "vmovdqu %%ymm0, (%%rdi)", "")
DEFINE_STORE(vextractf128, YMM_FROM_RAX, "vextractf128 $1, %%ymm0, (%%rdi)", "")
DEFINE_STORE(vmaskmovps, YMM_FROM_RAX "vpcmpeqd %%ymm1, %%ymm1, %%ymm1",
             "vmaskmovps %%ymm0, %%ymm1, (%%rdi)", "")
/* Only the two lowest elements. */
DEFINE_STORE(vmaskmovps_low, YMM_FROM_RAX "movq $-1, %%rcx; vmovq %%rcx, %%xmm1",
             "vmaskmovps %%ymm0, %%ymm1, (%%rdi)", "")

struct store {
    const char *name;
    store_function *execute;
    int offset; /* from the start of the owned page */
    const bool *needs;
};

static void faults_and_restarts(const void *argument)
{
    const struct store *store = argument;
    uint8_t *target = owned + store->offset;

    if (store->needs && !*store->needs)
        SKIP("this CPU has no such instruction");
    if (store->offset < 0 && (store->execute == maskmovdqu || store->execute == vmaskmovps))
        known_limit("TCG writes a masked store element by element");
    store_freely(store->execute, target);
    EXPECT(changed_bytes() > 0);
    for (unsigned cold = 0; cold < 2; cold++) {
        expect_fault_in_filled_window(store->execute, target, cold);
        EXPECT_EQ(changed_bytes(), 0);
        expect_store_restart(store->execute, target, cold);
    }
}

static const struct store stores[] = {
    {"mov16", mov16, -1, NULL},
    {"mov32", mov32, -3, NULL},
    {"mov64", mov64, -1, NULL},
    {"mov64_7", mov64, -7, NULL},
    {"mov_immediate", mov_immediate, -4, NULL},
    {"mov_segment", mov_segment, -1, NULL},
    {"movnti", movnti, -3, NULL},
    {"movbe", movbe, -3, NULL},
    {"add", add, -3, NULL},
    {"adc", adc, -2, NULL},
    {"not", not, -5, NULL},
    {"shl", shl, -1, NULL},
    {"shld", shld, -6, NULL},
    {"bts", bts, -3, NULL},
    {"lock_add", lock_add, -3, NULL},
    {"xchg", xchg, -4, NULL},
    {"xadd", xadd, -1, NULL},
    {"lock_xadd", lock_xadd, -5, NULL},
    {"cmpxchg", cmpxchg, -2, NULL},
    {"cmpxchg8b", cmpxchg8b, -4, NULL},
    {"lock_cmpxchg8b", lock_cmpxchg8b, -3, NULL},
    {"stosq", stosq, -3, NULL},
    {"movsq", movsq, -5, NULL},
    {"insl", insl, -2, NULL},
    {"push", push, -4, NULL},
    {"pushf", pushf, -3, NULL},
    {"call", call, -2, NULL},
    {"pop_memory", pop_memory, -3, NULL},
    {"sgdt", sgdt, -4, NULL},
    {"sgdt_limit", sgdt, -2, NULL},
    {"sidt", sidt, -1, NULL},
    {"sldt", sldt, -1, NULL},
    {"smsw", smsw, -1, NULL},
    {"stmxcsr", stmxcsr, -3, NULL},
    {"fnstcw", fnstcw, -1, NULL},
    {"fstp", fstp, -2, NULL},
    {"fstp_exponent", fstp, -8, NULL},
    {"fistp", fistp, -3, NULL},
    {"fbstp", fbstp, -4, NULL},
    {"fnstenv", fnstenv, -12, NULL},
    {"fnsave", fnsave, -50, NULL},
    {"fxsave", fxsave, -256, NULL},
    {"fxsave_header", fxsave, -16, NULL},
    {"fxsave_out_of", fxsave, 4096 - 256, NULL},
    {"movups", movups, -5, NULL},
    {"movups_8", movups, -8, NULL},
    {"movups_out_of", movups, 4090, NULL},
    {"movhps", movhps, -3, NULL},
    {"maskmovdqu", maskmovdqu, -9, NULL},
    {"maskmovdqu_out_of", maskmovdqu, 4087, NULL},
    {"xsave_legacy", xsave, -256, &has_avx},
    {"xsave_header", xsave, -512, &has_avx},
    {"xsave_avx", xsave, -576, &has_avx},
    {"xsave_out_of", xsave, 4096 - 512, &has_avx},
    {"vmovups", vmovups, -13, &has_avx},
    {"vmovups_16", vmovups, -16, &has_avx},
    {"vmovdqu_1", vmovdqu, -1, &has_avx},
    {"vmovdqu_out_of", vmovdqu, 4096 - 31, &has_avx},
    {"vextractf128", vextractf128, -9, &has_avx},
    {"vmaskmovps", vmaskmovps, -16, &has_avx},
    {"vmaskmovps_6", vmaskmovps, -6, &has_avx},
};

static void every_store(const void *unused)
{
    enum { COUNT = sizeof(stores) / sizeof(stores[0]) };
    static struct test_case subtests[COUNT];
    (void)unused;
    for (unsigned i = 0; i < COUNT; i++)
        subtests[i] = (struct test_case){
            stores[i].name, "APM2 table 15-39, 8.2.15; 8.1.4: a fault undoes the instruction",
            faults_and_restarts, &stores[i]};
    RUN_SUBTESTS(subtests);
}

static void alignment_is_checked_first(const void *unused)
{
    (void)unused;
    fill();
    assign();
    cmpxchg16b(owned - 8);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_GP);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

static void masked_elements_are_not_written(const void *unused)
{
    (void)unused;
    if (!has_avx)
        SKIP("this CPU has no AVX");
    fill();
    assign();
    vmaskmovps_low(owned - 8);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(changed_bytes(), 8);
    unassign();
}

/* ENTER pushes several words. Only the registers afterwards and the fault are defined. */
static void enter_with_nesting(const void *unused)
{
    uint8_t *target = owned + PAGE_4K + 8; /* RBP and a pointer, then a pointer that crosses */
    const struct trap *trap = &this_cpu()->trap;
    (void)unused;

    store_freely(enter_nested, target);
    fill();
    assign();
    enter_nested(target);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(trap->error_code, RMP_FAULT);
    EXPECT_EQ(trap->cr2, (uint64_t)owned + PAGE_4K - 8);
    EXPECT_EQ(trap->rsp, (uint64_t)target + 8);
    EXPECT_EQ(trap->rbp, (uint64_t)target - 1024);
    expect_store_restart(enter_nested, target, false);
}

static void pusha_in_32_bit_mode(const void *unused)
{
    static const uint8_t code[] = {0x89, 0xfc, 0x60}; /* mov %edi, %esp; pusha */
    struct trap state = {.rdi = owned_spa + PAGE_4K + 16};
    uint64_t start;
    (void)unused;

    for (uint64_t page = owned_spa - PAGE_4K; page <= owned_spa + PAGE_4K; page += PAGE_4K)
        map_page(page, page, PAGE_4K, MAP_WRITE | MAP_USER);
    fill();
    assign();
    start = run_user32(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, RMP_FAULT | PF_USER);
    EXPECT_EQ(state.cr2, owned_spa + PAGE_4K - 4);
    EXPECT_EQ(state.rip, start + 2);
    EXPECT_EQ(state.rsp, owned_spa + PAGE_4K + 16);
    unassign();
}

/* Two elements fit. The third crosses, and no part of it may be stored. */
static void rep_movs_of_a_crossing_element(const void *unused)
{
    uint64_t rdi = (uint64_t)owned - 19, rsi = (uint64_t)owned - 2048, rcx = 4;
    (void)unused;

    fill();
    assign();
    __asm__ volatile(GUARDED("rep movsq") : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)owned);
    EXPECT_EQ(rdi, (uint64_t)owned - 3);
    EXPECT_EQ(rsi, (uint64_t)owned - 2048 + 16);
    EXPECT_EQ(rcx, 2);
    EXPECT_EQ(changed_bytes(), 16);
    unassign();
    __asm__ volatile(GUARDED("rep movsq") : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(memcmp(owned - 19, owned - 2048, 32), 0);
}

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(alignment_is_checked_first, "APM3 CMPXCHG16B: not aligned, #GP(0)"),
    TEST(masked_elements_are_not_written, "APM4 VMASKMOVPS: masked elements cause no exceptions"),
    TEST(every_store, "APM2 table 15-39: host write to an assigned page, #PF 0x80000003"),
    TEST(enter_with_nesting, "APM3 ENTER: RSP and RBP change when it completes"),
    TEST(pusha_in_32_bit_mode, "APM3 PUSHA: ESP changes when it completes"),
    TEST(rep_movs_of_a_crossing_element, "APM3 REP: registers show what is done"),
};
TEST_SUITE_IF(cases, snp_unmet);
