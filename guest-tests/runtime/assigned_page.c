// SPDX-License-Identifier: GPL-2.0-or-later
#include "assigned_page.h"

#include "console.h"
#include "ktap.h"
#include "paging.h"
#include "snp.h"
#include "x86.h"

uint8_t *window;
uint8_t *owned;
uint64_t owned_spa;
unsigned restarts;
static uint8_t expected_bytes[WINDOW_BYTES];

void enable_with_window(const void *unused)
{
    uint64_t spa = allocate_or_fail(PAGE_2M, PAGE_2M) + 4 * PAGE_4K;
    (void)unused;
    window = map_window(spa, WINDOW_BYTES, PAGE_4K, MAP_WRITE);
    owned = window + PAGE_4K;
    owned_spa = spa + PAGE_4K;
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
}

void assign(void)
{
    EXPECT_EQ(rmp_assign(owned_spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
}

void unassign(void)
{
    EXPECT_EQ(rmp_unassign(owned_spa, RMP_PAGE_4K), RMP_SUCCESS);
}

uint8_t old_byte(unsigned offset)
{
    return (uint8_t)(offset * 7 + 3);
}

void fill(void)
{
    unassign();
    for (unsigned i = 0; i < WINDOW_BYTES; i++)
        window[i] = old_byte(i);
}

unsigned changed_bytes(void)
{
    unsigned changed = 0;
    for (unsigned i = 0; i < WINDOW_BYTES; i++)
        changed += window[i] != old_byte(i);
    return changed;
}

bool unassign_and_restart(struct trap *trap)
{
    if (trap->vector != VECTOR_PF || trap->error_code != RMP_FAULT || restarts)
        return false;
    restarts++;
    unassign();
    return true;
}

void store_freely(store_function *store, uint8_t *target)
{
    fill();
    store(target);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    memcpy(expected_bytes, window, WINDOW_BYTES);
}

void expect_store_fault(store_function *store, uint8_t *target)
{
    const struct trap *trap = &this_cpu()->trap;

    store(target);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    if (this_cpu()->trap_vector != VECTOR_PF)
        return;
    EXPECT_EQ(trap->error_code, RMP_FAULT);
    EXPECT_EQ(trap->cr2, (uint64_t)(target < owned ? owned : target));
    EXPECT_EQ(trap->rdi, (uint64_t)target);
}

static void prepare(bool cold)
{
    fill();
    assign();
    if (cold)
        flush_tlb();
}

void expect_fault_in_filled_window(store_function *store, uint8_t *target, bool cold)
{
    prepare(cold);
    expect_store_fault(store, target);
}

void expect_store_restart(store_function *store, uint8_t *target, bool cold)
{
    prepare(cold);
    restarts = 0;
    set_trap_hook(unassign_and_restart);
    store(target);
    set_trap_hook(NULL);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(restarts, 1);
    EXPECT_EQ(memcmp(window, expected_bytes, WINDOW_BYTES), 0);
    if (!restarts)
        unassign();
}
