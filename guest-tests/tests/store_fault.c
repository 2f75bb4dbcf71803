// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Host stores to pages that the host does not own raise #PF with the RMP bit before memory changes,
 * and can be restarted. Every kind of store is tried through 4 KiB mappings, on three consecutive
 * pages of which the middle one is assigned.
 */
#include "runtime.h"
#include "stores.h"

DEFINE_STORE(mov8, "", "movb %%al, (%%rdi)", "")
DEFINE_STORE(setcc, "cmp %%eax, %%eax", "setz (%%rdi)", "")
DEFINE_STORE(inc_memory, "", "incl (%%rdi)", "")
DEFINE_STORE(bts_memory, "", "btsl $2, (%%rdi)", "")
DEFINE_STORE(lock_or, "", "lock orl %%eax, (%%rdi)", "")
DEFINE_STORE(cmpxchg16b,
             "movq (%%rdi), %%rax; movq 8(%%rdi), %%rdx; movl $1, %%ebx; movl $2, %%ecx",
             "lock cmpxchg16b (%%rdi)", "")
DEFINE_STORE(stosb, "movl $1, %%ecx", "rep stosb", "")
DEFINE_STORE(movsq, "leaq -4072(%%rdi), %%rsi; movl $1, %%ecx", "rep movsq", "")
DEFINE_STORE(movaps, "", "movaps %%xmm0, (%%rdi)", "")
DEFINE_STORE(movntdq, "", "movntdq %%xmm0, (%%rdi)", "")
DEFINE_STORE(enter, SAVE_STACK "movq %%rbp, %%rbx; movl $0x5678, %%ebp", "enter $0, $0",
             RESTORE_STACK "; movq %%rbx, %%rbp")

DEFINE_STORE(cmpxchg_unequal, "movl (%%rdi), %%eax; incl %%eax; movl $5, %%ecx",
             "cmpxchgl %%ecx, (%%rdi)", "")
DEFINE_STORE(mov_sib, "leaq -1096(%%rdi), %%rbx; movl $12, %%ecx",
             "movq %%rax, 1000(%%rbx,%%rcx,8)", "")
DEFINE_STORE(mov_fs, "", "movq %%rax, %%fs:(%%rdi)", "")
DEFINE_STORE(bts_far, "leaq -512(%%rdi), %%rbx; movl $4096 + 3, %%ecx", "btsq %%rcx, (%%rbx)", "")
DEFINE_STORE(bts_far_below, "leaq 512(%%rdi), %%rbx; movq $-4096 + 2, %%rcx", "btsq %%rcx, (%%rbx)",
             "")
DEFINE_STORE(shl_memory, "", "shlw $3, (%%rdi)", "")
DEFINE_STORE(movq_xmm, "movq %%rax, %%xmm1", "movq %%xmm1, (%%rdi)", "")
DEFINE_STORE(insb, "movl $0x3ff, %%edx", "insb", "")
DEFINE_STORE(push_memory, SAVE_STACK "leaq -4072(%%rdi), %%rbx", "pushq (%%rbx)", RESTORE_STACK)

struct store {
    store_function *execute;
    int offset; /* from the start of the owned page */
};

/* The store must fault without a trace and, restarted after the page is given back, must complete.
 */
static void store_faults_and_restarts(const void *argument)
{
    const struct store *store = argument;
    uint8_t *target = owned + store->offset;

    store_freely(store->execute, target);
    EXPECT(changed_bytes() > 0);
    for (unsigned cold = 0; cold < 2; cold++) {
        expect_fault_in_filled_window(store->execute, target, cold);
        EXPECT_EQ(changed_bytes(), 0);
        expect_store_restart(store->execute, target, cold);
    }
}

/* Checks only the exception and the restart, whatever the store leaves in the page before. */
static void store_faults(const void *argument)
{
    const struct store *store = argument;
    uint8_t *target = owned + store->offset;

    store_freely(store->execute, target);
    for (unsigned cold = 0; cold < 2; cold++) {
        expect_fault_in_filled_window(store->execute, target, cold);
        for (unsigned i = 0; i < PAGE_4K; i++)
            EXPECT_EQ(owned[i], old_byte(PAGE_4K + i));
        expect_store_restart(store->execute, target, cold);
    }
}

static const struct {
    struct store mov8_first, mov8_last, mov16, mov32, mov64, mov_immediate, movnti, setcc,
        add_to_memory, inc_memory, bts_memory, lock_or, xchg_memory, xadd, lock_xadd, cmpxchg,
        cmpxchg16b, stosb, movsq, movaps, movups, movntdq, fxsave, fstp, stmxcsr, sgdt, push, pushf,
        call, enter, cmpxchg_unequal, mov_sib, mov_fs, bts_far, bts_far_below, adc_to_memory,
        not_memory, shl_memory, movbe, movq_xmm, fnstcw, fnsave, insb, pop_memory, push_memory;
    struct store mov64_into, mov64_out_of, movups_into, movups_out_of, push_into, fstp_into,
        fxsave_into;
} stores = {
    .mov8_first = {mov8, 0},
    .mov8_last = {mov8, 4095},
    .mov16 = {mov16, 16},
    .mov32 = {mov32, 32},
    .mov64 = {mov64, 64},
    .mov_immediate = {mov_immediate, 72},
    .movnti = {movnti, 80},
    .setcc = {setcc, 88},
    .add_to_memory = {add, 96},
    .inc_memory = {inc_memory, 104},
    .bts_memory = {bts_memory, 112},
    .lock_or = {lock_or, 120},
    .xchg_memory = {xchg, 128},
    .xadd = {xadd, 136},
    .lock_xadd = {lock_xadd, 144},
    .cmpxchg = {cmpxchg, 152},
    .cmpxchg16b = {cmpxchg16b, 160},
    .stosb = {stosb, 176},
    .movsq = {movsq, 184},
    .movaps = {movaps, 192},
    .movups = {movups, 211},
    .movntdq = {movntdq, 240},
    .fxsave = {fxsave, 512},
    .fstp = {fstp, 1024},
    .stmxcsr = {stmxcsr, 1040},
    .sgdt = {sgdt, 1048},
    .push = {push, 1064},
    .pushf = {pushf, 1072},
    .call = {call, 1080},
    .enter = {enter, 1088},
    .cmpxchg_unequal = {cmpxchg_unequal, 1200},
    .mov_sib = {mov_sib, 1328},
    .mov_fs = {mov_fs, 1456},
    .bts_far = {bts_far, 1584},
    .bts_far_below = {bts_far_below, 1712},
    .adc_to_memory = {adc, 1840},
    .not_memory = {not, 1968},
    .shl_memory = {shl_memory, 2096},
    .movbe = {movbe, 2224},
    .movq_xmm = {movq_xmm, 2352},
    .fnstcw = {fnstcw, 2480},
    .fnsave = {fnsave, 2608},
    .insb = {insb, 2736},
    .pop_memory = {pop_memory, 2864},
    .push_memory = {push_memory, 2992},
    .mov64_into = {mov64, -3},
    .mov64_out_of = {mov64, 4093},
    .movups_into = {movups, -5},
    .movups_out_of = {movups, 4090},
    .push_into = {push, -4},
    .fstp_into = {fstp, -2},
    .fxsave_into = {fxsave, -256},
};

static void reads_and_fetches_are_allowed(const void *unused)
{
    static uint8_t copy[PAGE_4K];
    (void)unused;
    fill();
    owned[0] = 0xc3; /* ret */
    assign();
    __asm__ volatile(GUARDED("call *%0") : : "r"(owned) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(*(volatile uint64_t *)(owned + 1), *(uint64_t *)(owned + 1));
    memcpy(copy, owned, PAGE_4K);
    EXPECT_EQ(copy[4095], owned[4095]);
    __asm__ volatile(GUARDED("clflush (%0)") : : "r"(owned) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    __asm__ volatile(GUARDED("prefetchw (%0)") : : "r"(owned) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    unassign();
}

static void neighbours_stay_writable(const void *unused)
{
    (void)unused;
    fill();
    assign();
    mov64(owned - 8);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    mov64(owned + PAGE_4K);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    unassign();
    EXPECT(changed_bytes() > 8);
}

static void paging_is_checked_first(const void *unused)
{
    uint8_t *read_only = map_window(owned_spa, PAGE_4K, PAGE_4K, 0);
    uint8_t *supervisor = owned;
    static const uint8_t store_al[] = {0x88, 0x07}; /* mov %al, (%rdi) */
    struct trap state = {.rdi = (uint64_t)supervisor};
    (void)unused;

    assign();
    mov8(read_only + 3);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, PF_PRESENT | PF_WRITE);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)read_only + 3);
    run_user(store_al, sizeof(store_al), &state);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, PF_PRESENT | PF_WRITE | PF_USER);
    unassign();
}

static void user_mode_store(const void *unused)
{
    static const uint8_t store_rax[] = {0x48, 0x89, 0x07}; /* mov %rax, (%rdi) */
    uint8_t *user_window = map_window(owned_spa, PAGE_4K, PAGE_4K, MAP_WRITE | MAP_USER);
    struct trap state = {.rdi = (uint64_t)user_window + 0x123, .rax = 5};
    uint64_t start;
    (void)unused;

    fill();
    assign();
    start = run_user(store_rax, sizeof(store_rax), &state);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, RMP_FAULT | PF_USER);
    EXPECT_EQ(state.cr2, (uint64_t)user_window + 0x123);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

/* REP STOSB from the shared page into the owned one goes as far as it may, then faults exactly. */
static void rep_stos_stops_at_the_border(const void *unused)
{
    uint64_t rdi = (uint64_t)owned - 100, rcx = 300;
    (void)unused;

    fill();
    assign();
    __asm__ volatile(GUARDED("rep stosb") : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)owned);
    EXPECT_EQ(rdi, (uint64_t)owned);
    EXPECT_EQ(rcx, 200);
    EXPECT_EQ(owned[-1], 0);
    EXPECT_EQ(owned[-100], 0);
    EXPECT_EQ(owned[0], old_byte(PAGE_4K));
    unassign();
    __asm__ volatile(GUARDED("rep stosb") : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
    EXPECT_EQ(rcx, 0);
    EXPECT_EQ(owned[199], 0);
    EXPECT_EQ(owned[200], old_byte(PAGE_4K + 200));
}

/* The same backwards, from the page after into the owned page. */
static void rep_movs_backwards_stops_at_the_border(const void *unused)
{
    uint64_t rdi = (uint64_t)owned + PAGE_4K + 10 * 8, rsi = (uint64_t)owned - 8, rcx = 50;
    (void)unused;

    fill();
    assign();
    __asm__ volatile("std\n\t" GUARDED("rep movsq") "cld"
                     : "+D"(rdi), "+S"(rsi), "+c"(rcx)
                     :
                     : "memory", "cc");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)owned + PAGE_4K - 8);
    EXPECT_EQ(this_cpu()->trap.rflags & FLAG_DF, FLAG_DF);
    EXPECT_EQ(rdi, (uint64_t)owned + PAGE_4K - 8);
    EXPECT_EQ(rcx, 50 - 11);
    unassign();
}

/* The frame must hold the flags from before: a faulting ADD to memory must not set them. */
static void flags_at_the_fault(const void *unused)
{
    (void)unused;
    for (unsigned a = 0; a < 256; a += 15) {
        for (unsigned b = 0; b < 256; b += 5) {
            uint64_t want, rdi = (uint64_t)owned + 64;
            assign();
            __asm__ volatile("cmpb %b2, %b1\n\tpushfq\n\tpopq %0\n\tcmpb %b2, %b1\n\t" GUARDED(
                                 "addq %%rsp, (%3)")
                             : "=&r"(want)
                             : "q"(a), "q"(b), "r"(rdi)
                             : "memory", "cc");
            EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
            EXPECT_EQ(this_cpu()->trap.rflags & FLAGS_ARITHMETIC, want & FLAGS_ARITHMETIC);
            unassign();
        }
    }
}

static void flags_survive_the_restart(const void *unused)
{
    (void)unused;
    for (unsigned a = 0; a < 256; a += 15) {
        for (unsigned b = 0; b < 256; b += 5) {
            uint64_t want, got, rdi = (uint64_t)owned + 64;
            assign();
            restarts = 0;
            set_trap_hook(unassign_and_restart);
            __asm__ volatile("cmpb %b3, %b2\n\tpushfq\n\tpopq %0\n\tcmpb %b3, %b2\n\t"
                             "movq %4, (%4)\n\tpushfq\n\tpopq %1"
                             : "=&r"(want), "=&r"(got)
                             : "q"(a), "q"(b), "r"(rdi)
                             : "memory", "cc");
            set_trap_hook(NULL);
            EXPECT_EQ(got, want);
            REQUIRE_EQ(restarts, 1);
        }
    }
}

static void store_on_this_cpu(void *unused)
{
    (void)unused;
    expect_store_fault(mov64, owned + 256);
}

static void every_cpu_faults(const void *unused)
{
    (void)unused;
    fill();
    assign();
    run_on_all_cpus(store_on_this_cpu, NULL);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

static void every_cpu_may_write_again(const void *unused)
{
    (void)unused;
    assign();
    unassign();
    for (unsigned i = 0; i < cpu_count(); i++) {
        run_on_cpu(i, (void (*)(void *))mov64, owned + 8 * i);
        EXPECT_EQ(cpu_at(i)->trap_vector, NO_TRAP);
    }
}

static void large_page_faults_everywhere(const void *unused)
{
    static const unsigned indices[] = {0, 1, 255, 511};
    uint64_t base = allocate_or_fail(PAGE_2M, PAGE_2M);
    uint8_t *pages = map_window(base, PAGE_2M, PAGE_4K, MAP_WRITE);
    (void)unused;

    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *target = pages + indices[i] * PAGE_4K + 40;
        mov8(target);
        EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
        EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
        EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)target);
    }
    REQUIRE_EQ(psmash(base), RMP_SUCCESS);
    REQUIRE_EQ(rmp_unassign(base + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
    mov8(pages + PAGE_4K);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    mov8(pages);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    mov8(pages + 2 * PAGE_4K);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
}

static void large_mapping_reports_the_exact_address(const void *unused)
{
    uint64_t base = allocate_or_fail(PAGE_2M, PAGE_2M);
    uint8_t *large = map_window(base, PAGE_2M, PAGE_2M, MAP_WRITE);
    (void)unused;

    REQUIRE_EQ(rmp_assign(base + 9 * PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    mov32(large + 9 * PAGE_4K + 0x44);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, RMP_FAULT);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)large + 9 * PAGE_4K + 0x44);
}

static void alias_is_checked_as_well(const void *unused)
{
    uint8_t *alias = map_window(owned_spa, PAGE_4K, PAGE_4K, MAP_WRITE);
    (void)unused;
    alias[0] = 1; /* fills the TLB first */
    assign();
    mov8(alias + 0x77);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)alias + 0x77);
    mov8(owned + 0x77);
    EXPECT_EQ(this_cpu()->trap.cr2, (uint64_t)owned + 0x77);
    unassign();
}

/* A page with code that has run. Emulators watch such pages for changes, by another code path. */
static void page_with_code(const void *unused)
{
    (void)unused;
    fill();
    owned[0] = 0xc3; /* ret */
    for (unsigned i = 0; i < 100; i++)
        __asm__ volatile("call *%0" : : "r"(owned) : "memory");
    assign();
    expect_store_fault(mov64, owned + 2048);
    EXPECT_EQ(owned[2048], old_byte(PAGE_4K + 2048));
    __asm__ volatile(GUARDED("call *%0") : : "r"(owned) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    unassign();
    mov64(owned + 2048);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
}

static void fault_often(void *wrong)
{
    static const unsigned rounds = 1000;
    uint8_t *target = owned + 8 * this_cpu()->index;
    for (unsigned i = 0; i < rounds; i++) {
        const struct trap *trap = &this_cpu()->trap;
        mov64(target);
        if (this_cpu()->trap_vector != VECTOR_PF || trap->error_code != RMP_FAULT ||
            trap->cr2 != (uint64_t)target)
            __atomic_add_fetch((unsigned *)wrong, 1, __ATOMIC_RELAXED);
    }
}

static void all_cpus_fault_at_once(const void *unused)
{
    unsigned wrong = 0;
    (void)unused;
    fill();
    assign();
    for (unsigned i = 1; i < cpu_count(); i++)
        start_on_cpu(i, fault_often, &wrong);
    fault_often(&wrong);
    for (unsigned i = 1; i < cpu_count(); i++)
        wait_for_cpu(i);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

/* One CPU stores all the time while another takes the page away and gives it back. */
struct race {
    volatile uint64_t generation; /* odd while the page is certainly assigned */
    volatile int stop;
    volatile unsigned stores;
    unsigned faults, wrong;
};

static void store_until_told(void *argument)
{
    struct race *race = argument;
    volatile uint64_t *word = (volatile uint64_t *)(owned + 128);
    uint64_t last = *word;

    while (!race->stop) {
        uint64_t before = race->generation, value = ++race->stores;
        __asm__ volatile(GUARDED("movq %0, (%1)") : : "r"(value), "r"(word) : "memory");
        if (this_cpu()->trap_vector == NO_TRAP) {
            race->wrong += (before & 1) && race->generation == before;
            last = value;
        } else {
            race->wrong += this_cpu()->trap_vector != VECTOR_PF;
            race->faults++;
        }
        race->wrong += *word != last;
    }
}

static void let_it_store(const struct race *race)
{
    unsigned enough = race->stores + 3;
    while (race->stores < enough)
        cpu_relax();
}

static void no_store_slips_through(const void *unused)
{
    static struct race race;
    (void)unused;
    if (cpu_count() < 2)
        SKIP("one CPU only");
    start_on_cpu(1, store_until_told, &race);
    for (unsigned i = 0; i < 300; i++) {
        assign();
        race.generation++;
        let_it_store(&race);
        race.generation++;
        unassign();
        let_it_store(&race);
    }
    race.stop = 1;
    wait_for_cpu(1);
    EXPECT_EQ(race.wrong, 0);
    EXPECT(race.faults > 0);
    EXPECT(race.stores > race.faults);
}

#define STORE(kind)                                                                                \
    TEST_WITH("store_" #kind, store_faults_and_restarts, &stores.kind,                             \
              "APM2 table 15-39, 15.36.10: host write to an assigned page, #PF 0x80000003")

#define CROSSING(kind)                                                                             \
    TEST_WITH("fault_" #kind, store_faults, &stores.kind,                                          \
              "APM2 8.2.15: CR2 is the first faulting byte"),                                      \
        STORE(kind)

static const struct test_case cases[] = {
    TEST_WITH("enable", enable_with_window, NULL, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(reads_and_fetches_are_allowed, "APM2 table 15-39: host reads are not checked"),
    TEST(neighbours_stay_writable, "APM2 15.36.10: the check is per page"),
    TEST(paging_is_checked_first, "APM2 15.36.10: RMP checks follow paging checks"),
    TEST(user_mode_store, "APM2 table 15-39: stores at CPL 3, too"),
    STORE(mov8_first),
    STORE(mov8_last),
    STORE(mov16),
    STORE(mov32),
    STORE(mov64),
    STORE(mov_immediate),
    STORE(movnti),
    STORE(setcc),
    STORE(add_to_memory),
    STORE(inc_memory),
    STORE(bts_memory),
    STORE(lock_or),
    STORE(xchg_memory),
    STORE(xadd),
    STORE(lock_xadd),
    STORE(cmpxchg),
    STORE(cmpxchg16b),
    STORE(stosb),
    STORE(movsq),
    STORE(movaps),
    STORE(movups),
    STORE(movntdq),
    STORE(fxsave),
    STORE(fstp),
    STORE(stmxcsr),
    STORE(sgdt),
    STORE(push),
    STORE(pushf),
    STORE(call),
    STORE(enter),
    TEST_WITH("fault_cmpxchg_unequal", store_faults, &stores.cmpxchg_unequal,
              "APM3 CMPXCHG: the destination is written in either case"),
    STORE(mov_sib),
    STORE(mov_fs),
    STORE(bts_far),
    STORE(bts_far_below),
    STORE(adc_to_memory),
    STORE(not_memory),
    STORE(shl_memory),
    STORE(movbe),
    STORE(movq_xmm),
    STORE(fnstcw),
    STORE(fnsave),
    STORE(insb),
    STORE(pop_memory),
    STORE(push_memory),
    CROSSING(mov64_into),
    STORE(mov64_out_of),
    CROSSING(movups_into),
    STORE(movups_out_of),
    CROSSING(push_into),
    CROSSING(fstp_into),
    CROSSING(fxsave_into),
    TEST(rep_stos_stops_at_the_border, "APM3 REP: registers show what is done"),
    TEST(rep_movs_backwards_stops_at_the_border, "APM3 REP: registers show what is done"),
    TEST(flags_at_the_fault, "APM2 8.1.4: a fault undoes the instruction, flags included"),
    TEST(flags_survive_the_restart, "APM2 8.1.4: a faulting instruction can be restarted"),
    TEST(every_cpu_faults, "APM2 15.36.10: every CPU with SNP_EN"),
    TEST(every_cpu_may_write_again, "APM3 RMPUPDATE: in effect on all CPUs"),
    TEST(large_page_faults_everywhere, "APM2 15.36.10: 512 pages of an assigned 2 MiB page"),
    TEST(large_mapping_reports_the_exact_address, "APM2 8.2.15: CR2 is the faulting address"),
    TEST(alias_is_checked_as_well, "APM2 15.36.10: the check is on the physical page"),
    TEST(page_with_code, "APM2 15.36.10: whatever else the page is used for"),
    TEST(all_cpus_fault_at_once, "APM2 15.36.10: each CPU gets its own exact frame"),
    TEST(no_store_slips_through, "APM3 RMPUPDATE: in effect on all CPUs when it completes"),
};
TEST_SUITE_IF(cases, snp_unmet);
