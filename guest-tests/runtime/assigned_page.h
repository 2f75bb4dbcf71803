/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three consecutive 4 KiB pages, of which a test assigns and gives back the middle one. A write to
 * that page must fault without a trace, and must work when it is restarted. Each image has one such
 * set of pages.
 */
#ifndef RUNTIME_ASSIGNED_PAGE_H
#define RUNTIME_ASSIGNED_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "trap.h"

enum { WINDOW_PAGES = 3, WINDOW_BYTES = WINDOW_PAGES * PAGE_4K };

extern uint8_t *window;
extern uint8_t *owned; /* the middle page, in the window */
extern uint64_t owned_spa;

/* To be a test's first case: make the window and enable SNP. */
void enable_with_window(const void *unused);

void assign(void);
void unassign(void);

/* Fill the window with old_byte(0, 1, ...). Give the page back first, if a failed case left it
 * assigned. */
void fill(void);
uint8_t old_byte(unsigned offset);
unsigned changed_bytes(void);

/*
 * A hook for set_trap_hook() that gives the page back at the first RMP fault, so that the
 * instruction restarts. Set `restarts` to 0 first.
 */
bool unassign_and_restart(struct trap *trap);
extern unsigned restarts;

/* A single guarded instruction that stores at target. */
typedef void store_function(uint8_t *target);

/*
 * A store defined by DEFINE_STORE has its target in RDI. Only the instruction itself is guarded, so
 * setup and cleanup must not store. RSP may point into the window, because exceptions use another
 * stack.
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

/* Execute the store in a filled window without an assigned page, and record the result for
 * restarts. */
void store_freely(store_function *store, uint8_t *target);

/* Expect #PF with the RMP bit at the store's first byte in the assigned page. */
void expect_store_fault(store_function *store, uint8_t *target);

/*
 * The same in a filled window. "Cold" is with an empty TLB, for which an emulator has another code
 * path. The page stays assigned, so that the caller can look at it.
 */
void expect_fault_in_filled_window(store_function *store, uint8_t *target, bool cold);

/* Expect one fault and, after the page was given back, the result that store_freely() recorded. */
void expect_store_restart(store_function *store, uint8_t *target, bool cold);

#endif
