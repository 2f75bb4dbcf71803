/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs that store to a window of memory. The same seed gives the same program in a
 * bare-metal guest and in a Linux process. Its final state does not depend on the CPU, because no
 * program uses segment selectors or flags that the architecture leaves undefined.
 * Freestanding: uses no library.
 */
#ifndef SHARED_STORE_PROGRAM_H
#define SHARED_STORE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* Virtual addresses. They are fixed, because pointers are stored and operands are RIP-relative. */
#define STORE_WINDOW 0x200000000000ul
#define STORE_WINDOW_PAGES 64
#define STORE_WINDOW_SIZE (STORE_WINDOW_PAGES * 4096ul)
#define STORE_CODE 0x200000200000ul
#define STORE_CODE_SIZE 0x4000ul

/* Base of the segment (FS or GS) that the programs use. */
#define STORE_SEGMENT_BASE (STORE_WINDOW + 0x4321)

enum { STORES_IN_PROGRAM = 100 };

/* One store: the address of its instruction, and the range that it may write. */
struct store {
    uint32_t offset; /* from STORE_CODE */
    uint32_t bytes;
    uint64_t address;
    bool string; /* writes its elements one by one, and may fault in between */
};

struct store_program {
    /* Chosen by the caller. */
    uint8_t *code;          /* STORE_CODE_SIZE bytes, seen at STORE_CODE */
    uint8_t segment_prefix; /* 64h (FS) or 65h (GS) */
    bool crossing;          /* also read-modify-writes that cross into the next page */
    /* The result. */
    struct store stores[STORES_IN_PROGRAM];
};

/* Generate program number `index` of the seed in program->code. */
void store_program_generate(struct store_program *program, uint64_t seed, uint64_t index);

/* Registers before and after a run. store_program_run.S relies on the layout. */
struct store_registers {
    uint64_t gpr[16]; /* in the order of their numbers: RAX, RCX, RDX, RBX, RSP... */
    uint64_t rflags, padding;
    uint64_t xmm[16][2];
};
extern struct store_registers store_registers;

/* Execute the program at STORE_CODE with the registers in store_registers, and save them there. */
void store_program_run(void);

/* Set the initial state of a run, and hash its final state: registers, flags and the window. */
void store_registers_init(uint64_t seed);
void store_window_init(uint64_t seed);
uint64_t store_hash_run(uint64_t hash, const struct store_program *program);
uint64_t store_hash_window(uint64_t hash);

/* Pseudo-random numbers (xorshift64*). The state must not be 0. */
static inline uint64_t store_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1d;
}

#endif
