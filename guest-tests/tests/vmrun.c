// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The RMP checks of VMRUN, VMSAVE and VM_HSAVE_PA, guests that VMRUN must refuse, and pages that
 * are in use while a guest runs.
 */
#include "runtime.h"

static struct svm_guest guest;

SVM_CODE(code_hlt, "hlt");
SVM_CODE(code_out, "out %al, $0x80; hlt");
SVM_CODE(code_rdmsr, "mov $0xc0000080, %ecx; rdmsr; hlt");
/* Reports at RDI that the guest runs, then waits for the byte at RDI + 8. */
SVM_CODE(code_wait, "incq (%rdi); 1: pause; cmpb $0, 8(%rdi); je 1b; hlt");

/* Counts at RDI how often it is entered, then waits for the byte at RDI + 8. (PAUSE would leave the
 * loop in which QEMU executes code.) */
SVM_CODE(code_handler, "incq (%rdi); 1: cmpb $0, 8(%rdi); je 1b; hlt");
SVM_CODE(code_jump, "1: jmp 1b");
SVM_CODE(code_cr8, "sti; nop; mov %rdi, %cr8; nop; hlt");

static const char *unmet(void)
{
    if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
        return "this CPU has no SVM";
    return snp_unmet();
}

static void assign(uint64_t spa)
{
    EXPECT_EQ(rmp_assign(spa, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
}

static void unassign(uint64_t spa)
{
    EXPECT_EQ(rmp_unassign(spa, RMP_PAGE_4K), RMP_SUCCESS);
}

/* Runs the guest until HLT, to show that the machine still works. */
static void expect_guest_runs(void)
{
    svm_load(&guest, &code_hlt);
    guest.vmcb->exit_code = 0;
    EXPECT_EQ(svm_run(&guest), EXIT_HLT);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
}

static void expect_vmrun_gp0(uint64_t vmcb)
{
    struct svm_registers registers = {.rbx = 7};

    svm_enter(vmcb, &registers);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_GP);
    if (this_cpu()->trap_vector != VECTOR_GP)
        return;
    EXPECT_EQ(this_cpu()->trap.error_code, 0);
    EXPECT_EQ(this_cpu()->trap.rax, vmcb);
    EXPECT_EQ(registers.rbx, 7);
}

static void ud_without_svme(const void *unused)
{
    struct svm_registers registers = {0};
    uint64_t page = allocate_or_fail(PAGE_4K, PAGE_4K);
    (void)unused;

    svm_enter(page, &registers);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_UD);
    EXPECT_UD(insn_vmsave(page, 0, 0));
    EXPECT_UD(insn_vmload(page, 0, 0));
}

static void enable(const void *unused)
{
    (void)unused;
    snp_enable();
    svm_enable();
    svm_create(&guest);
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
    expect_guest_runs();
}

/* With SNP_EN set and SVME clear, it is still #UD, whatever the page. */
static void ud_before_the_rmp_check(const void *unused)
{
    uint64_t efer = rdmsr(MSR_EFER), vmcb = (uint64_t)guest.vmcb;
    struct svm_registers registers = {0};
    (void)unused;

    assign(vmcb);
    wrmsr(MSR_EFER, efer & ~EFER_SVME);
    svm_enter(vmcb, &registers);
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_UD);
    EXPECT_UD(insn_vmsave(vmcb, 0, 0));
    wrmsr(MSR_EFER, efer);
    unassign(vmcb);
    expect_guest_runs();
}

static void vmcb_of_bad_address(const void *unused)
{
    (void)unused;
    expect_vmrun_gp0((uint64_t)guest.vmcb + 8);
    EXPECT_GP0(insn_vmsave((uint64_t)guest.vmcb + 8, 0, 0));
    EXPECT_GP0(insn_vmload((uint64_t)guest.vmcb + 8, 0, 0));
    expect_vmrun_gp0(1ul << 60);
    expect_guest_runs();
}

static void vmrun_at_cpl3(const void *unused)
{
    static const uint8_t code[] = {0x0f, 0x01, 0xd8};
    struct trap state = {.rax = (uint64_t)guest.vmcb};
    (void)unused;

    run_user(code, sizeof(code), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
}

static void vmcb_assigned(const void *unused)
{
    static struct vmcb before;
    (void)unused;

    svm_load(&guest, &code_hlt);
    before = *guest.vmcb;
    assign((uint64_t)guest.vmcb);
    expect_vmrun_gp0((uint64_t)guest.vmcb);
    EXPECT_EQ(memcmp(&before, guest.vmcb, sizeof(before)), 0);
    expect_vmrun_gp0((uint64_t)guest.vmcb);
    unassign((uint64_t)guest.vmcb);
    expect_guest_runs();
}

static void vmcb_in_a_2m_page(const void *unused)
{
    uint64_t base = allocate_or_fail(PAGE_2M, PAGE_2M);
    (void)unused;

    memcpy((void *)(base + 5 * PAGE_4K), guest.vmcb, PAGE_4K);
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    expect_vmrun_gp0(base);
    expect_vmrun_gp0(base + 5 * PAGE_4K);
    EXPECT_GP0(insn_vmsave(base + 5 * PAGE_4K, 0, 0));
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void vmsave_to_an_assigned_page(const void *unused)
{
    uint64_t base = allocate_or_fail(PAGE_2M, PAGE_2M), page = base + PAGE_4K;
    struct vmcb *vmcb = (struct vmcb *)page;
    (void)unused;

    memset(vmcb, 0x5a, PAGE_4K);
    assign(page);
    EXPECT_GP0(insn_vmsave(page, 0, 0));
    for (unsigned i = 0; i < PAGE_4K; i += 8)
        EXPECT_EQ(*(uint64_t *)(page + i), 0x5a5a5a5a5a5a5a5a);
    unassign(page);
    EXPECT_NO_TRAP(insn_vmsave(page, 0, 0));
    EXPECT_EQ(vmcb->gs.base, rdmsr(MSR_GS_BASE));
    EXPECT_EQ(vmcb->rax, 0x5a5a5a5a5a5a5a5a);
}

static void vmload_from_an_assigned_page(const void *unused)
{
    uint64_t page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    struct vmcb *vmcb = (struct vmcb *)page;
    (void)unused;

    REQUIRE_EQ(insn_vmsave(page, 0, 0).vector, NO_TRAP);
    vmcb->kernel_gs_base = 0x123456789000;
    assign(page);
    EXPECT_NO_TRAP(insn_vmload(page, 0, 0));
    EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x123456789000);
    unassign(page);
}

static void save_area_assigned(const void *unused)
{
    uint64_t page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    uint64_t before = rdmsr(MSR_VM_HSAVE_PA);
    (void)unused;

    assign(page);
    EXPECT_GP0(try_wrmsr(MSR_VM_HSAVE_PA, page));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), before);
    unassign(page);
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, page));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), page);
    expect_guest_runs();
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, before));
}

static void save_area_values(const void *unused)
{
    uint64_t before = rdmsr(MSR_VM_HSAVE_PA);
    (void)unused;

    EXPECT_GP0(try_wrmsr(MSR_VM_HSAVE_PA, before + 8));
    EXPECT_GP0(try_wrmsr(MSR_VM_HSAVE_PA, 1ul << 52));
    EXPECT_GP0(try_wrmsr(MSR_VM_HSAVE_PA, 1ul << 63));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), before);
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, 0));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), 0);
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, before));
}

static void vmrun_needs_a_save_area(const void *unused)
{
    uint64_t before = rdmsr(MSR_VM_HSAVE_PA);
    (void)unused;

    wrmsr(MSR_VM_HSAVE_PA, 0);
    expect_vmrun_gp0((uint64_t)guest.vmcb);
    wrmsr(MSR_VM_HSAVE_PA, before);
    expect_guest_runs();
}

static void assign_range(uint64_t spa, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        assign(spa + i * PAGE_4K);
}

static void unassign_range(uint64_t spa, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        unassign(spa + i * PAGE_4K);
}

static void nested_tables_assigned(const void *unused)
{
    (void)unused;
    assign_range(guest.nested, NESTED_TABLES);
    expect_guest_runs();
    unassign_range(guest.nested, NESTED_TABLES);
}

static void io_permission_map_assigned(const void *unused)
{
    (void)unused;
    assign_range(guest.iopm, 3);
    svm_load(&guest, &code_out);
    EXPECT_EQ(svm_run(&guest), EXIT_IOIO);
    unassign_range(guest.iopm, 3);
}

static void msr_permission_map_assigned(const void *unused)
{
    (void)unused;
    assign_range(guest.msrpm, 2);
    svm_load(&guest, &code_rdmsr);
    EXPECT_EQ(svm_run(&guest), EXIT_HLT);
    unassign_range(guest.msrpm, 2);
}

/*
 * A guest that VMRUN refuses. The VMCB is restored afterwards, because it is not defined what such
 * a #VMEXIT saves.
 */
static void expect_invalid(void)
{
    static struct vmcb before;

    svm_load(&guest, &code_hlt);
    before = *guest.vmcb;
    EXPECT_EQ(svm_run(&guest), EXIT_INVALID);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    *guest.vmcb = before;
}

static void invalid_state(const void *unused)
{
    uint32_t asid = guest.vmcb->asid;
    (void)unused;

    guest.vmcb->asid = 0;
    expect_invalid();
    guest.vmcb->asid = asid;
    guest.vmcb->intercept_misc2 &= ~1u;
    expect_invalid();
    guest.vmcb->intercept_misc2 |= 1;
    expect_guest_runs();
}

static void sev_guest(const void *unused)
{
    (void)unused;
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV;
    expect_guest_runs();
    guest.vmcb->nested_control = NESTED_PAGING;
    expect_guest_runs();
}

/* The VMSA holds zeros: XCR0 must not be 0. And there is no SEV-ES without SEV. */
static void sev_es_guest(const void *unused)
{
    uint64_t vmsa = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    (void)unused;

    guest.vmcb->vmsa = vmsa;
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
    expect_invalid();
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV_ES;
    expect_invalid();
    guest.vmcb->nested_control = NESTED_PAGING;
    guest.vmcb->vmsa = 0;
    expect_guest_runs();
}

/* SEV_FEATURES bit 0 in a page that firmware did not make a VMSA: its entry has no VMSA bit. */
static void snp_guest(const void *unused)
{
    uint64_t vmsa = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    (void)unused;

    *(uint64_t *)(vmsa + 0x3b0) = 1;
    REQUIRE_EQ(rmp_assign(vmsa, RMP_PAGE_4K, guest.vmcb->asid, 0xfffffffff000), RMP_SUCCESS);
    guest.vmcb->vmsa = vmsa;
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
    expect_invalid();
    guest.vmcb->nested_control = NESTED_PAGING;
    guest.vmcb->vmsa = 0;
    unassign(vmsa);
    expect_guest_runs();
}

/* Runs a guest on another CPU until it is told to stop. */
struct other {
    struct svm_guest guest;
    volatile uint64_t *started;
    volatile uint8_t *stop;
    uint64_t exit_code;
};

static void run_other(void *argument)
{
    struct other *other = argument;
    other->exit_code = svm_run(&other->guest);
}

static void start_other(struct other *other, const struct svm_code *code)
{
    uint8_t *mailbox = svm_memory(&other->guest, GUEST_SMALL);

    other->started = (volatile uint64_t *)mailbox;
    other->stop = mailbox + 8;
    *other->started = 0;
    *other->stop = 0;
    svm_load(&other->guest, code);
    other->guest.registers.rdi = GUEST_SMALL;
    start_on_cpu(1, run_other, other);
    while (!*other->started)
        cpu_relax();
}

static void stop_other(struct other *other)
{
    *other->stop = 1;
    wait_for_cpu(1);
    EXPECT_EQ(other->exit_code, EXIT_HLT);
}

static struct other *other_guest(void)
{
    static struct other other;
    if (!other.guest.vmcb)
        svm_create(&other.guest);
    return &other;
}

static void vmcb_in_use(const void *unused)
{
    struct other *other;
    uint64_t vmcb;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    other = other_guest();
    vmcb = (uint64_t)other->guest.vmcb;
    start_other(other, &code_wait);
    EXPECT_EQ(rmp_assign(vmcb, RMP_PAGE_4K, 1, 0), RMP_FAIL_INUSE);
    EXPECT_EQ(rmp_unassign(vmcb, RMP_PAGE_4K), RMP_FAIL_INUSE);
    EXPECT_EQ(rmp_assign(vmcb & -PAGE_2M, RMP_PAGE_2M, 1, 0), RMP_FAIL_INUSE);
    EXPECT_EQ(rmp_lookup(vmcb).assigned, 0);
    stop_other(other);
    assign(vmcb);
    unassign(vmcb);
}

/* PSMASH needs a 2 MiB aligned address, so the VMCB is at one. (Linux avoids such addresses.) */
static void psmash_of_a_vmcb_in_use(const void *unused)
{
    struct other *other;
    struct vmcb *usual, *aligned;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    other = other_guest();
    usual = other->guest.vmcb;
    aligned = (struct vmcb *)((uint64_t)usual & -PAGE_2M);
    memcpy(aligned, usual, PAGE_4K);
    other->guest.vmcb = aligned;
    start_other(other, &code_wait);
    EXPECT_EQ(psmash((uint64_t)aligned), RMP_FAIL_INUSE);
    stop_other(other);
    EXPECT(psmash((uint64_t)aligned) != RMP_FAIL_INUSE);
    other->guest.vmcb = usual;
}

/* These do not count as in use: the guest's memory, its tables, the host's save area. */
static void other_pages_are_not_in_use(const void *unused)
{
    struct other *other;
    uint64_t page;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    other = other_guest();
    page = other->guest.memory + GUEST_SMALL + PAGE_4K;
    start_other(other, &code_wait);
    assign(page);
    unassign(page);
    assign(other->guest.msrpm);
    unassign(other->guest.msrpm);
    stop_other(other);
}

/* Assigns the page that a guest stores to while the guest runs on another CPU. */
SVM_CODE(code_store_long, "mov $100000000, %ecx; 1: incq (%rdi); dec %ecx; jnz 1b; hlt");

static void page_taken_from_a_running_guest(const void *unused)
{
    struct other *other;
    volatile uint64_t *counter;
    uint64_t last;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    other = other_guest();
    counter = svm_memory(&other->guest, GUEST_SMALL + PAGE_4K);
    svm_load(&other->guest, &code_store_long);
    other->guest.registers.rdi = GUEST_SMALL + PAGE_4K;
    *counter = 0;
    start_on_cpu(1, run_other, other);
    while (*counter < 1000)
        cpu_relax();
    assign((uint64_t)counter);
    last = *counter;
    wait_for_cpu(1);
    EXPECT_EQ(other->exit_code, EXIT_NPF);
    EXPECT_EQ(other->guest.vmcb->exit_info1, NPF_FINAL | PF_RMP | PF_PRESENT | PF_WRITE | PF_USER);
    EXPECT_EQ(other->guest.vmcb->exit_info2, GUEST_SMALL + PAGE_4K);
    EXPECT_EQ(*counter, last);
    unassign((uint64_t)counter);
}

/*
 * RMPUPDATE of the VMCB while another CPU executes VMRUN. Either VMRUN comes first and RMPUPDATE
 * fails, or RMPUPDATE comes first and VMRUN fails.
 */
static struct other *racer;
static volatile unsigned races, starting, ended;

static void start_when_asked(void *unused)
{
    (void)unused;
    for (unsigned i = 1; races != 0; ++i) {
        svm_load(&racer->guest, &code_wait);
        racer->guest.registers.rdi = GUEST_SMALL;
        starting = i;
        racer->exit_code = svm_run(&racer->guest);
        ended = i;
        while (races == i)
            cpu_relax();
    }
}

static void vmcb_taken_while_vmrun_starts(const void *unused)
{
    enum { RACES = 200, LONGEST_DELAY = 64 };
    uint64_t vmcb, status, both = 0, refused = 0, in_use = 0;
    uint8_t *mailbox;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    racer = other_guest();
    vmcb = (uint64_t)racer->guest.vmcb;
    mailbox = svm_memory(&racer->guest, GUEST_SMALL);
    racer->stop = mailbox + 8;
    *racer->stop = 0;
    races = 1;
    start_on_cpu(1, start_when_asked, 0);
    for (unsigned i = 1; i <= RACES; ++i) {
        while (starting != i)
            cpu_relax();
        for (unsigned delay = i % LONGEST_DELAY; delay != 0; --delay)
            cpu_relax();
        status = rmp_assign(vmcb, RMP_PAGE_4K, 1, 0);
        *racer->stop = 1;
        while (ended != i)
            cpu_relax();
        if (status == RMP_SUCCESS) {
            refused += cpu_at(1)->trap_vector == VECTOR_GP;
            both += cpu_at(1)->trap_vector == NO_TRAP;
            unassign(vmcb);
        } else {
            EXPECT_EQ(status, RMP_FAIL_INUSE);
            in_use += cpu_at(1)->trap_vector == NO_TRAP;
        }
        *racer->stop = 0;
        races = i == RACES ? 0 : i + 1;
    }
    wait_for_cpu(1);
    EXPECT_EQ(both, 0);
    EXPECT_EQ(refused + in_use, RACES);
    expect_guest_runs();
}

#define EXIT_VINTR 0x64ul

/* A virtual interrupt waits for the guest's TPR; MOV to CR8 lets it come. */
static void cr8_lets_an_interrupt_come(const void *unused)
{
    enum { INTERCEPT_VINTR = 1 << 4 };
    const uint64_t waiting = 0xful | 1ul << 8 | 1ul << 16 | 1ul << 24 | 0x30ul << 32;
    (void)unused;

    svm_load(&guest, &code_cr8);
    guest.vmcb->interrupt_control = waiting; /* V_TPR, V_IRQ, V_INTR_PRIO, V_INTR_MASKING */
    guest.vmcb->intercept_misc1 |= INTERCEPT_VINTR;
    EXPECT_EQ(svm_run(&guest), EXIT_VINTR);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE + 6);
    EXPECT_EQ(guest.vmcb->interrupt_control & 0xf, 0);
    guest.vmcb->interrupt_control = 0;
    guest.vmcb->intercept_misc1 &= ~(uint32_t)INTERCEPT_VINTR;
    expect_guest_runs();
}

/* An interrupt that VMRUN injects is delivered once, whatever happens to the CPU afterwards. */
static void injected_interrupt_comes_once(const void *unused)
{
    enum { VECTOR = 0x30, HANDLER = 0x9000, GDT = 0xc000, IDT = 0xd000, CHANGES = 200 };
    struct other *other;
    uint64_t *gate, page;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    other = other_guest();
    page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    gate = (uint64_t *)svm_memory(&other->guest, IDT) + 2 * VECTOR;
    gate[0] = HANDLER | (uint64_t)SELECTOR_CODE64 << 16 | 0x8e00ul << 32;
    ((uint64_t *)svm_memory(&other->guest, GDT))[SELECTOR_CODE64 / 8] = 0x00af9b000000ffff;
    other->guest.vmcb->gdtr = (struct vmcb_segment){.limit = 0xfff, .base = GDT};
    other->guest.vmcb->idtr = (struct vmcb_segment){.limit = 0xfff, .base = IDT};
    memcpy(svm_memory(&other->guest, HANDLER), code_handler.start,
           (size_t)(code_handler.end - code_handler.start));
    other->guest.vmcb->event_injection = VECTOR | 1ul << 31;
    start_other(other, &code_jump);
    for (unsigned i = 0; i < CHANGES; i++) { /* each makes CPU 1 stop for a moment */
        assign(page);
        unassign(page);
    }
    EXPECT_EQ(*other->started, 1);
    stop_other(other);
    EXPECT_EQ(*other->started, 1);
}

static const struct test_case cases[] = {
    TEST(ud_without_svme, "APM3 VMRUN, VMSAVE, VMLOAD: #UD without EFER.SVME"),
    TEST(enable, "APM2 15.36.2, 15.4: SNP_EN on all CPUs, EFER.SVME"),
    TEST(ud_before_the_rmp_check, "APM3 VMRUN, VMSAVE: #UD without EFER.SVME"),
    TEST(vmcb_of_bad_address, "APM3 VMRUN, VMSAVE, VMLOAD: RAX not aligned or too large, #GP"),
    TEST(vmrun_at_cpl3, "APM3 VMRUN: CPL other than 0, #GP"),
    TEST(vmcb_assigned, "APM2 table 15-39: VMRUN, VMCB not hypervisor-owned, #GP(0)"),
    TEST(vmcb_in_a_2m_page, "APM2 table 15-39: VMRUN and VMSAVE, inside an assigned 2 MiB page"),
    TEST(vmsave_to_an_assigned_page, "APM2 table 15-39: VMSAVE, #GP(0)"),
    TEST(vmload_from_an_assigned_page, "APM2 table 15-39: VMLOAD reads only, not checked"),
    TEST(save_area_assigned, "APM2 table 15-39: WRMSR VM_HSAVE_PA, #GP(0)"),
    TEST(save_area_values, "APM2 15.30.4: low 12 bits and bits above MAXPHYADDR, #GP(0)"),
    TEST(vmrun_needs_a_save_area, "APM3 VMRUN: VM_HSAVE_PA is 0, #GP(0)"),
    TEST(nested_tables_assigned, "APM2 table 15-39: nCR3, not checked"),
    TEST(io_permission_map_assigned, "APM2 table 15-39: IOPM, not checked"),
    TEST(msr_permission_map_assigned, "APM2 table 15-39: MSRPM, not checked"),
    TEST(invalid_state, "APM2 15.5.1: ASID 0; VMRUN not intercepted"),
    TEST(sev_guest, "APM2 15.34: a guest whose memory is encrypted"),
    TEST(sev_es_guest, "APM2 15.35: illegal state of a VMSA, VMEXIT_INVALID"),
    TEST(snp_guest, "APM2 table 15-39: VMRUN, VMSA without the VMSA attribute, VMEXIT_INVALID"),
    TEST(vmcb_in_use, "APM2 15.36.12: RMPUPDATE of a VMCB in use, FAIL_INUSE"),
    TEST(psmash_of_a_vmcb_in_use, "APM2 15.36.12: PSMASH of a VMCB in use, FAIL_INUSE"),
    TEST(vmcb_taken_while_vmrun_starts, "APM2 15.36.12: RMPUPDATE against VMRUN, never both"),
    TEST(other_pages_are_not_in_use, "APM2 15.36.12: VMCB, AVIC backing page and VMSA alone"),
    TEST(injected_interrupt_comes_once, "APM2 15.20: event injection"),
    TEST(cr8_lets_an_interrupt_come, "APM2 15.21.4: V_TPR, V_IRQ, MOV to CR8"),
    TEST(page_taken_from_a_running_guest, "APM3 RMPUPDATE: in effect on all CPUs"),
};
TEST_SUITE_IF(cases, unmet);
