/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three pages in a row, mapped with 4 KiB pages, whose middle one a test assigns and gives back:
 * what writes to it must leave no trace, and work when it is restarted. One set for each image.
 */
#ifndef RUNTIME_ASSIGNED_PAGE_H
#define RUNTIME_ASSIGNED_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "trap.h"

enum { WINDOW_PAGES = 3, WINDOW_BYTES = WINDOW_PAGES * PAGE_4K };

extern uint8_t *window;
extern uint8_t *owned; /* the middle page in the window */
extern uint64_t owned_spa;

/* A test's first case: makes the window and enables SNP. */
void enable_with_window(const void *unused);

void assign(void);
void unassign(void);

/* Fill the window with old_byte(0, 1, ...), and give the page back if an abandoned case kept it. */
void fill(void);
uint8_t old_byte(unsigned offset);
unsigned changed_bytes(void);

/*
 * For set_trap_hook(): at the first RMP fault gives the page back, so that the instruction
 * restarts. Set restarts to 0 before.
 */
bool unassign_and_restart(struct trap *trap);
extern unsigned restarts;

/* A single guarded instruction that stores at target. */
typedef void store_function(uint8_t *target);

/*
 * A store by DEFINE_STORE has its target in RDI. The guard surrounds the instruction alone; setup
 * and cleanup must not store. Exceptions run on a stack of their own, so RSP may point into the
 * window meanwhile.
 */
#define DEFINE_STORE(name, setup, instruction, cleanup)                                            \
    static inline void name(uint8_t *target)                                                       \
    {                                                                                              \
        __asm__ volatile("movabsq $0x1122334455667788, %%rax\n\t" setup                            \
                         "\n\t" GUARDED(instruction) cleanup                                       \
                         : "+D"(target)                                                            \
                         :                                                                         \
                         : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "memory", "cc");               \
    }

/* The store in a filled window without an assigned page; what it leaves is what restarts must. */
void store_freely(store_function *store, uint8_t *target);

/* With the page assigned: #PF with the RMP bit at the first byte that lies in it. */
void expect_store_fault(store_function *store, uint8_t *target);

/*
 * The same in a filled window. Cold: with an empty TLB, where an emulator takes another way. The
 * page stays assigned, so that the caller can look at it.
 */
void expect_fault_in_filled_window(store_function *store, uint8_t *target, bool cold);

/* One fault, and after the page was given back what store_freely() has seen. */
void expect_store_restart(store_function *store, uint8_t *target, bool cold);

#endif
