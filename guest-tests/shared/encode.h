/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodes single x86-64 instructions with a memory operand. Freestanding: uses no library. */
#ifndef SHARED_ENCODE_H
#define SHARED_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

/* A buffer for machine code. */
struct code {
    uint8_t *bytes;
    unsigned length;
    uint64_t address; /* where bytes[0] will be executed */
};

enum operand_form {
    OPERAND_BASE,       /* [base + displacement] */
    OPERAND_BASE_INDEX, /* [base + index << shift + displacement] */
    OPERAND_RIP,        /* [rip + x], encoded for `target` */
    OPERAND_ABSOLUTE,   /* [displacement] */
};

struct operand {
    enum operand_form form;
    unsigned base, index, shift;
    int32_t displacement;
    uint64_t target; /* the address that results */
    uint8_t segment; /* prefix byte, 0 for none */
};

struct instruction {
    bool lock, operand_16, wide; /* F0, 66, REX.W */
    bool force_rex;              /* SPL, BPL, SIL, DIL instead of AH, CH, DH, BH */
    uint8_t repeat;              /* F2, F3 or 0 */
    uint32_t opcode;             /* up to three bytes, the first one highest: 0x0f11 */
    unsigned reg;                /* ModRM.reg with REX.R */
    unsigned immediate_bytes;
    uint64_t immediate;
};

void encode8(struct code *code, uint8_t byte);
/* Appends the lowest `bytes` bytes of the value in little-endian order. */
void encode_number(struct code *code, uint64_t value, unsigned bytes);
/* mov $value, %reg with 64 bits */
void encode_load(struct code *code, unsigned reg, uint64_t value);
void encode(struct code *code, const struct instruction *instruction,
            const struct operand *operand);

#endif
