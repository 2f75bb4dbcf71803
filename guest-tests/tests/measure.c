// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes known numbers of stores of each kind to known regions, from each CPU, in phases that the
 * plugin measures. Prints as comments what it must have counted:
 *
 *   # expect phase=mov64/2 cpu=1 gb=4 outcome=skipped stores=1000
 *
 * for regions that nothing else writes to. native/measured_stores.py compares. "rounds=N" on the
 * command line repeats the phase of mixed stores, for sampled measurements.
 */
#include "runtime.h"

#include "rmpopt_mark.h"

enum { REGIONS = 6, TIMES = 1000 };

struct region {
    uint64_t gb;
    uint8_t *at; /* 2 MiB */
};

static struct region regions[REGIONS];
static unsigned region_count;
static struct region
    border; /* `at` is the first byte of the region; the one before is mapped, too */
static volatile uint32_t *local_apic;

/* A loop of `times` stores at `at`, each of which counts as `each` accesses. */
struct kind {
    const char *name;
    void (*run)(uint8_t *at, uint64_t times);
    unsigned each;
    int offset;
};

#define KIND_WITH(name, before, instruction)                                                       \
    static void name(uint8_t *at, uint64_t times)                                                  \
    {                                                                                              \
        uint64_t stack;                                                                            \
        __asm__ volatile("mov %%rsp, %2\n\t" before "\n1:\t" instruction                           \
                         "\n\tdec %1\n\tjnz 1b\n\tmov %2, %%rsp"                                   \
                         : "+D"(at), "+c"(times), "=&r"(stack)                                     \
                         :                                                                         \
                         : "rax", "rdx", "rsi", "memory", "cc");                                   \
    }
#define KIND(name, instruction) KIND_WITH(name, "xor %%eax, %%eax", instruction)

KIND(mov8, "movb %%al, (%%rdi)")
KIND(mov16, "movw %%ax, (%%rdi)")
KIND(mov32, "movl $7, (%%rdi)")
KIND(mov64, "movq %%rax, (%%rdi)")
KIND(moffs, "movnti %%rax, (%%rdi)")
KIND(xchg, "xchgq %%rax, (%%rdi)")
KIND(add, "addl $1, (%%rdi)")
KIND(locked, "lock incq (%%rdi)")
KIND(xadd, "lock xaddq %%rdx, (%%rdi)")
/* CMPXCHG writes even if the comparison fails. */
KIND(cmpxchg_equal, "mov (%%rdi), %%rax; lock cmpxchgq %%rax, (%%rdi)")
KIND(cmpxchg_other, "mov (%%rdi), %%rax; inc %%rax; lock cmpxchgq %%rdx, (%%rdi)")
KIND(bts, "btsl $3, (%%rdi)")
KIND(setcc, "setc (%%rdi)")
KIND_WITH(push, "mov %%rdi, %%rsp", "pushq %%rax; add $8, %%rsp")
KIND_WITH(pushf, "mov %%rdi, %%rsp", "pushfq; add $8, %%rsp")
KIND_WITH(call, "mov %%rdi, %%rsp", "call 2f; 2: add $8, %%rsp")
KIND(movups, "movups %%xmm0, (%%rdi)")
KIND(movntdq, "movntdq %%xmm0, (%%rdi)")
KIND(fst, "fldz; fstpl (%%rdi)")
/* Repeated: RSI counts the stores of one instruction. */
KIND(rep_stosq, "mov %%rcx, %%rsi; mov %%rdi, %%rdx; mov $16, %%ecx; rep stosq; mov %%rsi, %%rcx;"
                "mov %%rdx, %%rdi")
KIND(rep_stosb, "mov %%rcx, %%rsi; mov %%rdi, %%rdx; mov $600, %%ecx; rep stosb; mov %%rsi, %%rcx;"
                "mov %%rdx, %%rdi")
KIND(fxsave, "fxsave64 (%%rdi)")

static const struct kind kinds[] = {
    {"mov8", mov8, 1, 5},
    {"mov16", mov16, 1, 4094},
    {"mov32", mov32, 1, 100},
    {"mov64", mov64, 1, 4088},
    {"movnti", moffs, 1, 64},
    {"xchg", xchg, 1, 8},
    {"add", add, 1, 12},
    {"locked", locked, 1, 16},
    {"xadd", xadd, 1, 24},
    {"cmpxchg_equal", cmpxchg_equal, 1, 32},
    {"cmpxchg_other", cmpxchg_other, 1, 40},
    {"bts", bts, 1, 48},
    {"setcc", setcc, 1, 7},
    {"push", push, 1, 4096},
    {"pushf", pushf, 1, 4096},
    {"call", call, 1, 4096},
    {"movups", movups, 1, 80},
    {"movntdq", movntdq, 1, 96},
    {"fst", fst, 1, 112},
    {"rep_stosq", rep_stosq, 16, 128},
    {"rep_stosb_over_pages", rep_stosb, 600, 4000},
    {"mov64_over_pages", mov64, 2, 4092},
    {"push_over_pages", push, 2, 4100},
    {"movups_over_pages", movups, 2, 4090},
    {"add_over_pages", add, 2, 4094},
    /* QEMU writes it in parts. */
    {"fxsave", fxsave, 72, 1024},
    {"fxsave_over_pages", fxsave, 72, 4096 - 256},
};

static void claim_regions(void)
{
    for (uint64_t gb = 1; gb * PAGE_1G < ram_end() && region_count < REGIONS; gb++) {
        uint64_t spa = gb * PAGE_1G + 64 * PAGE_2M;
        if (claim(spa, PAGE_2M))
            regions[region_count++] =
                (struct region){gb, map_window(spa, PAGE_2M, PAGE_4K, MAP_WRITE)};
    }
    for (unsigned i = 1; i < region_count; i++) {
        uint64_t spa = regions[i].gb * PAGE_1G;
        if (regions[i - 1].gb + 1 == regions[i].gb && claim(spa - PAGE_4K, 2 * PAGE_4K)) {
            uint8_t *at = map_window(spa - PAGE_4K, 2 * PAGE_4K, PAGE_4K, MAP_WRITE);
            border = (struct region){regions[i].gb, at + PAGE_4K};
            return;
        }
    }
}

static void optimise_odd(void *unused)
{
    (void)unused;
    for (unsigned i = 1; i < region_count; i += 2)
        rmpopt(regions[i].gb * PAGE_1G, RMPOPT_VERIFY);
}

static void set_up(const void *unused)
{
    (void)unused;
    claim_regions();
    REQUIRE(region_count >= 2);
    local_apic = map_window(0xfee00000, PAGE_4K, PAGE_4K, MAP_WRITE);
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    if (!cpu_has_rmpopt())
        return;
    rmpopt_enable_everywhere(0);
    run_on_all_cpus(optimise_odd, NULL);
}

/* The outcome that the plugin must report for a store by the calling CPU. */
static const char *outcome(uint64_t gb)
{
    if (!(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN))
        return "off";
    return cpu_has_rmpopt() && rmpopt(gb * PAGE_1G, RMPOPT_REPORT) ? "skipped" : "checked";
}

struct job {
    const struct kind *kind;
    const struct region *region;
    char name[RMPOPT_MARK_LONGEST + 1];
    const char *outcome;
};

static void run_job(void *argument)
{
    struct job *job = argument;
    uint8_t *at = job->region->at + job->kind->offset;
    unsigned length = 0;
    job->outcome = outcome(job->region->gb);
    while (job->name[length])
        length++;
    job->kind->run(at, 1); /* makes the translations that the loop needs */
    rmpopt_mark_phase(job->name, length);
    job->kind->run(at, TIMES);
    rmpopt_mark_phase(NULL, 0);
}

static void append(char *to, const char *text)
{
    unsigned n = 0;
    while (to[n])
        n++;
    while (*text)
        to[n++] = *text++;
    to[n] = 0;
}

static void append_number(char *to, unsigned n)
{
    char digits[2] = {(char)('0' + n % 10), 0};
    if (n >= 10)
        append_number(to, n / 10);
    append(to, digits);
}

/* Names are short: "cmpxchg_other/cpu7/gb63/on". */
static void count_kind(const struct kind *kind, unsigned cpu, const struct region *region,
                       const char *suffix)
{
    struct job job = {.kind = kind, .region = region, .name = {0}};
    append(job.name, kind->name);
    append(job.name, "/cpu");
    append_number(job.name, cpu);
    append(job.name, "/gb");
    append_number(job.name, (unsigned)region->gb);
    append(job.name, suffix);
    run_on_cpu(cpu, run_job, &job);
    print("# expect phase=%s cpu=%u gb=%lu outcome=%s stores=%lu\n", job.name, cpu, region->gb,
          job.outcome, (uint64_t)kind->each * TIMES);
}

static void each_kind(const void *suffix)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
            count_kind(&kinds[i], cpu, &regions[(cpu + i) % region_count], suffix);
    }
}

/* A store that reaches from one region into the next counts in both. */
static void over_regions(const void *unused)
{
    static const struct kind kind = {"mov64_over_regions", mov64, 1, -4};
    (void)unused;
    if (!border.at)
        SKIP("no two regions side by side");
    struct job job = {.kind = &kind, .region = &border, .name = "over_regions"};
    struct region before = {border.gb - 1, NULL};
    const char *outcome_before = outcome(before.gb);
    run_job(&job);
    print("# expect phase=%s cpu=0 gb=%lu outcome=%s stores=%u\n", job.name, border.gb, job.outcome,
          TIMES);
    print("# expect phase=%s cpu=0 gb=%lu outcome=%s stores=%u\n", job.name, before.gb,
          outcome_before, TIMES);
}

/* The checks of the first half of the stores are skipped; then the table changes. */
static void table_changes(const void *unused)
{
    struct region *region = &regions[0];
    uint64_t spa = region->gb * PAGE_1G + 64 * PAGE_2M + PAGE_4K;
    (void)unused;
    if (!cpu_has_rmpopt())
        SKIP("no RMPOPT");
    rmpopt(region->gb * PAGE_1G, RMPOPT_VERIFY);
    rmpopt_mark_phase("changes", 7);
    mov64(region->at, TIMES);
    EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    mov64(region->at, 2 * TIMES);
    EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
    mov64(region->at, 4 * TIMES);
    rmpopt(region->gb * PAGE_1G, RMPOPT_VERIFY);
    mov64(region->at, 8 * TIMES);
    rmpopt_mark_phase(NULL, 0);
    print("# expect phase=changes cpu=0 gb=%lu outcome=skipped stores=%u\n", region->gb, 9 * TIMES);
    print("# expect phase=changes cpu=0 gb=%lu outcome=checked stores=%u\n", region->gb, 6 * TIMES);
}

/* The same virtual page is mapped to one region, then to another, during the measurement. */
static void remapped(const void *unused)
{
    uint8_t *window =
        map_window(regions[0].gb * PAGE_1G + 64 * PAGE_2M, PAGE_4K, PAGE_4K, MAP_WRITE);
    (void)unused;
    mov64(window, 1);
    rmpopt_mark_phase("remapped", 8);
    for (unsigned i = 0; i < 4; i++) {
        map_page((uint64_t)window, regions[i % 2].gb * PAGE_1G + 64 * PAGE_2M, PAGE_4K, MAP_WRITE);
        invlpg(window);
        mov64(window, (i + 1) * TIMES);
    }
    rmpopt_mark_phase(NULL, 0);
    for (unsigned i = 0; i < 2; i++)
        print("# expect phase=remapped cpu=0 gb=%lu outcome=%s stores=%u\n", regions[i].gb,
              outcome(regions[i].gb), (i == 0 ? 4 : 6) * TIMES);
}

/* Device memory has no region. */
static void to_device(const void *unused)
{
    (void)unused;
    rmpopt_mark_phase("device", 6);
    for (unsigned i = 0; i < TIMES; i++)
        local_apic[0x80 / 4] = 0;
    rmpopt_mark_phase(NULL, 0);
    print("# expect-device phase=device stores=%u\n", TIMES);
}

/* Nothing is counted between "off" and "on". */
static void switched(const void *unused)
{
    (void)unused;
    mov64(regions[1].at, 1);
    rmpopt_mark_phase("switched", 8);
    mov64(regions[1].at, TIMES);
    rmpopt_mark_off();
    mov64(regions[1].at, 100 * TIMES);
    rmpopt_mark_on(option_number("interval", 0));
    mov64(regions[1].at, 2 * TIMES);
    rmpopt_mark_phase(NULL, 0);
    print("# expect phase=switched cpu=0 gb=%lu outcome=%s stores=%u\n", regions[1].gb,
          outcome(regions[1].gb), 3 * TIMES);
}

/*
 * A repeated store, followed by blocks that store nothing but overwrite its registers. That must
 * not change the addresses that sampling computes for its stores.
 */
static void rep_stosb_and_on(uint8_t *at, uint8_t *other, unsigned times)
{
    while (times--) {
        uint8_t *to = at;
        uint64_t count = 600;
        __asm__ volatile("rep stosb\n\tjmp 1f\n1:\tmov %2, %%rdi\n\tmov $300, %%ecx\n\tjmp 2f\n2:"
                         : "+D"(to), "+c"(count)
                         : "r"(other), "a"(0)
                         : "memory");
    }
}

static void mixed(void)
{
    for (unsigned i = 0; i < 10000; i++) {
        volatile uint64_t *to = (volatile uint64_t *)(regions[i % 3 == 0].at + i % 512 * 8);
        *to = i;
    }
    rep_stosb_and_on(regions[1].at, regions[0].at, 5);
}

static void many_phases(const void *unused)
{
    uint64_t rounds = option_number("rounds", 0);
    (void)unused;
    EXPECT_EQ(rmp_assign(regions[0].gb * PAGE_1G + 65 * PAGE_2M, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    mixed();
    for (unsigned i = 0; i < rounds; i++) {
        rmpopt_mark_phase("mixed", 5);
        mixed();
        rmpopt_mark_phase(NULL, 0);
    }
}

static const struct test_case cases[] = {
    TEST(set_up, "memory in two regions or more"),
    TEST_WITH("without_snp", each_kind, "/off", "SNP_EN is clear: nothing to check"),
    TEST(enable, "SNP enabled, every other region optimised"),
    TEST_WITH("with_snp", each_kind, "/on", "a write is checked unless the core's table covers it"),
    TEST(over_regions, "each page of a store is checked"),
    TEST(table_changes, "RMPUPDATE clears the region's bit, RMPOPT sets it"),
    TEST(remapped, "the page that is written counts, not its address"),
    TEST(to_device, "device memory"),
    TEST(switched, "counting can be switched"),
    TEST(many_phases, "samples"),
};
TEST_SUITE_IF(cases, snp_unmet);
