// SPDX-License-Identifier: GPL-2.0-or-later
#include "trap.h"

#include <stddef.h>

#include "apic.h"
#include "console.h"
#include "layout.h"
#include "x86.h"

enum {
    EXCEPTION_STACK_SIZE = 8192,
    GATE_INTERRUPT = 0x8e00,
    GATE_USER = 0x6000,
    GATE_IST_MASK = 7,
    TSS_AVAILABLE = 0x89,
};

struct gate {
    uint16_t offset_low, selector, attributes, offset_mid;
    uint32_t offset_high, reserved;
};

struct __attribute__((packed)) tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
};

_Static_assert(offsetof(struct cpu, guard_rip) == CPU_GUARD_RIP, "layout.h");
_Static_assert(offsetof(struct cpu, guard_resume) == CPU_GUARD_RESUME, "layout.h");
_Static_assert(offsetof(struct cpu, trap_vector) == CPU_TRAP_VECTOR, "layout.h");
_Static_assert(offsetof(struct cpu, user_return_rsp) == CPU_USER_RETURN_RSP, "layout.h");

extern const char exception_stubs[], leave_user[];
void trap_dispatch(struct trap *trap);

struct save_point *unexpected_trap_exit;
static struct gate idt[256];
static struct tss tss[MAX_CPUS];
static uint8_t exception_stacks[MAX_CPUS][2][EXCEPTION_STACK_SIZE] __attribute__((aligned(4096)));

static void fill_idt(void)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t stub = (uint64_t)exception_stubs + vector * 16;
        unsigned ist = vector == VECTOR_DF ? IST_DOUBLE_FAULT : IST_FAULT;
        unsigned user = vector == VECTOR_BP ? GATE_USER : 0;
        idt[vector] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = SELECTOR_CODE64,
            .attributes = (uint16_t)(GATE_INTERRUPT | user | ist),
            .offset_mid = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
}

static void load_tss(const struct cpu *cpu)
{
    struct tss *t = &tss[cpu->index];
    uint64_t base = (uint64_t)t;
    uint16_t selector = (uint16_t)SELECTOR_TSS(cpu->index);

    t->rsp[0] = cpu->stack_top;
    t->ist[IST_FAULT - 1] = (uint64_t)exception_stacks[cpu->index][1];
    t->ist[IST_DOUBLE_FAULT - 1] = (uint64_t)exception_stacks[cpu->index][1] + EXCEPTION_STACK_SIZE;
    t->io_map = sizeof(*t);
    gdt[selector / 8] = (sizeof(*t) - 1) | (base & 0xffffff) << 16 | (uint64_t)TSS_AVAILABLE << 40 |
                        (base >> 24 & 0xff) << 56;
    gdt[selector / 8 + 1] = base >> 32;
    __asm__ volatile("ltr %0" : : "r"(selector));
}

void trap_init_cpu(struct cpu *cpu)
{
    struct table_pointer idt_pointer = {sizeof(idt) - 1, (uint64_t)idt};

    cpu->self = cpu;
    cpu->trap_vector = NO_TRAP;
    if (cpu->index == 0)
        fill_idt();
    __asm__ volatile("lgdt %0" : : "m"(gdt_pointer));
    __asm__ volatile("lidt %0" : : "m"(idt_pointer));
    load_tss(cpu);
    wrmsr(MSR_GS_BASE, (uint64_t)cpu);
}

void set_gate_stack(unsigned vector, unsigned ist)
{
    idt[vector].attributes = (uint16_t)((idt[vector].attributes & ~GATE_IST_MASK) | ist);
}

void set_test_stack(uint64_t top)
{
    tss[this_cpu()->index].ist[IST_TEST - 1] = top;
}

uint64_t set_kernel_stack(uint64_t top)
{
    struct tss *t = &tss[this_cpu()->index];
    uint64_t before = t->rsp[0];
    t->rsp[0] = top;
    return before;
}

void set_trap_hook(bool (*hook)(struct trap *trap))
{
    this_cpu()->hook = hook;
}

static void return_from_user(struct cpu *cpu, struct trap *trap)
{
    cpu->trap = *trap;
    trap->rip = (uint64_t)leave_user;
    trap->cs = SELECTOR_CODE64;
    trap->ss = SELECTOR_DATA;
    trap->rsp = cpu->user_return_rsp;
    trap->rflags = 2;
}

static void finish_guarded(struct cpu *cpu, struct trap *trap)
{
    cpu->trap = *trap;
    cpu->trap_vector = trap->vector;
    trap->rip = cpu->guard_resume;
    trap->cs = SELECTOR_CODE64;
    cpu->guard_rip = 0;
}

static void report_unexpected(const struct cpu *cpu, const struct trap *trap)
{
    print("# unexpected exception %lu on CPU %u: error code %#lx, RIP %#lx, CR2 %#lx,"
          " RSP %#lx, RFLAGS %#lx\n",
          trap->vector, cpu->index, trap->error_code, trap->rip, trap->cr2, trap->rsp,
          trap->rflags);
    print("# RAX %#lx RCX %#lx RDX %#lx RBX %#lx RSI %#lx RDI %#lx\n", trap->rax, trap->rcx,
          trap->rdx, trap->rbx, trap->rsi, trap->rdi);
}

static void abandon_case(struct cpu *cpu, struct trap *trap)
{
    struct save_point *exit = unexpected_trap_exit;

    report_unexpected(cpu, trap);
    if (cpu->index != 0 || !exit || trap->vector == VECTOR_DF)
        exit_run(false);
    cpu->guard_rip = 0;
    trap->rdi = (uint64_t)exit;
    trap->rip = (uint64_t)resume_point;
    trap->cs = SELECTOR_CODE64;
    trap->ss = SELECTOR_DATA;
    trap->rsp = exit->rsp;
    trap->rflags = 2;
}

void trap_dispatch(struct trap *trap)
{
    struct cpu *cpu = this_cpu();

    if (trap->vector == VECTOR_WAKE) {
        acknowledge_interrupt();
    } else if (trap->vector == VECTOR_SPURIOUS) {
        return;
    } else if (cpu->hook && cpu->hook(trap)) {
        return;
    } else if (cpu->guard_rip && trap->rip == cpu->guard_rip) {
        finish_guarded(cpu, trap);
    } else if ((trap->cs & 3) == 3) {
        return_from_user(cpu, trap);
    } else {
        abandon_case(cpu, trap);
    }
}
