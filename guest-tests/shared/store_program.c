// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_program.h"

#include "generator.h"

enum {
    PAGE = 4096,
    LINE = 64,
    FLAGS_ARITHMETIC_AND_DF = 0xcd5,
    FLAGS_ARITHMETIC_ONLY = 0x8d5,
    FLAGS_IF = 0x202, /* as in a process, for PUSHF */
};

extern const uint8_t store_program_exit[];
struct store_registers store_registers;

uint64_t pick(struct generator *g, uint64_t n)
{
    return (store_random(&g->random) >> 20) % n;
}

bool chance(struct generator *g, unsigned percent)
{
    return pick(g, 100) < percent;
}

static uint64_t inner_target(struct generator *g, uint64_t bytes)
{
    uint64_t page = STORE_WINDOW + pick(g, STORE_WINDOW_PAGES) * PAGE;
    if (chance(g, 50))
        return page + pick(g, PAGE / bytes) * bytes;
    return page + pick(g, PAGE - bytes + 1);
}

uint64_t any_target(struct generator *g, uint64_t bytes)
{
    if (bytes == 1 || chance(g, 80))
        return inner_target(g, bytes);
    return STORE_WINDOW + (1 + pick(g, STORE_WINDOW_PAGES - 1)) * PAGE - 1 - pick(g, bytes - 1);
}

uint64_t line_target(struct generator *g, uint64_t bytes)
{
    return STORE_WINDOW + pick(g, STORE_WINDOW_SIZE / LINE) * LINE + pick(g, LINE - bytes + 1);
}

uint64_t aligned_target(struct generator *g, uint64_t bytes)
{
    return STORE_WINDOW + pick(g, STORE_WINDOW_SIZE / bytes) * bytes;
}

uint64_t rmw_target(struct generator *g, uint64_t bytes)
{
    return g->program->crossing ? any_target(g, bytes) : inner_target(g, bytes);
}

static unsigned choose_register(struct generator *g, unsigned avoid)
{
    unsigned reg;
    do
        reg = (unsigned)pick(g, 16);
    while (avoid >> reg & 1);
    return reg;
}

static int32_t choose_displacement(struct generator *g)
{
    switch (pick(g, 3)) {
    case 0:
        return 0;
    case 1:
        return (int8_t)pick(g, 256);
    default:
        return (int32_t)pick(g, 1 << 28) - (1 << 27);
    }
}

static void choose_index(struct generator *g, struct operand *operand, unsigned avoid)
{
    operand->index = choose_register(g, avoid | 1u << RSP | 1u << operand->base);
    operand->shift = (unsigned)pick(g, 4);
}

/* Loads the registers so that their sum with the displacement is `sum`. */
static void load_base(struct generator *g, const struct operand *operand, uint64_t sum)
{
    uint64_t rest = sum - (uint64_t)(int64_t)operand->displacement;
    if (operand->form == OPERAND_BASE_INDEX) {
        uint64_t index = pick(g, 1 << 20) - (1 << 19);
        encode_load(&g->code, operand->index, index);
        rest -= index << operand->shift;
    }
    encode_load(&g->code, operand->base, rest);
}

static uint8_t choose_prefix(struct generator *g)
{
    static const uint8_t without_effect[] = {0x26, 0x2e, 0x36, 0x3e};
    if (chance(g, 20))
        return g->program->segment_prefix;
    return chance(g, 5) ? without_effect[pick(g, 4)] : 0;
}

struct operand choose_operand(struct generator *g, uint64_t target, unsigned avoid)
{
    struct operand operand = {.target = target, .segment = choose_prefix(g)};
    bool segment = operand.segment == g->program->segment_prefix;
    uint64_t sum = segment ? target - STORE_SEGMENT_BASE : target;
    uint64_t form = pick(g, 10);

    if (segment && form == 0) {
        operand.form = OPERAND_ABSOLUTE;
        operand.displacement = (int32_t)sum;
        return operand;
    }
    if (!operand.segment && form <= 1) {
        operand.form = OPERAND_RIP;
        return operand;
    }
    operand.form = form < 6 ? OPERAND_BASE : OPERAND_BASE_INDEX;
    operand.base = choose_register(g, avoid);
    operand.displacement = choose_displacement(g);
    if (operand.form == OPERAND_BASE_INDEX)
        choose_index(g, &operand, avoid);
    load_base(g, &operand, sum);
    return operand;
}

struct operand operand_at(const struct operand *operand, unsigned offset)
{
    struct operand moved = *operand;
    moved.target += offset;
    moved.displacement += (int32_t)offset;
    return moved;
}

void set_size(struct instruction *instruction, unsigned size)
{
    instruction->operand_16 = size == 1;
    instruction->wide = size == 3;
}

void note_store(struct generator *g, uint64_t address, uint64_t bytes, bool string)
{
    g->program->stores[g->stores++] = (struct store){
        .offset = g->code.length, .bytes = (uint32_t)bytes, .address = address, .string = string};
}

void emit_store(struct generator *g, const struct instruction *instruction,
                const struct operand *operand, uint64_t address, uint64_t bytes)
{
    note_store(g, address, bytes, false);
    encode(&g->code, instruction, operand);
}

void define_flags(struct generator *g)
{
    unsigned reg = (unsigned)pick(g, 16);
    encode8(&g->code, (uint8_t)(0x48 | reg >> 3));
    encode8(&g->code, 0x81);
    encode8(&g->code, (uint8_t)(0xf8 | (reg & 7)));
    encode_number(&g->code, store_random(&g->random), 4);
}

static void leave(struct generator *g)
{
    encode8(&g->code, 0xff); /* jmp *0(%rip) */
    encode8(&g->code, 0x25);
    encode_number(&g->code, 0, 4);
    encode_number(&g->code, (uint64_t)store_program_exit, 8);
}

void store_program_generate(struct store_program *program, uint64_t seed, uint64_t index)
{
    struct generator g = {
        .program = program,
        .code = {.bytes = program->code, .address = STORE_CODE},
        .random = (seed + index + 1) * 0x9e3779b97f4a7c15,
    };

    store_random(&g.random);
    while (g.stores < STORES_IN_PROGRAM) {
        uint64_t kind = pick(&g, general_kind_count + other_kind_count);
        if (kind < general_kind_count)
            general_kinds[kind](&g);
        else
            other_kinds[kind - general_kind_count](&g);
    }
    leave(&g);
}

void store_registers_init(uint64_t seed)
{
    uint64_t random = seed * 2 + 1;
    for (unsigned i = 0; i < 16; i++) {
        store_registers.gpr[i] = store_random(&random);
        store_registers.xmm[i][0] = store_random(&random);
        store_registers.xmm[i][1] = store_random(&random);
    }
    store_registers.rflags = FLAGS_IF;
}

void store_window_init(uint64_t seed)
{
    uint64_t random = seed * 2 + 1, *word = (uint64_t *)STORE_WINDOW;
    for (uint64_t i = 0; i < STORE_WINDOW_SIZE / 8; i++)
        word[i] = store_random(&random);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 29;
}

static uint64_t hash_words(uint64_t hash, uint64_t first, uint64_t end)
{
    for (uint64_t address = first & ~7ul; address < end; address += 8)
        hash = mix(hash, *(const uint64_t *)address);
    return hash;
}

uint64_t store_hash_run(uint64_t hash, const struct store_program *program)
{
    for (unsigned i = 0; i < 16; i++) {
        hash = mix(hash, store_registers.gpr[i]);
        hash = mix(hash, store_registers.xmm[i][0]);
        hash = mix(hash, store_registers.xmm[i][1]);
    }
    hash = mix(hash, store_registers.rflags & FLAGS_ARITHMETIC_AND_DF);
    store_registers.rflags = (store_registers.rflags & FLAGS_ARITHMETIC_ONLY) | FLAGS_IF;
    for (unsigned i = 0; i < STORES_IN_PROGRAM; i++) {
        const struct store *store = &program->stores[i];
        hash = hash_words(hash, store->address, store->address + store->bytes);
    }
    return hash;
}

uint64_t store_hash_window(uint64_t hash)
{
    return hash_words(hash, STORE_WINDOW, STORE_WINDOW + STORE_WINDOW_SIZE);
}
