// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests the runtime itself, on which the other tests rely. Runs on any x86-64 machine. */
#include "runtime.h"

static void guarded_instruction_reports_its_exception(const void *unused)
{
    struct insn_result result = try_rdmsr(0xdead0000);
    uint64_t address = 0x8000000000000000;
    (void)unused;

    /* TCG reads unknown MSRs as 0; a non-canonical address must fault everywhere. */
    EXPECT(result.vector == NO_TRAP || result.vector == VECTOR_GP);
    __asm__ volatile(GUARDED("movb (%0), %%al") : : "r"(address) : "rax", "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_GP);
    EXPECT_EQ(this_cpu()->trap.error_code, 0);
    __asm__ volatile(GUARDED("ud2")::: "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_UD);
    __asm__ volatile(GUARDED("nop")::: "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
}

static void page_fault_has_error_code_and_address(const void *unused)
{
    uint8_t *absent = unmapped_window(PAGE_4K);
    uint64_t spa = allocate_or_fail(PAGE_4K, PAGE_4K);
    uint8_t *read_only = map_window(spa, PAGE_4K, PAGE_4K, 0);
    (void)unused;

    __asm__ volatile(GUARDED("movb (%0), %%al") : : "r"(absent + 5) : "rax", "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, 0);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)absent + 5);
    __asm__ volatile(GUARDED("movb $1, (%0)") : : "r"(read_only + 9) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, PF_PRESENT | PF_WRITE);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)read_only + 9);
    EXPECT_EQ(*read_only, 0);
}

static uint8_t *repaired_page;

static bool make_present(struct trap *trap)
{
    if (trap->vector != VECTOR_PF || (trap->cr2 & ~0xffful) != (uint64_t)repaired_page)
        return false;
    map_page((uint64_t)repaired_page, allocate_or_fail(PAGE_4K, PAGE_4K), PAGE_4K, MAP_WRITE);
    return true;
}

static void hook_can_restart_the_instruction(const void *unused)
{
    (void)unused;
    repaired_page = unmapped_window(PAGE_4K);
    set_trap_hook(make_present);
    *(volatile uint32_t *)(repaired_page + 100) = 0x12345678;
    set_trap_hook(NULL);
    EXPECT_EQ(*(volatile uint32_t *)(repaired_page + 100), 0x12345678);
}

static void windows_of_every_page_size(const void *unused)
{
    uint64_t spa = allocate_or_fail(PAGE_2M, PAGE_2M);
    volatile uint32_t *word = (volatile uint32_t *)spa;
    volatile uint32_t *small = map_window(spa, PAGE_4K, PAGE_4K, MAP_WRITE);
    volatile uint32_t *large = map_window(spa, PAGE_2M, PAGE_2M, MAP_WRITE);
    volatile uint32_t *huge = map_window(spa & ~(PAGE_1G - 1), PAGE_1G, PAGE_1G, MAP_WRITE);
    uint64_t page_size = 0;
    (void)unused;

    *small = 1;
    EXPECT_EQ(*word, 1);
    *large = 2;
    EXPECT_EQ(*word, 2);
    huge[(spa & (PAGE_1G - 1)) / 4] = 3;
    EXPECT_EQ(*word, 3);
    EXPECT(page_table_entry((uint64_t)huge, &page_size) != NULL);
    EXPECT_EQ(page_size, PAGE_1G);
    unmap_page(spa + PAGE_4K, PAGE_4K);
    EXPECT_EQ(*word, 3);
    EXPECT(page_table_entry(spa, &page_size) != NULL);
    EXPECT_EQ(page_size, PAGE_4K);
    EXPECT(page_table_entry(spa + PAGE_4K, &page_size) == NULL);
}

static void user_mode_snippet(const void *unused)
{
    static const uint8_t add_and_stop[] = {0x48, 0x01, 0xd8}; /* add %rbx, %rax */
    static const uint8_t privileged[] = {0x90, 0xf4};         /* nop; hlt */
    struct trap state = {.rax = 40, .rbx = 2};
    uint64_t start = run_user(add_and_stop, sizeof(add_and_stop), &state);
    (void)unused;

    EXPECT_EQ(state.vector, VECTOR_BP);
    EXPECT_EQ(state.rax, 42);
    EXPECT_EQ(state.rip, start + sizeof(add_and_stop) + 1);
    EXPECT_EQ(state.cs & 3, 3);
    start = run_user(privileged, sizeof(privileged), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.rip, start + 1);
}

static void note_cpu(void *seen)
{
    ((uint8_t *)seen)[this_cpu()->index]++;
}

static void every_cpu_runs_jobs(const void *unused)
{
    static uint8_t seen[256];
    (void)unused;
    for (unsigned round = 0; round < 3; round++)
        run_on_all_cpus(note_cpu, seen);
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(seen[i], 3);
    print("# %u CPUs, CPU 0 has %s\n", cpu_count(), sibling_of(0) < 0 ? "no sibling" : "a sibling");
}

static void fault_on_this_cpu(void *vector)
{
    __asm__ volatile(GUARDED("ud2")::: "memory");
    *(uint64_t *)vector = this_cpu()->trap_vector;
}

static void every_cpu_takes_exceptions(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < cpu_count(); i++) {
        uint64_t vector = NO_TRAP;
        run_on_cpu(i, fault_on_this_cpu, &vector);
        EXPECT_EQ(vector, VECTOR_UD);
    }
}

static void flags_reach_pushf(const void *unused)
{
    (void)unused;
    for (uint64_t value = 0; value < 0x1000; value++) {
        uint64_t want = value & FLAGS_ARITHMETIC, got;
        __asm__ volatile("pushq %1; popfq; pushfq; popq %0" : "=r"(got) : "r"(want | 2) : "cc");
        EXPECT_EQ(got, want | 2);
    }
}

static void memory_map_is_sane(const void *unused)
{
    const struct memory_range *ranges;
    uint64_t page = allocate(PAGE_4K, PAGE_4K);
    (void)unused;

    EXPECT(ram_ranges(&ranges) > 0);
    EXPECT(ram_end() > (uint64_t)page);
    EXPECT_EQ(page % PAGE_4K, 0);
    EXPECT(page != allocate(PAGE_4K, PAGE_4K));
    EXPECT_EQ(allocate(1ul << 50, PAGE_4K), 0);
    EXPECT_EQ(acpi_root_pointer() != 0, true);
}

static const struct test_case nested[] = {
    TEST(flags_reach_pushf, "runtime: arithmetic flags written by POPF are read by PUSHF"),
    TEST(memory_map_is_sane, "runtime: PVH memory map and page allocator"),
};

static void subtests(const void *unused)
{
    (void)unused;
    RUN_SUBTESTS(nested);
}

static const struct test_case cases[] = {
    TEST(guarded_instruction_reports_its_exception, "runtime: guard, error code, resumption"),
    TEST(page_fault_has_error_code_and_address, "APM2 8.4.2: #PF error code, CR2"),
    TEST(hook_can_restart_the_instruction, "runtime: hook and restart"),
    TEST(windows_of_every_page_size, "APM2 5.3: 4 KiB, 2 MiB and 1 GiB pages"),
    TEST(user_mode_snippet, "APM2 8.2.14: privileged instruction at CPL 3 is #GP"),
    TEST(every_cpu_runs_jobs, "APM2 16.5: start-up IPI"),
    TEST(every_cpu_takes_exceptions, "runtime: exception stacks of each CPU"),
    TEST(subtests, "runtime: nested KTAP"),
};
TEST_SUITE(cases);
