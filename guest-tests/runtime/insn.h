/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions under test. They are given by their bytes, because assemblers may not know them.
 * Each is guarded, so that an exception becomes part of the result. To add one, add a line at the
 * end.
 */
#ifndef RUNTIME_INSN_H
#define RUNTIME_INSN_H

#include "layout.h"
#include "trap.h"

#define TEXT_OF(token) #token
#define TEXT(token) TEXT_OF(token)

/*
 * The text of an asm statement that executes one guarded instruction. Afterwards
 * this_cpu()->trap_vector tells whether it raised an exception, and this_cpu()->trap holds that
 * exception. Flags and registers pass through unchanged. The text has three parts, so that code can
 * be put between them.
 */
#define GUARD_ARM                                                                                  \
    "movq $771f, %%gs:" TEXT(CPU_GUARD_RIP) "\n\t"                                                 \
                                            "movq $772f, %%gs:" TEXT(                              \
                                                CPU_GUARD_RESUME) "\n\t"                           \
                                                                  "movq $-1, %%gs:" TEXT(          \
                                                                      CPU_TRAP_VECTOR) "\n\t"
#define GUARD_POINT(instruction) "\n771:\t" instruction "\n772:\t"
#define GUARD_DISARM "movq $0, %%gs:" TEXT(CPU_GUARD_RIP) "\n\t"
#define GUARDED(instruction) GUARD_ARM GUARD_POINT(instruction) GUARD_DISARM

#define BYTES_RMPOPT ".byte 0xf2, 0x0f, 0x01, 0xfc"
#define BYTES_RMPREAD ".byte 0xf2, 0x0f, 0x01, 0xfd"
#define BYTES_RMPUPDATE ".byte 0xf2, 0x0f, 0x01, 0xfe"
#define BYTES_PSMASH ".byte 0xf3, 0x0f, 0x01, 0xff"

struct insn_result {
    uint64_t rax, rcx, rdx, rflags;
    uint64_t vector; /* NO_TRAP if the instruction completed */
    uint64_t error_code, cr2;
};

static inline struct insn_result with_trap(struct insn_result result)
{
    const struct cpu *cpu = this_cpu();
    result.vector = cpu->trap_vector;
    if (result.vector != NO_TRAP) {
        result.error_code = cpu->trap.error_code;
        result.cr2 = cpu->trap.cr2;
    }
    return result;
}

#define DEFINE_INSN(name, instruction)                                                             \
    static inline struct insn_result name(uint64_t rax, uint64_t rcx, uint64_t rdx)                \
    {                                                                                              \
        struct insn_result result = {0};                                                           \
        __asm__ volatile(GUARDED(instruction) "pushfq\n\tpopq %[flags]"                            \
                         : "+a"(rax), "+c"(rcx), "+d"(rdx), [flags] "=r"(result.rflags)            \
                         :                                                                         \
                         : "memory", "cc");                                                        \
        result.rax = rax;                                                                          \
        result.rcx = rcx;                                                                          \
        result.rdx = rdx;                                                                          \
        return with_trap(result);                                                                  \
    }

DEFINE_INSN(insn_rmpopt, BYTES_RMPOPT)
DEFINE_INSN(insn_rmpread, BYTES_RMPREAD)
DEFINE_INSN(insn_rmpupdate, BYTES_RMPUPDATE)
DEFINE_INSN(insn_psmash, BYTES_PSMASH)
DEFINE_INSN(insn_rdmsr, "rdmsr")
DEFINE_INSN(insn_wrmsr, "wrmsr")

/* RDMSR with a fault as part of the result. The value is in rax. */
static inline struct insn_result try_rdmsr(uint32_t msr)
{
    struct insn_result result = insn_rdmsr(0, msr, 0);
    if (result.vector == NO_TRAP)
        result.rax = result.rdx << 32 | (result.rax & 0xffffffff);
    return result;
}

static inline struct insn_result try_wrmsr(uint32_t msr, uint64_t value)
{
    return insn_wrmsr(value & 0xffffffff, msr, value >> 32);
}

#define EXPECT_NO_TRAP(result) EXPECT_EQ((result).vector, NO_TRAP)
#define EXPECT_UD(result) EXPECT_EQ((result).vector, VECTOR_UD)
#define EXPECT_GP0(result)                                                                         \
    do {                                                                                           \
        EXPECT_EQ((result).vector, VECTOR_GP);                                                     \
        EXPECT_EQ((result).error_code, 0);                                                         \
    } while (0)
#define EXPECT_PF(result, code, address)                                                           \
    do {                                                                                           \
        EXPECT_EQ((result).vector, VECTOR_PF);                                                     \
        EXPECT_EQ((result).error_code, code);                                                      \
        EXPECT_EQ((result).cr2, address);                                                          \
    } while (0)

#endif
