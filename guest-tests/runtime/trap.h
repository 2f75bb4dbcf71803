/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions as the CPU delivered them. Three ways to expect one:
 *  - guard a single instruction (GUARDED in insn.h): execution goes on after it;
 *  - set_trap_hook(): the hook repairs the cause or moves RIP, and the instruction restarts;
 *  - run_user(): any exception taken at CPL 3 ends the user-mode snippet.
 * Anything else fails the test case that was running.
 */
#ifndef RUNTIME_TRAP_H
#define RUNTIME_TRAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    VECTOR_DE = 0,
    VECTOR_BP = 3,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
};
#define NO_TRAP (~0ul)

#define PF_PRESENT (1ul << 0)
#define PF_WRITE (1ul << 1)
#define PF_USER (1ul << 2)
#define PF_FETCH (1ul << 4)
#define PF_RMP (1ul << 31)
/* A host write to an assigned page: 0x80000003, zero-extended. */
#define RMP_FAULT (PF_RMP | PF_WRITE | PF_PRESENT)

/* In the order in which vectors.S pushes. error_code is the whole 64-bit slot, not just 32 bits. */
struct trap {
    uint64_t cr2;
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

struct save_point {
    uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

/* Data of each CPU, at GS:0. Assembly relies on the offsets of the first members (layout.h). */
struct cpu {
    struct cpu *self;
    uint64_t guard_rip;
    uint64_t guard_resume;
    uint64_t trap_vector; /* NO_TRAP, or the vector that a guarded instruction raised */
    uint64_t user_return_rsp;
    struct trap trap; /* the last expected exception */
    bool (*hook)(struct trap *trap);
    unsigned index;
    uint32_t apic_id;
    uint32_t core; /* equal for SMT siblings */
    uint64_t stack_top;
    /* Mailbox of application processors. */
    void (*job)(void *argument);
    void *job_argument;
    int busy;
    int online;
};

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;
    __asm__("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

/* The operand of LGDT and LIDT. All CPUs use the runtime's GDT, in boot.S. */
struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};
extern uint64_t gdt[];
extern const struct table_pointer gdt_pointer;

/* Load GDT, TSS with its own exception stacks, IDT and GS on the calling CPU. */
void trap_init_cpu(struct cpu *cpu);

/*
 * Set a hook that is called for every exception of this CPU, before guards. If it returns true,
 * execution continues at trap->rip, which it may change. NULL removes the hook.
 */
void set_trap_hook(bool (*hook)(struct trap *trap));

/*
 * Set the stack of the interrupt stack table that a vector uses on all CPUs; 0 is the current
 * stack. The runtime gives IST_FAULT to all vectors except #DF. IST_TEST is free for tests.
 */
enum { IST_NONE = 0, IST_FAULT = 1, IST_DOUBLE_FAULT = 2, IST_TEST = 3 };
void set_gate_stack(unsigned vector, unsigned ist);

/* Tops of the calling CPU's IST_TEST stack and of its stack for entries from CPL 3. */
void set_test_stack(uint64_t top);
uint64_t set_kernel_stack(uint64_t top); /* returns the previous one */

int save_point(struct save_point *point) __attribute__((returns_twice));
_Noreturn void resume_point(struct save_point *point);

/* Set where an unexpected exception on the boot CPU continues. With NULL it ends the run. */
extern struct save_point *unexpected_trap_exit;

#endif
