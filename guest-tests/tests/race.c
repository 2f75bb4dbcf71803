// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RMPUPDATE races with RMPOPT, stores and RMPREAD of other CPUs. CPU 0 assigns pages and takes them
 * back. All others repeat the operation of the case until told to stop, and compare its result with
 * the phase that CPU 0 announces. A result counts only if the phase was the same before and after.
 */
#include "runtime.h"

#define INNER_OFFSET (5 * PAGE_4K)

/* Lowest two bits of the phase. */
enum { FREE = 0, BECOMES_ASSIGNED = 1, ASSIGNED = 2, BECOMES_FREE = 3 };

enum { SMASH_EVERY = 32, SLOT_SIZE = 64, MAX_WORKERS = PAGE_4K / SLOT_SIZE };
enum { CASE_MS = 1200, LEAST_CYCLES = 2 * SMASH_EVERY };

struct worker {
    volatile uint64_t done;
    volatile uint64_t faults;
    uint64_t stored;
    unsigned index;
} __attribute__((aligned(64)));

typedef void work(struct worker *worker);

static struct worker workers[MAX_WORKERS];
static work *current_work;
static volatile uint64_t phase;
static volatile int stop;
static uint64_t base;      /* the 2 MiB to assign */
static uint64_t inner;     /* a 4 KiB page in them */
static uint8_t *window;    /* the 2 MiB, mapped by 4 KiB pages */
static uint64_t region;    /* the GB around them */
static uint64_t neighbour; /* a GB in which no page is ever assigned */

static const char *unmet(void)
{
    return cpu_count() < 2 ? "one CPU only" : snp_unmet();
}

/* Orders a worker's operation between its two reads of the phase, as LOCK and MFENCE do. */
static uint64_t look_at_phase(void)
{
    uint64_t value;
    __sync_synchronize();
    value = phase;
    __sync_synchronize();
    return value;
}

static bool was(uint64_t before, unsigned state)
{
    return before % 4 == state && look_at_phase() == before;
}

static void work_until_told(void *argument)
{
    struct worker *worker = argument;
    while (!stop) {
        current_work(worker);
        worker->done++;
    }
}

static uint64_t total_done(void)
{
    uint64_t sum = 0;
    for (unsigned i = 1; i < cpu_count(); i++)
        sum += workers[i].done;
    return sum;
}

/* Gives the others time for about one try each. */
static void hold(void)
{
    uint64_t enough = total_done() + cpu_count();
    while (total_done() < enough)
        cpu_relax();
}

static void enter(unsigned state)
{
    __sync_synchronize();
    phase++;
    __sync_synchronize();
    EXPECT_EQ(phase % 4, state);
}

/* GPA and ASID of a cycle's entries determine each other, so that a torn entry is noticed. */
static uint64_t gpa_of(uint64_t cycle)
{
    return (cycle % 0x10000 + 1) * PAGE_2M;
}

static uint32_t asid_of(uint64_t gpa)
{
    return (uint32_t)(gpa / PAGE_2M % 500 + 1);
}

static void assign(uint64_t spa, unsigned page_size, uint64_t gpa)
{
    EXPECT_EQ(rmp_assign(spa, page_size, asid_of(gpa), gpa), RMP_SUCCESS);
}

static void unassign_smashed(void)
{
    for (uint64_t spa = base; spa < base + PAGE_2M; spa += PAGE_4K)
        EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
}

/* Assigns one page, two pages, or all 2 MiB for a while, and sometimes smashes the 2 MiB. */
static void cycle_once(uint64_t cycle)
{
    bool whole = cycle % 4 == 3, smash = cycle % SMASH_EVERY == SMASH_EVERY - 1;
    bool beside = cycle % 4 == 1;

    enter(BECOMES_ASSIGNED);
    if (whole)
        assign(base, RMP_PAGE_2M, gpa_of(cycle));
    else
        assign(inner, RMP_PAGE_4K, gpa_of(cycle));
    enter(ASSIGNED);
    if (beside)
        assign(base, RMP_PAGE_4K, gpa_of(cycle));
    if (smash)
        EXPECT_EQ(psmash(base), RMP_SUCCESS);
    hold();
    if (beside)
        EXPECT_EQ(rmp_unassign(base, RMP_PAGE_4K), RMP_SUCCESS);
    enter(BECOMES_FREE);
    if (smash)
        unassign_smashed();
    else
        EXPECT_EQ(rmp_unassign(whole ? base : inner, whole), RMP_SUCCESS);
    enter(FREE);
    hold();
}

static void make_pages(void)
{
    if (base)
        return;
    snp_enable();
    base = allocate_or_fail(PAGE_2M, PAGE_2M);
    inner = base + INNER_OFFSET;
    window = map_window(base, PAGE_2M, PAGE_4K, MAP_WRITE);
    region = base & ~(PAGE_1G - 1);
    neighbour = region ? region - PAGE_1G : region + PAGE_1G;
}

static void report_counts(uint64_t cycles)
{
    uint64_t faults = 0;
    for (unsigned i = 1; i < cpu_count(); i++)
        faults += workers[i].faults;
    print("# %lu assigned and freed, %lu tries on %u CPUs, %lu faults\n", cycles, total_done(),
          cpu_count() - 1, faults);
}

/* Runs until the time is over, but on a busy host at least until there were enough of each. */
static void race(work *function)
{
    uint64_t cycles = 0, end;

    make_pages();
    memset(workers, 0, sizeof(workers));
    memset(window, 0, PAGE_2M);
    current_work = function;
    stop = 0;
    for (unsigned i = 1; i < cpu_count(); i++) {
        workers[i].index = i;
        start_on_cpu(i, work_until_told, &workers[i]);
    }
    end = clock_ms() + CASE_MS;
    while (!case_failed() && (clock_ms() < end || cycles < LEAST_CYCLES))
        cycle_once(cycles++);
    stop = 1;
    for (unsigned i = 1; i < cpu_count(); i++)
        wait_for_cpu(i);
    report_counts(cycles);
}

static bool carry(uint64_t spa, uint64_t function)
{
    struct insn_result result = insn_rmpopt(spa, function, 0);
    EXPECT_NO_TRAP(result);
    return result.rflags & FLAG_CF;
}

static void scan(struct worker *worker)
{
    uint64_t before = look_at_phase();
    bool optimised = carry(region + worker->done % PAGE_1G, worker->done & 1);

    EXPECT(!(optimised && was(before, ASSIGNED)));
    before = look_at_phase();
    optimised = carry(region, RMPOPT_VERIFY) && carry(region, RMPOPT_REPORT);
    EXPECT(optimised || !was(before, FREE));
    EXPECT(!(optimised && was(before, ASSIGNED)));
}

static void no_stale_bit_on_any_core(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt())
        SKIP("no RMPOPT");
    make_pages();
    rmpopt_enable_everywhere(0);
    race(scan);
}

static void scan_neighbour(struct worker *worker)
{
    EXPECT(carry(neighbour, worker->done & 1));
}

static void verify_neighbour(void *unused)
{
    (void)unused;
    EXPECT(carry(neighbour, RMPOPT_VERIFY));
}

static void neighbours_keep_their_bit(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt())
        SKIP("no RMPOPT");
    make_pages();
    if (!rmp_entry_address(neighbour))
        SKIP("less than 1 GiB covered");
    rmpopt_enable_everywhere(0);
    run_on_all_cpus(verify_neighbour, NULL);
    race(scan_neighbour);
}

static void try_mov(volatile uint64_t *slot, uint64_t value)
{
    __asm__ volatile(GUARDED("movq %0, (%1)") : : "r"(value), "r"(slot) : "memory");
}

static void try_locked_add(volatile uint64_t *slot)
{
    __asm__ volatile(GUARDED("lock addq $1, (%0)") : : "r"(slot) : "memory", "cc");
}

static void try_rep_stos(volatile uint64_t *slot, uint64_t value)
{
    uint64_t count = 1;
    __asm__ volatile(GUARDED("rep stosq") : "+D"(slot), "+c"(count) : "a"(value) : "memory");
}

static void expect_exact_fault(struct worker *worker, const volatile uint64_t *slot)
{
    const struct cpu *cpu = this_cpu();
    worker->faults++;
    EXPECT_EQ(cpu->trap_vector, VECTOR_PF);
    EXPECT_EQ(cpu->trap.error_code, RMP_FAULT);
    EXPECT_EQ(cpu->trap.cr2, (uint64_t)slot);
}

/* Each worker counts in memory of its own, where no store that faulted may show. */
static void store(struct worker *worker)
{
    volatile uint64_t *slot = (void *)(window + INNER_OFFSET + worker->index * SLOT_SIZE);
    uint64_t before = look_at_phase();

    if (worker->done % 3 == 0)
        try_mov(slot, worker->stored + 1);
    else if (worker->done % 3 == 1)
        try_locked_add(slot);
    else
        try_rep_stos(slot, worker->stored + 1);
    if (this_cpu()->trap_vector == NO_TRAP) {
        EXPECT(!was(before, ASSIGNED));
        worker->stored++;
    } else {
        EXPECT(!was(before, FREE));
        expect_exact_fault(worker, slot);
    }
    EXPECT_EQ(*slot, worker->stored);
}

static void no_store_after_assignment(const void *unused)
{
    (void)unused;
    race(store);
}

/* In some cycles the pages beside the one that changes belong to the host all the time. */
static void store_beside(struct worker *worker)
{
    uint64_t page = worker->done % 2 ? INNER_OFFSET - PAGE_4K : INNER_OFFSET + PAGE_4K;
    volatile uint64_t *slot = (void *)(window + page + worker->index * SLOT_SIZE);
    uint64_t before = look_at_phase();

    try_mov(slot, worker->done);
    if (this_cpu()->trap_vector != NO_TRAP) {
        EXPECT(!was(before, FREE));
        expect_exact_fault(worker, slot);
    }
}

static void neighbour_pages_fault_only_with_2m(const void *unused)
{
    (void)unused;
    race(store_beside);
}

static void expect_whole(const struct rmp_record *record)
{
    bool inside_2m = record->gpa == 0 && record->asid == 0;
    EXPECT_EQ(record->immutable, 0);
    EXPECT_EQ(record->reserved, 0);
    if (!record->assigned)
        EXPECT(inside_2m);
    else
        EXPECT(inside_2m || record->asid == asid_of(record->gpa));
}

static void read_entry(struct worker *worker)
{
    uint64_t spa = worker->done & 1 ? base : inner;
    uint64_t before = look_at_phase();
    struct rmp_record record;

    memset(&record, 0xff, sizeof(record));
    EXPECT_EQ(rmpread(spa, &record), RMP_SUCCESS);
    expect_whole(&record);
    if (spa != inner)
        return;
    EXPECT(record.assigned || !was(before, ASSIGNED));
    EXPECT(!record.assigned || !was(before, FREE));
}

static void entries_are_whole(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpread())
        SKIP("no RMPREAD");
    race(read_entry);
}

static void all_kinds(struct worker *worker)
{
    switch ((worker->done / 64 + worker->index) % 4) {
    case 0:
        if (cpu_has_rmpopt())
            scan(worker);
        break;
    case 1:
        if (cpu_has_rmpread())
            read_entry(worker);
        break;
    case 2:
        store_beside(worker);
        break;
    default:
        store(worker);
        break;
    }
}

static void all_at_once(const void *unused)
{
    (void)unused;
    make_pages();
    if (cpu_has_rmpopt())
        rmpopt_enable_everywhere(0);
    race(all_kinds);
}

static void update_own_page(void *argument)
{
    const struct worker *worker = argument;
    uint64_t spa = base + worker->index * PAGE_4K;
    for (uint64_t i = 0; i < 500; i++) {
        assign(spa, RMP_PAGE_4K, gpa_of(i));
        if (cpu_has_rmpopt())
            EXPECT(!carry(region, i & 1));
        EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
    }
}

/* All CPUs change the subpage count in one 2 MiB entry. A lost update shows at the end. */
static void updates_of_one_region_add_up(const void *unused)
{
    (void)unused;
    make_pages();
    if (cpu_has_rmpopt())
        rmpopt_enable_everywhere(0);
    for (unsigned i = 0; i < cpu_count(); i++)
        workers[i].index = i;
    for (unsigned i = 1; i < cpu_count(); i++)
        start_on_cpu(i, update_own_page, &workers[i]);
    update_own_page(&workers[0]);
    for (unsigned i = 1; i < cpu_count(); i++)
        wait_for_cpu(i);
    if (cpu_has_rmpopt())
        EXPECT(carry(region, RMPOPT_VERIFY));
    EXPECT_EQ(rmp_lookup(base).page_size, 0);
    EXPECT_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static const struct test_case cases[] = {
    TEST(no_stale_bit_on_any_core, "AMD mail 2026-02-17: after RMPUPDATE no core is optimised"),
    TEST(neighbours_keep_their_bit, "AMD mail 2026-03-04: RMPUPDATE clears the matching entry"),
    TEST(no_store_after_assignment, "APM2 15.36.10: host writes need a hypervisor-owned page"),
    TEST(neighbour_pages_fault_only_with_2m, "APM2 15.36.10: each page by its own entry"),
    TEST(entries_are_whole, "APM3 RMPREAD: the entry as one record"),
    TEST(all_at_once, "APM2 15.36.12: several CPUs, one entry"),
    TEST(updates_of_one_region_add_up, "APM3 RMPUPDATE: the entry is locked while it changes"),
};
TEST_SUITE_IF(cases, unmet);
