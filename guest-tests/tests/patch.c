// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CPU 0 changes code that all others execute, in two ways. As Linux's text_poke does: INT3 over the
 * first byte, then the rest, then the first byte, and after each step all CPUs take an interrupt.
 * Directly: one store, which a CPU sees as a whole, and then an interrupt. A CPU that has taken it
 * must not execute what was there before (APM vol. 2, 7.6.1: it has serialised).
 *
 * rounds=N changes the code N times in each way; without it there are as many as a few seconds
 * allow.
 */
#include "runtime.h"

enum { VECTOR_SYNC = 0x41, MS = 2000, LEAST_ROUNDS = 200 };
enum { MOV_EAX = 0xb8, RET = 0xc3, INT3 = 0xcc };
enum { ENTRY = 3, OPERAND = ENTRY + 1, END = OPERAND + 4 };

/* mov eax, imm32; ret. The operand is aligned, so that one store changes it. */
static uint8_t code[PAGE_4K] __attribute__((aligned(4096)));
static volatile uint8_t *alias; /* the same bytes, at an address whose translation is dropped */
static volatile int stop, patching;
static volatile uint32_t newest; /* what the code returns at least */
static volatile unsigned synced, stale_int3s, stale_values, ready;

static const char *unmet(void)
{
    return cpu_count() < 2 ? "one CPU only" : NULL;
}

static bool on_trap(struct trap *trap)
{
    if (trap->vector == VECTOR_SYNC) {
        __sync_fetch_and_add(&synced, 1);
        acknowledge_interrupt();
        return true;
    }
    if (trap->vector != VECTOR_BP || trap->rip != (uint64_t)code + ENTRY + 1)
        return false;
    if (!patching)
        __sync_fetch_and_add(&stale_int3s, 1);
    /* As if the function had returned. A stale INT3 would otherwise come again and again. */
    trap->rax = newest;
    trap->rip = *(uint64_t *)trap->rsp;
    trap->rsp += 8;
    return true;
}

static void call_until_told(void *argument)
{
    uint32_t (*function)(void) = (uint32_t(*)(void))(uint64_t)(code + ENTRY);

    (void)argument;
    set_trap_hook(on_trap);
    apic_enable();
    __asm__ volatile("sti");
    __sync_fetch_and_add(&ready, 1);
    while (!stop) {
        uint32_t least = newest;

        if (function() < least)
            __sync_fetch_and_add(&stale_values, 1);
    }
    __asm__ volatile("cli");
    set_trap_hook(NULL);
}

static void store_byte(unsigned offset, uint8_t value)
{
    invlpg((void *)alias);
    alias[offset] = value;
}

static void store_operand(uint32_t value)
{
    invlpg((void *)alias);
    *(volatile uint32_t *)(alias + OPERAND) = value;
}

/* Returns when all other CPUs have taken an interrupt that was sent after the store. */
static void sync_others(void)
{
    synced = 0;
    __sync_synchronize();
    for (unsigned i = 1; i < cpu_count(); i++)
        send_interrupt(cpu_at(i)->apic_id, APIC_FIXED | VECTOR_SYNC);
    while (synced != cpu_count() - 1)
        cpu_relax();
}

static void change_by_int3(uint32_t value)
{
    patching = 1;
    store_byte(ENTRY, INT3);
    sync_others();
    store_operand(value);
    sync_others();
    store_byte(ENTRY, MOV_EAX);
    sync_others();
    patching = 0;
}

static void change_directly(uint32_t value)
{
    store_operand(value);
    sync_others();
}

static void no_cpu_executes_what_has_been_replaced(const void *argument)
{
    void (*change)(uint32_t) = *(void (*const *)(uint32_t))argument;
    uint64_t wanted = option_number("rounds", 0);
    uint64_t end = clock_ms() + MS;
    uint32_t rounds = 0;

    stop = 0;
    ready = 0;
    newest = 0;
    stale_int3s = 0;
    stale_values = 0;
    alias = map_window((uint64_t)code, PAGE_4K, PAGE_4K, MAP_WRITE);
    store_byte(ENTRY, MOV_EAX);
    store_operand(0);
    store_byte(END, RET);
    apic_enable();
    for (unsigned i = 1; i < cpu_count(); i++)
        start_on_cpu(i, call_until_told, NULL);
    while (ready != cpu_count() - 1)
        cpu_relax();
    while (wanted != 0 ? rounds < wanted : clock_ms() < end || rounds < LEAST_ROUNDS) {
        change(++rounds);
        newest = rounds;
    }
    stop = 1;
    for (unsigned i = 1; i < cpu_count(); i++)
        wait_for_cpu(i);
    print("# %u rounds, %u stale INT3s, %u stale values\n", rounds, stale_int3s, stale_values);
    EXPECT_EQ(stale_int3s, 0);
    EXPECT_EQ(stale_values, 0);
}

static void (*const by_int3)(uint32_t) = change_by_int3;
static void (*const directly)(uint32_t) = change_directly;

static const struct test_case cases[] = {
    TEST_WITH("code_changed_by_int3", no_cpu_executes_what_has_been_replaced, &by_int3,
              "APM vol. 2, 7.6.1: a CPU that has taken an interrupt executes the new code"),
    TEST_WITH("code_changed_by_one_store", no_cpu_executes_what_has_been_replaced, &directly,
              "APM vol. 2, 7.6.1"),
};
TEST_SUITE_IF(cases, unmet);
