/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by all kinds of stores: random choices, addresses, operands, emission of code. */
#ifndef SHARED_GENERATOR_H
#define SHARED_GENERATOR_H

#include "encode.h"
#include "store_program.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

struct generator {
    struct store_program *program;
    struct code code;
    uint64_t random;
    unsigned stores;
};

/* A random number from 0 to n - 1. */
uint64_t pick(struct generator *g, uint64_t n);
bool chance(struct generator *g, unsigned percent);

/* Random addresses of `bytes` bytes in the window: */
uint64_t any_target(struct generator *g, uint64_t bytes);  /* may cross into the next page */
uint64_t line_target(struct generator *g, uint64_t bytes); /* in one cache line of 64 bytes */
uint64_t aligned_target(struct generator *g, uint64_t bytes);
/* A target for an instruction that also reads what it writes. */
uint64_t rmw_target(struct generator *g, uint64_t bytes);

/* A random operand that addresses target. Loads its registers, but uses none of the set `avoid`. */
struct operand choose_operand(struct generator *g, uint64_t target, unsigned avoid);
struct operand operand_at(const struct operand *operand, unsigned offset);

/* Set the prefixes for an operand size, from 0 (8 bits) to 3 (64 bits). */
void set_size(struct instruction *instruction, unsigned size);

/* Emit one store that writes `bytes` bytes at `address`. */
void note_store(struct generator *g, uint64_t address, uint64_t bytes, bool string);
void emit_store(struct generator *g, const struct instruction *instruction,
                const struct operand *operand, uint64_t address, uint64_t bytes);

/* Emit a comparison of a register with a constant, to define flags that an instruction left
 * undefined. */
void define_flags(struct generator *g);

typedef void store_kind(struct generator *g);
extern store_kind *const general_kinds[];
extern const unsigned general_kind_count;
extern store_kind *const other_kinds[];
extern const unsigned other_kind_count;

#endif
