// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random programs of stores (shared/store_program.h) to pages of which some are protected. Each
 * fault must be exact; then its page is given back and the program restarts. The final state must
 * be as if no page had been protected: native/random_stores.c prints the hash to expect. Options:
 * seed=, programs=, crossing=on, expect=HASH. faults=paging makes pages read-only in the page
 * tables instead, to tell errors of QEMU from errors in the emulation of the RMP.
 */
#include "runtime.h"
#include "store_program.h"

#define MSR_FS_BASE 0xc0000100

enum { FS_PREFIX = 0x64, PROTECTED_ONE_IN = 4 };

static struct store_program program;
static uint16_t store_at[STORE_CODE_SIZE]; /* by code offset: number of the store plus 1 */
static uint64_t window_spa;
static bool assigned[STORE_WINDOW_PAGES];
static uint64_t page_choice;
static uint64_t faults;
static bool by_paging;

static unsigned page_of(uint64_t address)
{
    return (unsigned)((address - STORE_WINDOW) / PAGE_4K);
}

static void protect(unsigned page, bool value)
{
    uint64_t spa = window_spa + page * PAGE_4K;
    if (by_paging) {
        map_page(STORE_WINDOW + page * PAGE_4K, spa, PAGE_4K, value ? 0 : MAP_WRITE);
        flush_tlb();
    } else if (value) {
        EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    } else {
        EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
    }
}

static void set_assigned(unsigned page, bool value)
{
    protect(page, value);
    assigned[page] = value;
}

static const struct store *store_of(uint64_t rip)
{
    uint64_t offset = rip - STORE_CODE;
    unsigned number = offset < STORE_CODE_SIZE ? store_at[offset] : 0;
    return number ? &program.stores[number - 1] : NULL;
}

/* The first byte in a protected page. String instructions fault at the element they have reached.
 */
static void expect_exact_address(const struct store *store, uint64_t address)
{
    uint64_t next_page = (store->address & ~(PAGE_4K - 1)) + PAGE_4K;

    EXPECT(address >= store->address && address < store->address + store->bytes);
    if (!store->string)
        EXPECT_EQ(address, assigned[page_of(store->address)] ? store->address : next_page);
}

static bool give_page_back(struct trap *trap)
{
    const struct store *store = store_of(trap->rip);
    uint64_t offset = trap->cr2 - STORE_WINDOW;

    if (trap->vector != VECTOR_PF || !store || offset >= STORE_WINDOW_SIZE)
        return false;
    EXPECT_EQ(trap->error_code, by_paging ? PF_WRITE | PF_PRESENT : RMP_FAULT);
    expect_exact_address(store, trap->cr2);
    if (!assigned[page_of(trap->cr2)]) {
        EXPECT(assigned[page_of(trap->cr2)]);
        return false;
    }
    faults++;
    set_assigned(page_of(trap->cr2), false);
    return true;
}

static void index_stores(void)
{
    memset(store_at, 0, sizeof(store_at));
    for (unsigned i = 0; i < STORES_IN_PROGRAM; i++)
        store_at[program.stores[i].offset] = (uint16_t)(i + 1);
}

static void protect_some_pages(void)
{
    for (unsigned page = 0; page < STORE_WINDOW_PAGES; page++) {
        if (!assigned[page] && (store_random(&page_choice) >> 32) % PROTECTED_ONE_IN == 0)
            set_assigned(page, true);
    }
}

static void map_range(uint64_t va, uint64_t spa, uint64_t size)
{
    for (uint64_t offset = 0; offset < size; offset += PAGE_4K)
        map_page(va + offset, spa + offset, PAGE_4K, MAP_WRITE);
}

static void prepare(uint64_t seed)
{
    uint64_t code = allocate_or_fail(STORE_CODE_SIZE, PAGE_4K);

    by_paging = option_is("faults", "paging");
    if (!by_paging)
        snp_enable();
    window_spa = allocate_or_fail(PAGE_2M, PAGE_2M) + 3 * PAGE_4K;
    map_range(STORE_WINDOW, window_spa, STORE_WINDOW_SIZE);
    map_range(STORE_CODE, code, STORE_CODE_SIZE);
    wrmsr(MSR_FS_BASE, STORE_SEGMENT_BASE);
    program.code = (uint8_t *)STORE_CODE;
    program.segment_prefix = FS_PREFIX;
    program.crossing = option_is("crossing", "on");
    page_choice = seed * 2 + 1;
    store_registers_init(seed);
    store_window_init(seed);
}

static uint64_t run_programs(uint64_t seed, uint64_t count)
{
    uint64_t hash = 0;

    set_trap_hook(give_page_back);
    for (uint64_t i = 0; i < count && !case_failed(); i++) {
        store_program_generate(&program, seed, i);
        index_stores();
        protect_some_pages();
        store_program_run();
        hash = store_hash_run(hash, &program);
        if ((i + 1) % 1000 == 0)
            print("# after %lu: %#lx\n", i + 1, hash);
    }
    set_trap_hook(NULL);
    return store_hash_window(hash);
}

static void programs_end_as_without_protection(const void *unused)
{
    uint64_t seed = option_number("seed", 1), count = option_number("programs", 1000), hash;
    (void)unused;

    prepare(seed);
    hash = run_programs(seed, count);
    print("# %lu stores, %lu faults, hash %#lx\n", count * STORES_IN_PROGRAM, faults, hash);
    EXPECT(faults >= count);
    if (!option_present("expect"))
        SKIP("no expect=HASH to compare with");
    EXPECT_EQ(hash, option_number("expect", 0));
}

static const char *unmet(void)
{
    return option_is("faults", "paging") ? NULL : snp_unmet();
}

static const struct test_case cases[] = {
    TEST(programs_end_as_without_protection,
         "APM2 15.36.10: #PF before memory changes, restartable"),
};
TEST_SUITE_IF(cases, unmet);
