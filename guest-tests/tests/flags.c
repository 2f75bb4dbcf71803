// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Flags around every emulated instruction, bit by bit. They are set by POPF (all 64 arithmetic
 * combinations, with DF and IF either way) and by all kinds of arithmetic, in the same basic block
 * or in an earlier one, and are read first by PUSHF or by conditional jumps. The same code without
 * the instruction gives the expected flags after arithmetic.
 */
#include "runtime.h"

#define FLAG_AC (1u << 18)
#define FLAG_ID (1u << 21)
#define MSR_TOP_MEM 0xc001001a
#define REAL_MSR 0xc0000103 /* TSC_AUX, which QEMU itself emulates */

struct probe {
    uint64_t rax, rcx, rdx; /* of the instruction */
    uint64_t a, b;          /* operands of the arithmetic */
    uint64_t before;        /* flags before the arithmetic */
    uint64_t after;
    uint64_t later;   /* after one more comparison */
    uint64_t result;  /* RAX */
    uint8_t jumps[8]; /* CF, ZF, SF, OF, PF as seen by conditional jumps */
};

#define SETTERS(X, ...)                                                                            \
    X(popf, "", __VA_ARGS__)                                                                       \
    X(cmp8, "cmpb %%r9b, %%r8b", __VA_ARGS__)                                                      \
    X(cmp64, "cmpq %%r9, %%r8", __VA_ARGS__)                                                       \
    X(add8, "addb %%r9b, %%r8b", __VA_ARGS__)                                                      \
    X(add32, "addl %%r9d, %%r8d", __VA_ARGS__)                                                     \
    X(adc16, "adcw %%r9w, %%r8w", __VA_ARGS__)                                                     \
    X(sbb64, "sbbq %%r9, %%r8", __VA_ARGS__)                                                       \
    X(inc8, "incb %%r8b", __VA_ARGS__)                                                             \
    X(dec32, "decl %%r8d", __VA_ARGS__)                                                            \
    X(neg16, "negw %%r8w", __VA_ARGS__)                                                            \
    X(shl32, "shll $3, %%r8d", __VA_ARGS__)                                                        \
    X(sar8, "sarb $1, %%r8b", __VA_ARGS__)                                                         \
    X(rol64, "rolq $5, %%r8", __VA_ARGS__)                                                         \
    X(test8, "testb %%r9b, %%r8b", __VA_ARGS__)                                                    \
    X(imul32, "imull %%r9d, %%r8d", __VA_ARGS__)                                                   \
    X(popcnt, "popcntq %%r9, %%r8", __VA_ARGS__)                                                   \
    X(stc, "stc", __VA_ARGS__)

#define CODES(X)                                                                                   \
    X(nothing, "")                                                                                 \
    X(cpuid, "cpuid")                                                                              \
    X(rdmsr, "rdmsr")                                                                              \
    X(wrmsr, "wrmsr")                                                                              \
    X(rmpopt, BYTES_RMPOPT)                                                                        \
    X(rmpread, BYTES_RMPREAD)                                                                      \
    X(rmpupdate, BYTES_RMPUPDATE)                                                                  \
    X(psmash, BYTES_PSMASH)

#define SEE(offset, jump)                                                                          \
    "movb $1, " #offset "(%%rdi)\n\t" jump " 1f\n\tmovb $0, " #offset "(%%rdi)\n1:\t"
#define SEE_JUMPS SEE(72, "jc") SEE(73, "jz") SEE(74, "js") SEE(75, "jo") SEE(76, "jp")

#define DEFINE_PROBE(name, arithmetic, separator, instruction, consumer)                           \
    static void name(struct probe *probe)                                                          \
    {                                                                                              \
        __asm__ volatile(                                                                          \
            "movq 0(%%rdi), %%rax\n\tmovq 8(%%rdi), %%rcx\n\tmovq 16(%%rdi), %%rdx\n\t"            \
            "movq 24(%%rdi), %%r8\n\tmovq 32(%%rdi), %%r9\n\t" GUARD_ARM                           \
            "pushq 40(%%rdi)\n\tpopfq\n\t" arithmetic "\n\t" separator GUARD_POINT(instruction)    \
                consumer "pushfq\n\tpopq 48(%%rdi)\n\t"                                            \
                         "movl $5, %%r8d\n\tcmpl $5, %%r8d\n\tpushfq\n\tpopq 56(%%rdi)\n\t"        \
                         "pushq $2\n\tpopfq\n\tmovq %%rax, 64(%%rdi)\n\t" GUARD_DISARM             \
            : "+D"(probe)                                                                          \
            :                                                                                      \
            : "rax", "rbx", "rcx", "rdx", "r8", "r9", "memory", "cc");                             \
    }

#define DEFINE_PROBES(setter, arithmetic, code, instruction)                                       \
    DEFINE_PROBE(code##_##setter##_pushf, arithmetic, "", instruction, "")                         \
    DEFINE_PROBE(code##_##setter##_jumps, arithmetic, "", instruction, SEE_JUMPS)                  \
    DEFINE_PROBE(code##_##setter##_block, arithmetic, "jmp 771f", instruction, "")
#define DEFINE_CODE(code, instruction) SETTERS(DEFINE_PROBES, code, instruction)
CODES(DEFINE_CODE)

enum { VARIANTS = 3 };
static const char *const variant_names[VARIANTS] = {"pushf", "jumps", "block"};

#define SETTER_NAME(setter, ...) #setter,
static const char *const setter_names[] = {SETTERS(SETTER_NAME, 0)};
enum { SETTER_COUNT = sizeof(setter_names) / sizeof(setter_names[0]) };

#define CODE_NUMBER(code, instruction) CODE_##code,
enum { CODES(CODE_NUMBER) CODE_COUNT };

#define PROBE_ROW(setter, arithmetic, code)                                                        \
    {code##_##setter##_pushf, code##_##setter##_jumps, code##_##setter##_block},
#define PROBE_TABLE(code, instruction) {SETTERS(PROBE_ROW, code)},
static void (*const probes[CODE_COUNT][SETTER_COUNT][VARIANTS])(struct probe *) = {
    CODES(PROBE_TABLE)};

/* The effect of the instruction on the arithmetic flags. */
enum effect { KEEPS_ALL, RETURNS_CF, FROM_EAX };

struct subject {
    const char *name, *rule;
    unsigned code;
    uint64_t rax, rcx, rdx;
    enum effect effect;
    uint64_t outcome;      /* CF, or the result in EAX */
    uint64_t vector;       /* NO_TRAP, or the exception; then all flags are kept */
    void (*prepare)(void); /* before each probe */
    unsigned samples;      /* 0: all */
};

static const uint64_t operands[] = {
    0,
    1,
    0x0f,
    0x10,
    0x55,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    0x7fffffffffffffff,
    0x8000000000000000,
    0xffffffffffffffff,
};
enum { OPERANDS = sizeof(operands) / sizeof(operands[0]) };

static const uint64_t starting_flags[] = {
    2,
    2 | FLAG_CF,
    2 | FLAGS_ARITHMETIC | FLAG_DF | FLAG_IF | FLAG_AC | FLAG_ID,
};

/* All arithmetic bits, DF and IF, from a number below 256. */
static uint64_t flags_of_number(unsigned n)
{
    static const uint32_t bits[] = {FLAG_CF, FLAG_PF, FLAG_AF, FLAG_ZF,
                                    FLAG_SF, FLAG_OF, FLAG_DF, FLAG_IF};
    uint64_t flags = 2;
    for (unsigned i = 0; i < 8; i++)
        flags |= n >> i & 1 ? bits[i] : 0;
    return flags;
}

/* The n-th input for a setter; false when there are no more. */
static bool nth_input(unsigned setter, unsigned n, struct probe *probe)
{
    bool popf_only = setter == 0;
    if (n >= (popf_only ? 256u : 3 * OPERANDS * OPERANDS))
        return false;
    probe->a = operands[n / 3 / OPERANDS % OPERANDS];
    probe->b = operands[n / 3 % OPERANDS];
    probe->before = popf_only ? flags_of_number(n) : starting_flags[n % 3];
    return true;
}

static bool even_parity(uint64_t byte)
{
    byte ^= byte >> 4;
    byte ^= byte >> 2;
    byte ^= byte >> 1;
    return !(byte & 1);
}

static uint64_t expected_flags(const struct subject *subject, uint64_t reference)
{
    uint64_t flags = reference;
    if (subject->vector != NO_TRAP || subject->effect == KEEPS_ALL)
        return flags;
    if (subject->effect == RETURNS_CF)
        return (flags & ~(uint64_t)FLAG_CF) | (subject->outcome ? FLAG_CF : 0);
    flags &= ~(uint64_t)(FLAGS_ARITHMETIC & ~FLAG_CF);
    flags |= subject->outcome == 0 ? FLAG_ZF : 0;
    flags |= even_parity(subject->outcome & 0xff) ? FLAG_PF : 0;
    return flags;
}

static void expect_jumps(const uint8_t *jumps, uint64_t flags)
{
    static const uint32_t bits[] = {FLAG_CF, FLAG_ZF, FLAG_SF, FLAG_OF, FLAG_PF};
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(jumps[i], (flags & bits[i]) != 0);
}

struct combination {
    const struct subject *subject;
    unsigned setter, variant;
};

static void check_one(const struct combination *c, struct probe probe)
{
    const struct subject *s = c->subject;
    struct probe reference = probe;
    uint64_t flags;

    probes[CODE_nothing][c->setter][c->variant](&reference);
    if (s->prepare)
        s->prepare();
    probe.rax = s->rax;
    probe.rcx = s->rcx;
    probe.rdx = s->rdx;
    probes[s->code][c->setter][c->variant](&probe);
    EXPECT_EQ(this_cpu()->trap_vector, s->vector);
    flags = expected_flags(s, reference.after);
    EXPECT_EQ(probe.after, flags);
    EXPECT_EQ(probe.later, reference.later);
    /* This does not rely on the reference, which runs on the same machine. */
    EXPECT_EQ(probe.later & FLAGS_ARITHMETIC, FLAG_ZF | FLAG_PF);
    if (c->setter == 0)
        EXPECT_EQ(reference.after, probe.before);
    if (s->vector != NO_TRAP)
        EXPECT_EQ(this_cpu()->trap.rflags & 0xffff, flags & 0xffff);
    else if (s->effect == FROM_EAX)
        EXPECT_EQ(probe.result & 0xffffffff, s->outcome);
    if (c->variant == 1)
        expect_jumps(probe.jumps, flags);
}

static void check_combination(const void *argument)
{
    const struct combination *c = argument;
    struct probe probe = {0};
    unsigned samples = c->subject->samples;

    for (unsigned n = 0; nth_input(c->setter, n, &probe); n++) {
        if (!samples || n < samples)
            check_one(c, probe);
    }
}

static void check_subject(const void *argument)
{
    enum { COUNT = SETTER_COUNT * VARIANTS };
    static struct combination combinations[COUNT];
    static struct test_case cases[COUNT];
    static char names[COUNT][32];

    for (unsigned i = 0; i < COUNT; i++) {
        const char *setter = setter_names[i / VARIANTS], *variant = variant_names[i % VARIANTS];
        size_t length = strlen(setter);
        memcpy(names[i], setter, length);
        names[i][length] = '_';
        memcpy(names[i] + length + 1, variant, strlen(variant) + 1);
        combinations[i] = (struct combination){argument, i / VARIANTS, i % VARIANTS};
        cases[i] = (struct test_case){names[i], ((const struct subject *)argument)->rule,
                                      check_combination, &combinations[i]};
    }
    RUN_SUBTESTS(cases);
}

/* The arithmetic itself must produce many of the 64 combinations, or this file tests little. */
static void arithmetic_reaches_many_combinations(const void *unused)
{
    static bool reached[64];
    unsigned count = 0;
    (void)unused;

    for (unsigned setter = 1; setter < SETTER_COUNT; setter++) {
        struct probe probe = {0};
        for (unsigned n = 0; nth_input(setter, n, &probe); n++) {
            struct probe copy = probe;
            uint64_t f;
            probes[CODE_nothing][setter][0](&copy);
            f = copy.after;
            reached[(f & 1) | (f >> 1 & 2) | (f >> 2 & 4) | (f >> 3 & 8) | (f >> 3 & 16) |
                    (f >> 6 & 32)] = true;
        }
    }
    for (unsigned i = 0; i < 64; i++)
        count += reached[i];
    print("# arithmetic reaches %u of 64 combinations, POPF all\n", count);
    EXPECT(count >= 32);
}

/* The operands of the subjects; setup() fills in the registers. */
static struct rmp_record assign_record = {.assigned = 1, .asid = 1};
static struct rmp_record invalid_record = {.asid = 1};
static struct rmp_record read_buffer;
static uint64_t smashed;

static void assign_large_again(void)
{
    for (unsigned i = 0; i < 512; i++)
        insn_rmpupdate(smashed + i * PAGE_4K, (uint64_t) & (struct rmp_record){0}, 0);
    EXPECT_EQ(rmp_assign(smashed, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
}

#define FLAGS_KEPT "APM3: the instruction affects no flag"
#define FLAGS_OF_STATUS "APM3: OF ZF AF PF SF from the result in EAX (ZF: success), CF kept"
#define FLAGS_OF_RMPOPT "AMD RMPOPT series: CF is the answer; the rest is kept"
#define FLAGS_AT_FAULT "APM2 8.1.4: a fault changes no flag"

enum {
    CPUID_EMULATED,
    CPUID_ORDINARY,
    RDMSR_EMULATED,
    RDMSR_ORDINARY,
    WRMSR_EMULATED,
    WRMSR_ORDINARY,
    WRMSR_FAULTING,
    RMPUPDATE_SUCCESS,
    RMPUPDATE_FAIL_INPUT,
    RMPUPDATE_FAIL_PERMISSION,
    RMPUPDATE_FAIL_OVERLAP,
    RMPUPDATE_FAULTING,
    PSMASH_SUCCESS,
    PSMASH_FAIL_INPUT,
    RMPREAD_SUCCESS,
    RMPREAD_FAIL_INPUT,
    RMPREAD_FAULTING,
    RMPOPT_VERIFY_CLEAN,
    RMPOPT_VERIFY_ASSIGNED,
    RMPOPT_REPORT_SET,
    RMPOPT_REPORT_CLEAR,
    RMPOPT_FAULTING,
    SUBJECTS
};

#define SUBJECT(title, flags_rule, instruction, ...)                                               \
    {                                                                                              \
        .name = title, .rule = flags_rule, .code = CODE_##instruction, __VA_ARGS__                 \
    }

/* set_up() supplies the operands and the outcome where none are given. */
static struct subject subjects[SUBJECTS] = {
    [CPUID_EMULATED] = SUBJECT("cpuid_emulated", FLAGS_KEPT, cpuid, .rax = 0x8000001f),
    [CPUID_ORDINARY] = SUBJECT("cpuid_ordinary", FLAGS_KEPT, cpuid, .rax = 0),
    [RDMSR_EMULATED] = SUBJECT("rdmsr_emulated", FLAGS_KEPT, rdmsr, .rcx = MSR_SYSCFG),
    [RDMSR_ORDINARY] = SUBJECT("rdmsr_ordinary", FLAGS_KEPT, rdmsr, .rcx = REAL_MSR),
    [WRMSR_EMULATED] = SUBJECT("wrmsr_emulated", FLAGS_KEPT, wrmsr, .rcx = MSR_SYSCFG),
    [WRMSR_ORDINARY] = SUBJECT("wrmsr_ordinary", FLAGS_KEPT, wrmsr, .rcx = REAL_MSR),
    [WRMSR_FAULTING] =
        SUBJECT("wrmsr_faulting", FLAGS_AT_FAULT, wrmsr, .rcx = MSR_TOP_MEM, .vector = VECTOR_GP),
    [RMPUPDATE_SUCCESS] = SUBJECT("rmpupdate_success", FLAGS_OF_STATUS, rmpupdate, .rax = 0),
    [RMPUPDATE_FAIL_INPUT] = SUBJECT("rmpupdate_fail_input", FLAGS_OF_STATUS, rmpupdate, .rax = 0),
    [RMPUPDATE_FAIL_PERMISSION] =
        SUBJECT("rmpupdate_fail_permission", FLAGS_OF_STATUS, rmpupdate, .rax = 0),
    [RMPUPDATE_FAIL_OVERLAP] =
        SUBJECT("rmpupdate_fail_overlap", FLAGS_OF_STATUS, rmpupdate, .rax = 0),
    [RMPUPDATE_FAULTING] = SUBJECT("rmpupdate_faulting", FLAGS_AT_FAULT, rmpupdate, .rax = 0),
    [PSMASH_SUCCESS] = SUBJECT("psmash_success", FLAGS_OF_STATUS, psmash, .rax = 0),
    [PSMASH_FAIL_INPUT] = SUBJECT("psmash_fail_input", FLAGS_OF_STATUS, psmash, .rax = 0),
    [RMPREAD_SUCCESS] = SUBJECT("rmpread_success", FLAGS_OF_STATUS, rmpread, .rax = 0),
    [RMPREAD_FAIL_INPUT] = SUBJECT("rmpread_fail_input", FLAGS_OF_STATUS, rmpread, .rax = 0),
    [RMPREAD_FAULTING] = SUBJECT("rmpread_faulting", FLAGS_AT_FAULT, rmpread, .rax = 0),
    [RMPOPT_VERIFY_CLEAN] = SUBJECT("rmpopt_verify_clean", FLAGS_OF_RMPOPT, rmpopt, .rax = 0),
    [RMPOPT_VERIFY_ASSIGNED] = SUBJECT("rmpopt_verify_assigned", FLAGS_OF_RMPOPT, rmpopt, .rax = 0),
    [RMPOPT_REPORT_SET] = SUBJECT("rmpopt_report_set", FLAGS_OF_RMPOPT, rmpopt, .rax = 0),
    [RMPOPT_REPORT_CLEAR] = SUBJECT("rmpopt_report_clear", FLAGS_OF_RMPOPT, rmpopt, .rax = 0),
    [RMPOPT_FAULTING] = SUBJECT("rmpopt_faulting", FLAGS_AT_FAULT, rmpopt, .rax = 0),
};

static void set_status(unsigned which, uint64_t spa, uint64_t rcx, uint64_t result)
{
    subjects[which].rax = spa;
    subjects[which].rcx = rcx;
    subjects[which].effect = FROM_EAX;
    subjects[which].outcome = result;
}

static void set_fault(unsigned which, uint64_t rax, uint64_t rcx, uint64_t vector)
{
    subjects[which].rax = rax;
    subjects[which].rcx = rcx;
    subjects[which].vector = vector;
}

static void set_up_rmpupdate(void)
{
    uint64_t base = allocate_or_fail(PAGE_2M, PAGE_2M);
    uint64_t record = (uint64_t)&assign_record;
    struct rmp_record immutable = {.assigned = 1, .immutable = 1};

    EXPECT_EQ(rmpupdate(base + 2 * PAGE_4K, &immutable), RMP_SUCCESS);
    set_status(RMPUPDATE_SUCCESS, base + PAGE_4K, record, RMP_SUCCESS);
    set_status(RMPUPDATE_FAIL_INPUT, base + PAGE_4K, (uint64_t)&invalid_record, RMP_FAIL_INPUT);
    set_status(RMPUPDATE_FAIL_PERMISSION, base + 2 * PAGE_4K, record, RMP_FAIL_PERMISSION);
    set_fault(RMPUPDATE_FAULTING, base, (uint64_t)unmapped_window(PAGE_4K), VECTOR_PF);
    base = allocate_or_fail(PAGE_2M, PAGE_2M);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    set_status(RMPUPDATE_FAIL_OVERLAP, base + PAGE_4K, record, RMP_FAIL_OVERLAP);
}

static void set_up_psmash(void)
{
    smashed = allocate_or_fail(PAGE_2M, PAGE_2M);
    set_status(PSMASH_SUCCESS, smashed, 0, RMP_SUCCESS);
    subjects[PSMASH_SUCCESS].prepare = assign_large_again;
    subjects[PSMASH_SUCCESS].samples = 8;
    set_status(PSMASH_FAIL_INPUT, smashed + PAGE_4K, 0, RMP_FAIL_INPUT);
}

static void set_up_rmpread(void)
{
    uint64_t page = allocate_or_fail(PAGE_4K, PAGE_4K);

    if (!cpu_has_rmpread()) {
        set_fault(RMPREAD_SUCCESS, page, (uint64_t)&read_buffer, VECTOR_UD);
        set_fault(RMPREAD_FAIL_INPUT, page + 1, (uint64_t)&read_buffer, VECTOR_UD);
        set_fault(RMPREAD_FAULTING, page, 0, VECTOR_UD);
        return;
    }
    set_status(RMPREAD_SUCCESS, page, (uint64_t)&read_buffer, RMP_SUCCESS);
    set_status(RMPREAD_FAIL_INPUT, page + 1, (uint64_t)&read_buffer, RMP_FAIL_INPUT);
    set_fault(RMPREAD_FAULTING, page, (uint64_t)unmapped_window(PAGE_4K), VECTOR_PF);
}

static void set_rmpopt(unsigned which, uint64_t spa, uint64_t function, bool cf)
{
    subjects[which].rax = spa;
    subjects[which].rcx = function;
    subjects[which].effect = RETURNS_CF;
    subjects[which].outcome = cf;
}

static void set_up_rmpopt(void)
{
    uint64_t clean = 2 * PAGE_1G, assigned = smashed;

    if (!cpu_has_rmpopt() || !rmp_is_segmented()) {
        for (unsigned i = RMPOPT_VERIFY_CLEAN; i <= RMPOPT_FAULTING; i++)
            set_fault(i, clean, 0, VECTOR_UD);
        return;
    }
    rmpopt_enable_everywhere(0);
    EXPECT_EQ(rmpopt(clean, RMPOPT_VERIFY), true);
    set_rmpopt(RMPOPT_VERIFY_CLEAN, clean, RMPOPT_VERIFY, true);
    set_rmpopt(RMPOPT_VERIFY_ASSIGNED, assigned, RMPOPT_VERIFY, false);
    set_rmpopt(RMPOPT_REPORT_SET, clean, RMPOPT_REPORT, true);
    set_rmpopt(RMPOPT_REPORT_CLEAR, assigned, RMPOPT_REPORT, false);
    set_fault(RMPOPT_FAULTING, clean, 2, VECTOR_GP);
}

static void set_up(const void *unused)
{
    (void)unused;
    snp_enable();
    for (unsigned i = 0; i < SUBJECTS; i++) {
        if (!subjects[i].vector)
            subjects[i].vector = NO_TRAP;
    }
    set_up_rmpupdate();
    set_up_psmash();
    set_up_rmpread();
    set_up_rmpopt();
}

static void all_subjects(const void *unused)
{
    static struct test_case cases[SUBJECTS];
    (void)unused;
    for (unsigned i = 0; i < SUBJECTS; i++)
        cases[i] =
            (struct test_case){subjects[i].name, subjects[i].rule, check_subject, &subjects[i]};
    RUN_SUBTESTS(cases);
}

static const struct test_case cases[] = {
    TEST(arithmetic_reaches_many_combinations, "runtime: the inputs are broad"),
    TEST(set_up, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(all_subjects, "APM3: flags affected, instruction by instruction"),
};
TEST_SUITE_IF(cases, snp_unmet);
