// SPDX-License-Identifier: GPL-2.0-or-later
/* Stores by stack, string, SSE and x87 instructions. */
#include "generator.h"

enum { STD = 0xfd, CLD = 0xfc };

/* Pushes `bytes` bytes at a random address, to which RSP is set first. */
static void prepare_push(struct generator *g, uint64_t bytes)
{
    uint64_t target = any_target(g, bytes);
    encode_load(&g->code, RSP, target + bytes);
    note_store(g, target, bytes, false);
}

static void push_register(struct generator *g)
{
    bool small = chance(g, 20);
    unsigned reg = (unsigned)pick(g, 16);

    prepare_push(g, small ? 2 : 8);
    if (small)
        encode8(&g->code, 0x66);
    if (reg >= 8)
        encode8(&g->code, 0x41);
    encode8(&g->code, (uint8_t)(0x50 | (reg & 7)));
}

static void push_immediate(struct generator *g)
{
    bool byte = chance(g, 50);
    prepare_push(g, 8);
    encode8(&g->code, byte ? 0x6a : 0x68);
    encode_number(&g->code, store_random(&g->random), byte ? 1 : 4);
}

static void push_flags(struct generator *g)
{
    prepare_push(g, 8);
    encode8(&g->code, 0x9c);
}

/* To the next instruction. */
static void call(struct generator *g)
{
    prepare_push(g, 8);
    encode8(&g->code, 0xe8);
    encode_number(&g->code, 0, 4);
}

static void enter(struct generator *g)
{
    prepare_push(g, 8);
    encode8(&g->code, 0xc8);
    encode_number(&g->code, 0, 3);
}

static void push_memory(struct generator *g)
{
    struct instruction in = {.opcode = 0xff, .reg = 6};
    uint64_t target = rmw_target(g, 8);
    struct operand source = choose_operand(g, any_target(g, 8), 1u << RSP);

    encode_load(&g->code, RSP, target + 8);
    emit_store(g, &in, &source, target, 8);
}

static void pop_memory(struct generator *g)
{
    unsigned bytes = chance(g, 20) ? 2 : 8;
    struct instruction in = {.opcode = 0x8f, .operand_16 = bytes == 2};
    uint64_t target = rmw_target(g, bytes);
    struct operand operand = choose_operand(g, target, 1u << RSP);

    encode_load(&g->code, RSP, any_target(g, 8));
    emit_store(g, &in, &operand, target, bytes);
}

struct string {
    unsigned size; /* log2 of an element's bytes */
    uint64_t count;
    bool repeat, backwards;
};

static struct string choose_string(struct generator *g)
{
    struct string s = {.size = (unsigned)pick(g, 4), .repeat = chance(g, 80)};
    s.backwards = chance(g, 30);
    s.count = !s.repeat ? 1 : chance(g, 10) ? pick(g, 600) : 1 + pick(g, 40);
    return s;
}

/* The address of the string's lowest byte. Elements may cross pages if a restart allows it. */
static uint64_t string_start(struct generator *g, const struct string *s, bool crossing)
{
    uint64_t bytes = s->count << s->size;
    uint64_t start = STORE_WINDOW + pick(g, STORE_WINDOW_SIZE - bytes + 1);
    return crossing && chance(g, 50) ? start : start & ~((1ul << s->size) - 1);
}

static uint64_t first_element(const struct string *s, uint64_t start)
{
    return s->backwards && s->count ? start + ((s->count - 1) << s->size) : start;
}

static void emit_string(struct generator *g, const struct string *s, uint64_t start, uint8_t opcode)
{
    encode_load(&g->code, RDI, first_element(s, start));
    if (s->repeat)
        encode_load(&g->code, RCX, s->count);
    if (s->backwards)
        encode8(&g->code, STD);
    note_store(g, start, s->count << s->size, true);
    if (s->size == 1)
        encode8(&g->code, 0x66);
    if (s->repeat)
        encode8(&g->code, 0xf3);
    if (s->size == 3)
        encode8(&g->code, 0x48);
    encode8(&g->code, opcode | (s->size > 0));
    encode8(&g->code, CLD);
}

static void stos(struct generator *g)
{
    struct string s = choose_string(g);
    emit_string(g, &s, string_start(g, &s, true), 0xaa);
}

static void movs(struct generator *g)
{
    struct string s = choose_string(g);
    uint64_t source = string_start(g, &s, true);
    encode_load(&g->code, RSI, first_element(&s, source));
    emit_string(g, &s, string_start(g, &s, g->program->crossing), 0xa4);
}

struct vector_store {
    uint32_t opcode;
    uint8_t bytes, immediate;
    bool operand_16, wide, aligned;
    uint8_t repeat;
};

static const struct vector_store vector_stores[] = {
    {.opcode = 0x0f11, .bytes = 16},                                      /* movups */
    {.opcode = 0x0f11, .bytes = 16, .operand_16 = true},                  /* movupd */
    {.opcode = 0x0f7f, .bytes = 16, .repeat = 0xf3},                      /* movdqu */
    {.opcode = 0x0f29, .bytes = 16, .aligned = true},                     /* movaps */
    {.opcode = 0x0f7f, .bytes = 16, .aligned = true, .operand_16 = true}, /* movdqa */
    {.opcode = 0x0f2b, .bytes = 16, .aligned = true},                     /* movntps */
    {.opcode = 0x0fe7, .bytes = 16, .aligned = true, .operand_16 = true}, /* movntdq */
    {.opcode = 0x0fd6, .bytes = 8, .operand_16 = true},                   /* movq */
    {.opcode = 0x0f7e, .bytes = 4, .operand_16 = true},                   /* movd */
    {.opcode = 0x0f7e, .bytes = 8, .operand_16 = true, .wide = true},     /* movq */
    {.opcode = 0x0f11, .bytes = 4, .repeat = 0xf3},                       /* movss */
    {.opcode = 0x0f11, .bytes = 8, .repeat = 0xf2},                       /* movsd */
    {.opcode = 0x0f13, .bytes = 8},                                       /* movlps */
    {.opcode = 0x0f17, .bytes = 8},                                       /* movhps */
    {.opcode = 0x0f3a14, .bytes = 1, .operand_16 = true, .immediate = 1}, /* pextrb */
    {.opcode = 0x0f3a15, .bytes = 2, .operand_16 = true, .immediate = 1}, /* pextrw */
    {.opcode = 0x0f3a16, .bytes = 4, .operand_16 = true, .immediate = 1}, /* pextrd */
    {.opcode = 0x0f3a17, .bytes = 4, .operand_16 = true, .immediate = 1}, /* extractps */
};

static void vector(struct generator *g)
{
    const struct vector_store *v =
        &vector_stores[pick(g, sizeof(vector_stores) / sizeof(vector_stores[0]))];
    struct instruction in = {.opcode = v->opcode,
                             .operand_16 = v->operand_16,
                             .wide = v->wide,
                             .repeat = v->repeat,
                             .reg = (unsigned)pick(g, 16),
                             .immediate_bytes = v->immediate,
                             .immediate = pick(g, 256)};
    uint64_t target = v->aligned ? aligned_target(g, v->bytes) : any_target(g, v->bytes);
    struct operand operand = choose_operand(g, target, 0);
    emit_store(g, &in, &operand, target, v->bytes);
}

struct x87_store {
    uint8_t opcode, reg, bytes;
    bool pops;
};

static const struct x87_store x87_stores[] = {
    {0xd9, 2, 4, false}, {0xd9, 3, 4, true},  {0xdd, 2, 8, false},
    {0xdd, 3, 8, true},  {0xdb, 7, 10, true}, /* fst, fstp */
    {0xdf, 2, 2, false}, {0xdf, 3, 2, true},  {0xdb, 2, 4, false},
    {0xdb, 3, 4, true},  {0xdf, 7, 8, true},                      /* fist, fistp */
    {0xdf, 1, 2, true},  {0xdb, 1, 4, true},  {0xdd, 1, 8, true}, /* fisttp */
    {0xdf, 6, 10, true},                                          /* fbstp */
};

/* Stores a constant of the x87 unit, whose stack is empty before and after. */
static void x87(struct generator *g)
{
    const struct x87_store *x = &x87_stores[pick(g, sizeof(x87_stores) / sizeof(x87_stores[0]))];
    struct instruction in = {.opcode = x->opcode, .reg = x->reg};
    uint64_t target = any_target(g, x->bytes);
    struct operand operand = choose_operand(g, target, 0);

    encode8(&g->code, 0xd9); /* fld1, fldl2t, fldl2e, fldpi, fldlg2, fldln2, fldz */
    encode8(&g->code, (uint8_t)(0xe8 + pick(g, 7)));
    emit_store(g, &in, &operand, target, x->bytes);
    if (!x->pops) {
        encode8(&g->code, 0xdd); /* fstp %st(0) */
        encode8(&g->code, 0xd8);
    }
}

static void control_word(struct generator *g)
{
    bool sse = chance(g, 50);
    struct instruction in = {.opcode = sse ? 0x0fae : 0xd9, .reg = sse ? 3 : 7};
    unsigned bytes = sse ? 4 : 2; /* stmxcsr, fnstcw */
    uint64_t target = any_target(g, bytes);
    struct operand operand = choose_operand(g, target, 0);
    emit_store(g, &in, &operand, target, bytes);
}

store_kind *const other_kinds[] = {
    push_register, push_register, push_immediate, push_flags, call, enter,
    push_memory,   pop_memory,    stos,           stos,       movs, movs,
    vector,        vector,        vector,         vector,     x87,  x87,
    control_word,
};
const unsigned other_kind_count = sizeof(other_kinds) / sizeof(other_kinds[0]);
