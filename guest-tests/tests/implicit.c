// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Implicit writes to an assigned page: exception frames, accessed bits of segment descriptors, busy
 * bits of TSS descriptors. Those of page walks are in page_walk.c.
 */
#include "assigned_page.h"
#include "layout.h"
#include "runtime.h"

enum { TEST_VECTOR = 0x41 };

/* What the hook is to do, and what it saw. */
static struct {
    bool give_back;  /* give the page back at the first fault, and restart */
    uint64_t vector; /* the exception whose frame is under test */
    unsigned faults, deliveries;
    uint64_t stack;    /* RSP to continue with, because #DF need not save it */
    struct trap fault; /* the first #PF or #DF */
    uint64_t frame;    /* address of the runtime's copy of the frame of 'vector' */
} seen;

static bool skip_instruction(struct trap *trap)
{
    struct cpu *cpu = this_cpu();
    trap->rip = cpu->guard_resume;
    cpu->guard_rip = 0;
    return true;
}

/* RMPUPDATE's own guard must not replace the guard of the instruction under test. */
static void give_back(void)
{
    struct cpu *cpu = this_cpu();
    uint64_t rip = cpu->guard_rip, resume = cpu->guard_resume;
    unassign();
    cpu->guard_rip = rip;
    cpu->guard_resume = resume;
}

static bool on_rmp_fault(struct trap *trap)
{
    if (seen.faults++ == 0)
        seen.fault = *trap;
    if (trap->vector == VECTOR_DF)
        trap->rsp = seen.stack;
    if (!seen.give_back || seen.faults > 1)
        return skip_instruction(trap);
    give_back();
    return true;
}

static bool watch(struct trap *trap)
{
    if (trap->vector == VECTOR_DF || (trap->vector == VECTOR_PF && trap->error_code & PF_RMP))
        return on_rmp_fault(trap);
    if (trap->vector != seen.vector)
        return false;
    seen.deliveries++;
    seen.frame = (uint64_t)trap;
    if (trap->vector == TEST_VECTOR) {
        acknowledge_interrupt();
        return true;
    }
    return skip_instruction(trap);
}

static void start_watching(uint64_t vector, bool give_back)
{
    memset(&seen, 0, sizeof(seen));
    seen.vector = vector;
    seen.give_back = give_back;
    set_trap_hook(watch);
}

/* Exception frames. */

#define DEFINE_RAISE(name, setup, instruction)                                                     \
    static void name(uint8_t *stack)                                                               \
    {                                                                                              \
        __asm__ volatile(setup "\n\tmovq %%rsp, %%r8; movq %%rdi, %%rsp\n\t" GUARDED(              \
                             instruction) "movq %%r8, %%rsp"                                       \
                         : "+D"(stack)                                                             \
                         :                                                                         \
                         : "rax", "rcx", "rdx", "r8", "r9", "memory", "cc");                       \
    }
DEFINE_RAISE(ud2, "", "ud2")
DEFINE_RAISE(int3, "", "int3")
DEFINE_RAISE(int_n, "", "int $0x40")
DEFINE_RAISE(divide, "xorl %%r9d, %%r9d", "divl %%r9d")
DEFINE_RAISE(general_protection, "movabsq $0x1234567890abcdef, %%r9", "movq (%%r9), %%rax")
DEFINE_RAISE(page_fault, "movabsq $0x700000000000, %%r9", "movq (%%r9), %%rax")

struct delivery {
    void (*raise)(uint8_t *stack);
    unsigned vector, ist;
    int stack; /* RSP, from the end of the owned page */
};

static void raise(const struct delivery *delivery, bool give_back)
{
    set_test_stack((uint64_t)owned + PAGE_4K);
    set_gate_stack(delivery->vector, delivery->ist);
    start_watching(delivery->vector, give_back);
    seen.stack = (uint64_t)(owned + PAGE_4K + delivery->stack);
    delivery->raise(owned + PAGE_4K + delivery->stack);
    set_trap_hook(NULL);
    set_gate_stack(delivery->vector, IST_FAULT);
}

static void frame_faults_and_restarts(const void *argument)
{
    const struct delivery *delivery = argument;

    fill();
    assign();
    raise(delivery, false);
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(seen.deliveries, 0);
    EXPECT_EQ(seen.fault.vector, VECTOR_PF);
    EXPECT_EQ(seen.fault.error_code, RMP_FAULT);
    EXPECT_EQ(seen.fault.cr2, (uint64_t)owned + PAGE_4K - 8);
    EXPECT_EQ(seen.fault.rsp, (uint64_t)(owned + PAGE_4K + delivery->stack));
    if (delivery->stack == 0)
        EXPECT_EQ(changed_bytes(), 0);
    raise(delivery, true);
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(seen.deliveries, 1);
    EXPECT_EQ(seen.frame / PAGE_4K, (uint64_t)owned / PAGE_4K);
    unassign();
}

static const struct delivery frame_ud2 = {ud2, VECTOR_UD, IST_NONE, 0},
                             frame_int3 = {int3, VECTOR_BP, IST_NONE, 0},
                             frame_int_n = {int_n, 0x40, IST_NONE, 0},
                             frame_divide = {divide, VECTOR_DE, IST_NONE, 0},
                             frame_gp = {general_protection, VECTOR_GP, IST_NONE, 0},
                             frame_crossing = {ud2, VECTOR_UD, IST_NONE, 16},
                             frame_ist = {ud2, VECTOR_UD, IST_TEST, 2048};

static void page_fault_on_assigned_stack(const void *unused)
{
    static const struct delivery delivery = {page_fault, VECTOR_PF, IST_NONE, 0};
    (void)unused;

    fill();
    assign();
    raise(&delivery, false);
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(seen.deliveries, 0);
    EXPECT_EQ(seen.fault.vector, VECTOR_DF);
    EXPECT_EQ(seen.fault.error_code, 0);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

static void entry_from_user_mode(const void *unused)
{
    static const uint8_t code[] = {0x0f, 0x0b}; /* ud2 */
    struct trap state = {0};
    uint64_t before = set_kernel_stack((uint64_t)owned + PAGE_4K), start;
    (void)unused;

    fill();
    assign();
    set_gate_stack(VECTOR_UD, IST_NONE);
    start = run_user(code, sizeof(code), &state);
    set_gate_stack(VECTOR_UD, IST_FAULT);
    set_kernel_stack(before);
    EXPECT_EQ(state.vector, VECTOR_PF);
    EXPECT_EQ(state.error_code, RMP_FAULT); /* the push is the supervisor's */
    EXPECT_EQ(state.cr2, (uint64_t)owned + PAGE_4K - 8);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(state.cs & 3, 3);
    EXPECT_EQ(changed_bytes(), 0);
    unassign();
}

/* It is not documented whether the interrupt is delivered again after the fault. */
static void interrupt_on_assigned_stack(const void *unused)
{
    uint8_t *stack = owned + PAGE_4K;
    (void)unused;

    assign();
    set_gate_stack(TEST_VECTOR, IST_NONE);
    start_watching(TEST_VECTOR, true);
    interrupt_this_cpu(TEST_VECTOR);
    __asm__ volatile("movq %%rsp, %%r8; movq %0, %%rsp; sti; nop; nop; nop; cli; movq %%r8, %%rsp"
                     :
                     : "D"(stack)
                     : "r8", "memory", "cc");
    set_trap_hook(NULL);
    set_gate_stack(TEST_VECTOR, IST_FAULT);
    if (!seen.deliveries)
        acknowledge_interrupt();
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(seen.fault.error_code, RMP_FAULT);
    EXPECT_EQ(seen.fault.cr2, (uint64_t)stack - 8);
    unassign();
}

static void syscall_pushes_nothing(const void *unused)
{
    uint64_t efer = rdmsr(MSR_EFER);
    uint8_t *stack = owned + PAGE_4K;
    (void)unused;

    assign();
    wrmsr(MSR_EFER, efer | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SELECTOR_CODE64 << 32);
    wrmsr(MSR_SFMASK, 0);
    __asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %%rdx; shrq $32, %%rdx\n\t"
                     "movl %0, %%ecx; wrmsr; movq %%rsp, %%r8; movq %1, %%rsp\n\t" GUARDED(
                         "syscall") "1: movq %%r8, %%rsp"
                     :
                     : "i"(MSR_LSTAR), "D"(stack)
                     : "rax", "rcx", "rdx", "r8", "r11", "memory", "cc");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    this_cpu()->guard_rip = 0;
    wrmsr(MSR_EFER, efer);
    unassign();
}

/* Data and TSS descriptors in a GDT in the assigned page. TCG sets no bits in code descriptors. */

enum {
    OWN_DATA = 9 * 8, /* not accessed */
    OWN_TSS = 12 * 8, /* available */
    OWN_GDT_SIZE = 14 * 8,
};
#define TSS_BUSY (1ul << 41)
#define DESCRIPTOR_ACCESSED (1ul << 40)

static uint64_t *own_gdt(void)
{
    return (uint64_t *)(owned + 256);
}

static void load_own_gdt(void)
{
    uint64_t *own = own_gdt();
    struct table_pointer pointer = {OWN_GDT_SIZE - 1, (uint64_t)own};

    memcpy(own, gdt, OWN_GDT_SIZE);
    own[OWN_DATA / 8] = gdt[SELECTOR_DATA / 8] & ~DESCRIPTOR_ACCESSED;
    own[OWN_TSS / 8] = gdt[SELECTOR_TSS(0) / 8] & ~TSS_BUSY;
    own[OWN_TSS / 8 + 1] = gdt[SELECTOR_TSS(0) / 8 + 1];
    __asm__ volatile("lgdt %0" : : "m"(pointer));
}

static void load_es(void)
{
    __asm__ volatile(GUARDED("movw %w0, %%es") : : "a"(OWN_DATA) : "memory");
}

static void load_ss(void)
{
    __asm__ volatile(GUARDED("movw %w0, %%ss") : : "a"(OWN_DATA) : "memory");
}

static void load_task_register(void)
{
    __asm__ volatile(GUARDED("ltr %w0") : : "a"(OWN_TSS) : "memory");
}

struct descriptor_write {
    void (*execute)(void);
    unsigned selector;
    uint64_t bit;
};

static void descriptor_faults_and_restarts(const void *argument)
{
    const struct descriptor_write *write = argument;
    uint64_t *descriptor = own_gdt() + write->selector / 8, before;

    fill();
    load_own_gdt();
    before = *descriptor;
    assign();
    start_watching(NO_TRAP, false);
    write->execute();
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(seen.fault.error_code, RMP_FAULT);
    EXPECT_EQ(seen.fault.cr2 & ~7ul, (uint64_t)descriptor);
    EXPECT_EQ(*descriptor, before);
    if (!seen.faults)
        load_own_gdt();
    start_watching(NO_TRAP, true);
    write->execute();
    set_trap_hook(NULL);
    EXPECT_EQ(seen.faults, 1);
    EXPECT_EQ(*descriptor, before | write->bit);
    __asm__ volatile("lgdt %0; movw %w1, %%es; movw %w1, %%ss"
                     :
                     : "m"(gdt_pointer), "r"(SELECTOR_DATA));
    unassign();
}

static const struct descriptor_write es_accessed = {load_es, OWN_DATA, DESCRIPTOR_ACCESSED},
                                     ss_accessed = {load_ss, OWN_DATA, DESCRIPTOR_ACCESSED},
                                     tss_busy = {load_task_register, OWN_TSS, TSS_BUSY};

#define FRAME(kind, rule) TEST_WITH(#kind, frame_faults_and_restarts, &frame_##kind, rule)
#define DESCRIPTOR(kind)                                                                           \
    TEST_WITH(#kind, descriptor_faults_and_restarts, &kind,                                        \
              "APM2 table 15-39: host write; 4.8: loading a descriptor sets its bit")

static const struct test_case cases[] = {
    TEST_WITH("enable", enable_with_window, NULL, "APM2 15.36.2: SNP_EN on all CPUs"),
    TEST(syscall_pushes_nothing, "APM3 SYSCALL: no stack is used"),
    FRAME(ud2, "APM2 8.9: a fault of the frame's push is an exception of its own"),
    FRAME(int3, "APM2 8.9: the same for INT3, RIP at it"),
    FRAME(int_n, "APM2 8.9: the same for INT n, RIP at it"),
    FRAME(divide, "APM2 table 8-3: #DE, then #PF: the #PF is taken"),
    FRAME(gp, "APM2 table 8-3: #GP, then #PF: the #PF is taken"),
    FRAME(crossing, "APM2 8.2.15: CR2 is the first push that faults"),
    FRAME(ist, "APM2 8.9.4: a stack of the interrupt stack table"),
    TEST(page_fault_on_assigned_stack, "APM2 table 8-3: #PF, then #PF: double fault"),
    TEST(entry_from_user_mode, "APM2 8.9.3: RSP0, pushes with supervisor rights"),
    TEST(interrupt_on_assigned_stack, "APM2 8.9: external interrupts push such a frame, too"),
    DESCRIPTOR(es_accessed),
    DESCRIPTOR(ss_accessed),
    DESCRIPTOR(tss_busy),
};
TEST_SUITE_IF(cases, snp_unmet);
