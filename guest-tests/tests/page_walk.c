// SPDX-License-Identifier: GPL-2.0-or-later
/* Page walks that set accessed or dirty bits in an assigned page table. */
#include "runtime.h"

#define PTE_ACCESSED (1ul << 5)
#define PTE_DIRTY (1ul << 6)
#define PTE_ADDRESS 0x000ffffffffff000ul

static void assign(uint64_t spa)
{
    EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
}

static void unassign(uint64_t spa)
{
    EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
}

static unsigned faults;
static struct trap fault;
static uint64_t give_back; /* page to give back at the first fault, 0 to leave it assigned */

/* A fetch faults at its target, and no guard is set for that RIP. */
static bool on_fault(struct trap *trap)
{
    struct cpu *cpu = this_cpu();

    if (trap->vector != VECTOR_PF)
        return false;
    if (faults++ == 0)
        fault = *trap;
    if (give_back && faults == 1) {
        unassign(give_back);
        return true;
    }
    trap->rip = cpu->guard_resume;
    cpu->guard_rip = 0;
    return true;
}

static void start_watching(uint64_t page)
{
    faults = 0;
    memset(&fault, 0, sizeof(fault));
    give_back = page;
    set_trap_hook(on_fault);
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

/* A page whose tables of levels 1 and 2 have pages of their own. */
static uint8_t *walked;      /* virtual address */
static uint64_t tables[3];   /* SPA of the table of level 1, 2 */
static uint64_t *entries[3]; /* the entries for that address in them */
static const uint8_t ret = 0xc3;

static void move_table(unsigned level, uint64_t covers, uint64_t to)
{
    uint64_t *above = page_table_slot((uint64_t)walked, 512 * covers);
    memcpy((void *)to, (void *)(*above & PTE_ADDRESS), PAGE_4K);
    *above = (*above & ~PTE_ADDRESS) | to;
    tables[level] = to;
    entries[level] = (uint64_t *)to + (uint64_t)walked / covers % 512;
}

static void make_walked_page(void)
{
    uint64_t spa, own;

    if (walked)
        return;
    spa = allocate_or_fail(PAGE_2M, PAGE_2M);
    own = allocate_or_fail(PAGE_2M, PAGE_2M);
    walked = map_window(spa, PAGE_4K, PAGE_4K, MAP_WRITE | MAP_USER);
    *walked = ret;
    move_table(2, PAGE_2M, own + PAGE_4K);
    move_table(1, PAGE_4K, own + 2 * PAGE_4K);
    flush_tlb();
}

#define DEFINE_ACCESS(name, instruction)                                                           \
    static void name(uint8_t *target)                                                              \
    {                                                                                              \
        __asm__ volatile("movq %%rsp, %%r8\n\t" GUARDED(instruction) "movq %%r8, %%rsp"            \
                         : "+D"(target)                                                            \
                         :                                                                         \
                         : "rax", "rcx", "r8", "memory", "cc");                                           \
    }
DEFINE_ACCESS(load, "movb (%%rdi), %%al")
DEFINE_ACCESS(store, "movb $0xc3, (%%rdi)")
DEFINE_ACCESS(add, "lock addb $0, (%%rdi)")
DEFINE_ACCESS(fetch, "call *%%rdi")
/* RMPUPDATE of an invalid address: it reads its operand and fails. */
DEFINE_ACCESS(operand, "movq %%rdi, %%rcx\n\tmovl $1, %%eax\n\t.byte 0xf2, 0x0f, 0x01, 0xfe")

struct walk {
    void (*access)(uint8_t *target);
    unsigned level;
    uint64_t clear; /* bits that the walk finds clear in that entry */
    uint64_t error; /* besides PF_RMP and PF_PRESENT */
};

static void prepare_walk(const struct walk *walk)
{
    make_walked_page();
    unassign(tables[1]);
    unassign(tables[2]);
    *entries[1] |= PTE_ACCESSED | PTE_DIRTY;
    *entries[2] |= PTE_ACCESSED;
    *entries[walk->level] &= ~walk->clear;
    assign(tables[walk->level]);
    flush_tlb();
}

static void walk_faults_and_restarts(const void *argument)
{
    const struct walk *walk = argument;
    uint64_t before;

    prepare_walk(walk);
    before = *entries[walk->level];
    start_watching(0);
    walk->access(walked);
    EXPECT_EQ(faults, 1);
    EXPECT_EQ(fault.vector, VECTOR_PF);
    EXPECT_EQ(fault.error_code, PF_RMP | PF_PRESENT | walk->error);
    EXPECT_EQ(fault.cr2, (uint64_t)walked);
    EXPECT_EQ(*entries[walk->level], before);
    start_watching(tables[walk->level]);
    walk->access(walked);
    set_trap_hook(NULL);
    EXPECT_EQ(faults, 1);
    EXPECT_EQ(*entries[walk->level], before | walk->clear);
    unassign(tables[walk->level]);
}

static void user_walk(const void *unused)
{
    static const uint8_t load_al[] = {0x8a, 0x07}; /* mov (%rdi), %al */
    const struct walk walk = {NULL, 1, PTE_ACCESSED, 0};
    struct trap state = {.rdi = 0};
    uint64_t start;
    (void)unused;

    prepare_walk(&walk);
    state.rdi = (uint64_t)walked;
    start = run_user(load_al, sizeof(load_al), &state);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, PF_RMP | PF_PRESENT | PF_USER);
    EXPECT_EQ(state.cr2, (uint64_t)walked);
    EXPECT_EQ(state.rip, start);
    unassign(tables[1]);
}

static void walk_without_update(const void *unused)
{
    static const struct walk walk = {NULL, 1, 0, 0};
    (void)unused;

    prepare_walk(&walk);
    assign(tables[2]);
    flush_tlb();
    load(walked);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    store(walked);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    unassign(tables[1]);
    unassign(tables[2]);
}

static const struct walk load_accessed = {load, 1, PTE_ACCESSED, 0},
                         store_accessed = {store, 1, PTE_ACCESSED | PTE_DIRTY, PF_WRITE},
                         store_dirty = {store, 1, PTE_DIRTY, PF_WRITE},
                         add_dirty = {add, 1, PTE_DIRTY, PF_WRITE},
                         fetch_accessed = {fetch, 1, PTE_ACCESSED, PF_FETCH},
                         load_directory = {load, 2, PTE_ACCESSED, 0},
                         store_directory = {store, 2, PTE_ACCESSED, PF_WRITE},
                         operand_accessed = {operand, 1, PTE_ACCESSED, 0};

#define WALK(kind)                                                                                 \
    TEST_WITH(#kind, walk_faults_and_restarts, &kind,                                              \
              "APM2 table 15-39: host page walk that sets A or D, #PF with the RMP bit")

static const struct test_case cases[] = {
    TEST(enable, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(walk_without_update, "APM2 table 15-39: a walk that only reads is not checked"),
    WALK(load_accessed),
    WALK(store_accessed),
    WALK(store_dirty),
    WALK(add_dirty),
    WALK(fetch_accessed),
    WALK(load_directory),
    WALK(store_directory),
    WALK(operand_accessed),
    TEST(user_walk, "APM2 8.2.15: the U bit is that of the access"),
};
TEST_SUITE_IF(cases, snp_unmet);
