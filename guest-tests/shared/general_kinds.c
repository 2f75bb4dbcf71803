// SPDX-License-Identifier: GPL-2.0-or-later
/* Stores by general-purpose instructions that read no memory other than what they write. */
#include "generator.h"

static unsigned any_size(struct generator *g)
{
    return (unsigned)pick(g, 4);
}

/* An operand size other than 8 bits. */
static unsigned word_size(struct generator *g)
{
    return 1 + (unsigned)pick(g, 3);
}

static unsigned any_register(struct generator *g)
{
    return (unsigned)pick(g, 16);
}

static struct instruction sized(struct generator *g, uint32_t opcode, unsigned size, unsigned reg)
{
    struct instruction in = {.opcode = opcode, .reg = reg, .force_rex = chance(g, 30)};
    set_size(&in, size);
    return in;
}

static void set_immediate(struct generator *g, struct instruction *in, unsigned bytes)
{
    in->immediate_bytes = bytes;
    in->immediate = store_random(&g->random);
}

static unsigned immediate_bytes(unsigned size)
{
    return size == 3 ? 4 : 1u << size;
}

static void plain(struct generator *g, const struct instruction *in, unsigned size)
{
    uint64_t target = any_target(g, 1u << size);
    struct operand operand = choose_operand(g, target, 0);
    emit_store(g, in, &operand, target, 1u << size);
}

/* Locked instructions stay in one cache line, because a split lock stops the host's other CPUs. */
static void modify(struct generator *g, struct instruction *in, unsigned size, bool lockable)
{
    uint64_t target;
    struct operand operand;

    in->lock = lockable && chance(g, 30);
    target = in->lock ? line_target(g, 1u << size) : rmw_target(g, 1u << size);
    operand = choose_operand(g, target, 0);
    emit_store(g, in, &operand, target, 1u << size);
}

static void mov(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0x88 | (size > 0), size, any_register(g));
    plain(g, &in, size);
}

static void mov_immediate(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0xc6 | (size > 0), size, 0);
    set_immediate(g, &in, immediate_bytes(size));
    plain(g, &in, size);
}

static void mov_to_offset(struct generator *g)
{
    unsigned size = any_size(g);
    uint64_t target = any_target(g, 1u << size);

    note_store(g, target, 1u << size, false);
    if (size == 1)
        encode8(&g->code, 0x66);
    if (size == 3)
        encode8(&g->code, 0x48);
    encode8(&g->code, 0xa2 | (size > 0));
    encode_number(&g->code, target, 8);
}

static void alu(struct generator *g)
{
    unsigned size = any_size(g), operation = (unsigned)pick(g, 7); /* all but CMP */
    struct instruction in = sized(g, operation << 3 | (size > 0), size, any_register(g));
    modify(g, &in, size, true);
    define_flags(g);
}

static void alu_immediate(struct generator *g)
{
    unsigned size = any_size(g), operation = (unsigned)pick(g, 7);
    bool short_form = size > 0 && chance(g, 50);
    struct instruction in = sized(g, short_form ? 0x83 : 0x80 | (size > 0), size, operation);
    set_immediate(g, &in, short_form ? 1 : immediate_bytes(size));
    modify(g, &in, size, true);
    if (operation == 1 || operation == 4 || operation == 6) /* OR, AND, XOR: AF */
        define_flags(g);
}

static void not_or_neg(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0xf6 | (size > 0), size, 2 + (unsigned)pick(g, 2));
    modify(g, &in, size, true);
}

static void inc_or_dec(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0xfe | (size > 0), size, (unsigned)pick(g, 2));
    modify(g, &in, size, true);
}

static void shift(struct generator *g)
{
    static const uint8_t opcodes[] = {0xc0, 0xd0, 0xd2}; /* by a constant, by 1, by CL */
    static const uint8_t operations[] = {0, 1, 2, 3, 4, 5, 7};
    unsigned size = any_size(g), form = (unsigned)pick(g, 3);
    struct instruction in = sized(g, opcodes[form] | (size > 0), size, operations[pick(g, 7)]);
    if (form == 0)
        set_immediate(g, &in, 1);
    modify(g, &in, size, false);
    define_flags(g);
}

/* With 16 bits, the result of counts above 16 is undefined. */
static void double_shift(struct generator *g)
{
    bool by_cl = chance(g, 50);
    unsigned size = by_cl ? 2 + (unsigned)pick(g, 2) : word_size(g);
    uint32_t opcode = (chance(g, 50) ? 0x0fa4 : 0x0fac) | by_cl;
    struct instruction in = sized(g, opcode, size, any_register(g));
    if (!by_cl) {
        in.immediate_bytes = 1;
        in.immediate = pick(g, 16);
    }
    modify(g, &in, size, false);
    define_flags(g);
}

static void bit_immediate(struct generator *g)
{
    unsigned size = word_size(g);
    struct instruction in = sized(g, 0x0fba, size, 5 + (unsigned)pick(g, 3));
    set_immediate(g, &in, 1);
    modify(g, &in, size, true);
    define_flags(g);
}

/* A bit number in a register may select a bit before or after the operand. */
static void bit_register(struct generator *g)
{
    static const uint32_t opcodes[] = {0x0fab, 0x0fb3, 0x0fbb};
    unsigned size = word_size(g), reg = any_register(g);
    struct instruction in = sized(g, opcodes[pick(g, 3)], size, reg);
    uint64_t bytes = 1u << size, steps = pick(g, 1024) - 512, target;
    struct operand operand;

    in.lock = chance(g, 30);
    target = in.lock ? line_target(g, bytes) : rmw_target(g, bytes);
    operand = choose_operand(g, target - steps * bytes, 1u << reg);
    encode_load(&g->code, reg, steps * bytes * 8 + pick(g, bytes * 8));
    emit_store(g, &in, &operand, target, bytes);
    define_flags(g);
}

static void xchg(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0x86 | (size > 0), size, any_register(g));
    uint64_t target = line_target(g, 1u << size);
    struct operand operand = choose_operand(g, target, 0);
    emit_store(g, &in, &operand, target, 1u << size);
}

static void xadd(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0x0fc0 | (size > 0), size, any_register(g));
    modify(g, &in, size, true);
}

/* mov operand, %reg, to make a comparison succeed */
static void load_from(struct generator *g, unsigned reg, const struct operand *operand,
                      unsigned size)
{
    struct instruction in = {.opcode = 0x8b, .reg = reg};
    set_size(&in, size);
    encode(&g->code, &in, operand);
}

static void cmpxchg(struct generator *g)
{
    unsigned size = any_size(g);
    struct instruction in = sized(g, 0x0fb0 | (size > 0), size, any_register(g));
    uint64_t target;
    struct operand operand;

    in.lock = chance(g, 50);
    target = in.lock ? line_target(g, 1u << size) : rmw_target(g, 1u << size);
    operand = choose_operand(g, target, 1u << RAX);
    if (chance(g, 70)) {
        struct operand byte_is_in_dword = operand;
        load_from(g, RAX, &byte_is_in_dword, size ? size : 2);
    }
    emit_store(g, &in, &operand, target, 1u << size);
}

static void cmpxchg_pair(struct generator *g)
{
    unsigned size = 2 + (unsigned)pick(g, 2);
    uint64_t bytes = 2u << size, target;
    struct instruction in = sized(g, 0x0fc7, size, 1);
    struct operand operand;

    in.lock = chance(g, 70);
    if (size == 3)
        target = aligned_target(g, bytes); /* or #GP */
    else
        target = in.lock ? line_target(g, bytes) : rmw_target(g, bytes);
    operand = choose_operand(g, target, 1u << RAX | 1u << RDX | 1u << RCX | 1u << RBX);
    if (chance(g, 70)) {
        struct operand high = operand_at(&operand, 1u << size);
        load_from(g, RAX, &operand, size);
        load_from(g, RDX, &high, size);
    }
    emit_store(g, &in, &operand, target, bytes);
}

static void setcc(struct generator *g)
{
    struct instruction in = sized(g, 0x0f90 | (uint32_t)pick(g, 16), 0, 0);
    plain(g, &in, 0);
}

static void movbe(struct generator *g)
{
    unsigned size = word_size(g);
    struct instruction in = sized(g, 0x0f38f1, size, any_register(g));
    plain(g, &in, size);
}

static void movnti(struct generator *g)
{
    unsigned size = 2 + (unsigned)pick(g, 2);
    struct instruction in = sized(g, 0x0fc3, size, any_register(g));
    plain(g, &in, size);
}

/* FS and GS hold null selectors both in a process and in the runtime. */
static void mov_selector(struct generator *g)
{
    struct instruction in = {.opcode = 0x8c, .reg = 4 + (unsigned)pick(g, 2)};
    plain(g, &in, 1);
}

store_kind *const general_kinds[] = {
    mov,           mov,           mov,        mov_immediate, mov_to_offset, alu,     alu,
    alu,           alu_immediate, not_or_neg, inc_or_dec,    shift,         shift,   double_shift,
    bit_immediate, bit_register,  xchg,       xadd,          cmpxchg,       cmpxchg, cmpxchg_pair,
    setcc,         movbe,         movnti,     mov_selector,
};
const unsigned general_kind_count = sizeof(general_kinds) / sizeof(general_kinds[0]);
