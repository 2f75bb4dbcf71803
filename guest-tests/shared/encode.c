// SPDX-License-Identifier: GPL-2.0-or-later
#include "encode.h"

enum {
    RSP = 4,
    RBP = 5,
    MODRM_SIB = 4, /* rm: a SIB byte follows */
    MODRM_RIP = 5, /* rm with mod 0: RIP-relative */
    SIB_NONE = 4,  /* index: none */
    SIB_NO_BASE = 5,
};

void encode8(struct code *code, uint8_t byte)
{
    code->bytes[code->length++] = byte;
}

void encode_number(struct code *code, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        encode8(code, (uint8_t)(value >> 8 * i));
}

void encode_load(struct code *code, unsigned reg, uint64_t value)
{
    encode8(code, (uint8_t)(0x48 | reg >> 3));
    encode8(code, (uint8_t)(0xb8 | (reg & 7)));
    encode_number(code, value, 8);
}

static void encode_prefixes(struct code *code, const struct instruction *in,
                            const struct operand *operand)
{
    uint8_t rex = (uint8_t)(in->wide << 3 | (in->reg >> 3) << 2);

    if (operand->form == OPERAND_BASE_INDEX)
        rex |= (uint8_t)((operand->index >> 3) << 1);
    if (operand->form == OPERAND_BASE || operand->form == OPERAND_BASE_INDEX)
        rex |= (uint8_t)(operand->base >> 3);
    if (in->lock)
        encode8(code, 0xf0);
    if (operand->segment)
        encode8(code, operand->segment);
    if (in->operand_16)
        encode8(code, 0x66);
    if (in->repeat)
        encode8(code, in->repeat);
    if (rex || in->force_rex)
        encode8(code, 0x40 | rex);
}

static void encode_opcode(struct code *code, uint32_t opcode)
{
    if (opcode > 0xffff)
        encode8(code, (uint8_t)(opcode >> 16));
    if (opcode > 0xff)
        encode8(code, (uint8_t)(opcode >> 8));
    encode8(code, (uint8_t)opcode);
}

static void encode_modrm(struct code *code, unsigned mod, unsigned reg, unsigned rm)
{
    encode8(code, (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7)));
}

static void encode_rip_relative(struct code *code, const struct instruction *in,
                                const struct operand *operand)
{
    uint64_t next;
    encode_modrm(code, 0, in->reg, MODRM_RIP);
    next = code->address + code->length + 4 + in->immediate_bytes;
    encode_number(code, operand->target - next, 4);
}

static void encode_absolute(struct code *code, const struct instruction *in,
                            const struct operand *operand)
{
    encode_modrm(code, 0, in->reg, MODRM_SIB);
    encode_modrm(code, 0, SIB_NONE, SIB_NO_BASE);
    encode_number(code, (uint64_t)(int64_t)operand->displacement, 4);
}

/* With RBP and R13, mod 0 does not mean "no displacement", so they always have one. */
static unsigned displacement_mode(const struct operand *operand)
{
    if (operand->displacement == 0 && (operand->base & 7) != RBP)
        return 0;
    return operand->displacement == (int8_t)operand->displacement ? 1 : 2;
}

static void encode_based(struct code *code, const struct instruction *in,
                         const struct operand *operand)
{
    static const unsigned displacement_bytes[] = {0, 1, 4};
    unsigned mode = displacement_mode(operand);

    if (operand->form == OPERAND_BASE_INDEX) {
        encode_modrm(code, mode, in->reg, MODRM_SIB);
        encode_modrm(code, operand->shift, operand->index, operand->base);
    } else if ((operand->base & 7) == RSP) {
        encode_modrm(code, mode, in->reg, MODRM_SIB);
        encode_modrm(code, 0, SIB_NONE, operand->base);
    } else {
        encode_modrm(code, mode, in->reg, operand->base);
    }
    encode_number(code, (uint64_t)(int64_t)operand->displacement, displacement_bytes[mode]);
}

void encode(struct code *code, const struct instruction *in, const struct operand *operand)
{
    encode_prefixes(code, in, operand);
    encode_opcode(code, in->opcode);
    if (operand->form == OPERAND_RIP)
        encode_rip_relative(code, in, operand);
    else if (operand->form == OPERAND_ABSOLUTE)
        encode_absolute(code, in, operand);
    else
        encode_based(code, in, operand);
    encode_number(code, in->immediate, in->immediate_bytes);
}
