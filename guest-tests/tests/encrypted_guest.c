// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guests with encrypted registers and memory, as their host sees them: SEV-ES guests, and SNP
 * guests whose memory the host cannot write. The guest's #VC handler tells the host the error code.
 */
#include "encrypted_guest.h"
#include "runtime.h"

#define NESTED_RESERVED (1ul << 50)
#define PTE_PRESENT_WRITE_USER 7ul
#define EVENT_VALID (1ul << 31)
#define GATE_PRESENT 0x8e00ul
enum { GUEST_EVENT_HANDLER = GUEST_HANDLER + 0x100 };

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_pause_hlt, "nop; pause; hlt");
SVM_CODE(code_cpuid, "nop; cpuid");
SVM_CODE(code_vmmcall, "nop; vmmcall");
SVM_CODE(code_out, "nop; out %al, $0x80");
SVM_CODE(code_in, "nop; in $0x80, %al");
SVM_CODE(code_rdmsr, "nop; rdmsr");
SVM_CODE(code_wrmsr, "nop; wrmsr");
SVM_CODE(code_from_dr7, "nop; mov %dr7, %rax");
SVM_CODE(code_to_dr7, "nop; mov %rax, %dr7");
SVM_CODE(code_rdtsc, "nop; rdtsc");
SVM_CODE(code_rdpmc, "nop; rdpmc");
SVM_CODE(code_invd, "nop; invd");
SVM_CODE(code_wbinvd, "nop; wbinvd");
SVM_CODE(code_monitor, "nop; monitor");
SVM_CODE(code_mwait, "nop; mwait");
SVM_CODE(code_vmrun, "nop; vmrun");
SVM_CODE(code_vmload, "nop; vmload");
SVM_CODE(code_vmsave, "nop; vmsave");
SVM_CODE(code_stgi, "nop; stgi");
SVM_CODE(code_clgi, "nop; clgi");
SVM_CODE(code_reads, "cpuid; rdtsc; rdtscp; wbinvd; mov %dr7, %rdi; hlt");
SVM_CODE(code_ud2, "nop; ud2");
SVM_CODE(code_rmpupdate, "nop; .byte 0xf2, 0x0f, 0x01, 0xfe; hlt");
SVM_CODE(code_registers, "inc %rbx; inc %rcx; inc %rdx; inc %rsi; inc %rdi; inc %rbp;"
                         "inc %r8; inc %r9; inc %r10; inc %r11; inc %r12; inc %r13; inc %r14;"
                         "inc %r15; inc %rax; hlt");
SVM_CODE(code_cr3, "mov %cr3, %rax; mov %rsi, %cr3; mov %cr3, %rcx; hlt");
SVM_CODE(code_ghcb,
         "mov $0xc0010130, %ecx; rdmsr; mov %rax, %rbx; mov $0xc0010131, %ecx; rdmsr; hlt");
SVM_CODE(code_store, "nop; mov %rsi, (%rdi); hlt");
SVM_CODE(code_load, "nop; mov (%rdi), %rsi; hlt");
SVM_CODE(code_pvalidate, "mov %rdi, %rax; xor %ecx, %ecx; mov $1, %edx;" PVALIDATE
                         "setc %bl; mov %rsi, (%rdi); hlt");
SVM_CODE(code_event, "inc %rbx; iretq");
SVM_CODE(code_goes_on, "inc %rcx; hlt");
SVM_CODE(code_count, "1: incq (%rdi); cmpb $0, (%rsi); je 1b; hlt");

DEFINE_INSN(insn_store, "movq %%rcx, (%%rax)")

static void create(const void *unused)
{
    (void)unused;
    encrypted_guest_create();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
}

static void automatic_exits(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 2);
    guest.vmcb->intercept_misc1 |= 1u << 23; /* PAUSE */
    EXPECT_EQ(run_encrypted(&code_pause_hlt, 0), 0x77);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 3);
    guest.vmcb->intercept_misc1 &= ~(1u << 23);
}

static void registers_are_in_the_vmsa(const void *unused)
{
    static uint8_t before[VMSA_COMMON_BYTES];
    const uint64_t *word = (uint64_t *)&guest.registers;
    (void)unused;

    encrypted_guest_load(&code_registers, 0);
    for (unsigned i = VMSA_RCX; i <= VMSA_R15; i++)
        vmsa[i] = i * 0x1000;
    vmsa[VMSA_RAX] = 0xfff;
    memcpy(before, (uint8_t *)guest.vmcb + 0x400, sizeof(before));
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    for (unsigned i = VMSA_RCX; i <= VMSA_R15; i++)
        if (i != VMSA_RCX + 3) /* where RSP would be */
            EXPECT_EQ(vmsa[i], i * 0x1000 + 1);
    EXPECT_EQ(vmsa[VMSA_RAX], 0x1000);
    EXPECT_EQ(memcmp(before, (uint8_t *)guest.vmcb + 0x400, sizeof(before)), 0);
    for (unsigned i = 0; i < sizeof(guest.registers) / 8; i++)
        EXPECT_EQ(word[i], 0); /* of the host's save area */
}

/* The VMSA stays as it is, and other guests of the CPU are what they are. */
static void vmrun_fails(const void *unused)
{
    static uint64_t before[PAGE_4K / 8];
    static struct vmcb plain;
    uint64_t cr4 = 0x148 / 8;
    (void)unused;

    encrypted_guest_load(&code_registers, 0);
    vmsa[VMSA_RCX] = 0x1234;
    memcpy(before, vmsa, sizeof(before));
    guest.vmcb->intercept_misc2 &= ~1u; /* VMRUN */
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    EXPECT_EQ(guest.registers.rcx, 0);
    guest.vmcb->intercept_misc2 |= 1;
    EXPECT_EQ(memcmp(before, vmsa, sizeof(before)), 0);
    vmsa[cr4] |= 1ul << 63;
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    EXPECT_EQ(vmsa[VMSA_RCX], 0x1234);
    vmsa[cr4] &= ~(1ul << 63);

    plain = *guest.vmcb;
    guest.vmcb->nested_control = NESTED_PAGING;
    svm_load(&guest, &code_cpuid);
    EXPECT_EQ(svm_run(&guest), EXIT_CPUID);
    *guest.vmcb = plain;
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
}

/* An instruction one byte behind the beginning, what its host intercepts, and the error code. */
static const struct cause {
    const char *name;
    const struct svm_code *code;
    uint32_t misc1, misc2, dr;
    uint64_t exit;
} causes[] = {
    {"cpuid", &code_cpuid, 1u << 18, 0, 0, EXIT_CPUID},
    {"vmmcall", &code_vmmcall, 0, 1u << 1, 0, EXIT_VMMCALL},
    {"out", &code_out, 1u << 27, 0, 0, EXIT_IOIO},
    {"in", &code_in, 1u << 27, 0, 0, EXIT_IOIO},
    {"rdmsr", &code_rdmsr, 1u << 28, 0, 0, EXIT_MSR},
    {"wrmsr", &code_wrmsr, 1u << 28, 0, 0, EXIT_MSR},
    {"mov from DR7", &code_from_dr7, 0, 0, 1u << 7, 0x27},
    {"mov to DR7", &code_to_dr7, 0, 0, 1u << 23, 0x37},
    {"rdtsc", &code_rdtsc, 1u << 14, 0, 0, 0x6e},
    {"rdpmc", &code_rdpmc, 1u << 15, 0, 0, 0x6f},
    {"invd", &code_invd, 1u << 22, 0, 0, 0x76},
    {"wbinvd", &code_wbinvd, 0, 1u << 9, 0, 0x89},
    {"monitor", &code_monitor, 0, 1u << 10, 0, 0x8a},
    {"mwait", &code_mwait, 0, 1u << 11, 0, 0x8b},
    {"vmrun", &code_vmrun, 0, 1u << 0, 0, EXIT_VMRUN},
    {"vmload", &code_vmload, 0, 1u << 2, 0, 0x82},
    {"vmsave", &code_vmsave, 0, 1u << 3, 0, 0x83},
    {"stgi", &code_stgi, 0, 1u << 4, 0, 0x84},
    {"clgi", &code_clgi, 0, 1u << 5, 0, 0x85},
};

static void one_cause(const void *argument)
{
    const struct cause *c = argument;
    uint32_t misc1 = guest.vmcb->intercept_misc1, misc2 = guest.vmcb->intercept_misc2;

    guest.vmcb->intercept_misc1 |= c->misc1;
    guest.vmcb->intercept_misc2 |= c->misc2;
    guest.vmcb->intercept_dr = c->dr;
    memset((void *)guest.msrpm, 0xff, 2 * PAGE_4K);
    run_encrypted(c->code, 0);
    expect_vc(c->exit);
    memset((void *)guest.msrpm, 0, 2 * PAGE_4K);
    guest.vmcb->intercept_misc1 = misc1;
    guest.vmcb->intercept_misc2 = misc2;
    guest.vmcb->intercept_dr = 0;
}

static void exits_become_vc(const void *unused)
{
    enum { CAUSES = sizeof(causes) / sizeof(causes[0]) };
    struct test_case cases[CAUSES];
    (void)unused;

    for (unsigned i = 0; i < CAUSES; i++)
        cases[i] = (struct test_case)TEST_WITH(causes[i].name, one_cause, &causes[i],
                                               "APM2 15.35.5: #VC with the exit code");
    run_subtests(cases, CAUSES);
    run_encrypted(&code_ud2, 0);
    expect_vc(EXIT_EXCEPTION(VECTOR_UD));
}

/* What is not intercepted is executed. */
static void without_intercept_no_vc(const void *unused)
{
    (void)unused;
    guest.vmcb->intercept_misc1 &= ~(1u << 18); /* CPUID */
    EXPECT_EQ(run_encrypted(&code_reads, 0), EXIT_HLT);
    guest.vmcb->intercept_misc1 |= 1u << 18;
    EXPECT_EQ(vmsa[VMSA_RDI], 0x400); /* DR7 */
}

static void nested_faults(const void *unused)
{
    uint64_t *entry = svm_nested_entry(&guest, PAGE_A), whole = *entry;
    (void)unused;

    *entry = 0;
    EXPECT_EQ(run_encrypted(&code_load, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | PF_USER);
    EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 1);
    *entry = whole | NESTED_RESERVED;
    run_encrypted(&code_load, PAGE_A);
    expect_vc(EXIT_NPF);
    *entry = whole;
    EXPECT_EQ(run_encrypted(&code_load, PAGE_A), EXIT_HLT);
}

/* What VMRUN injects reaches its handler once. If the stack is not there, the host learns what was
 * on its way, and injects it again. */
static void one_event(const void *argument)
{
    const uint64_t event = *(const uint64_t *)argument;
    uint64_t *entry = svm_nested_entry(&guest, PAGE_A), whole = *entry;
    uint64_t *gate = (uint64_t *)svm_memory(&guest, GUEST_IDT) + 2 * (event & 0xff);

    encrypted_guest_put(GUEST_EVENT_HANDLER, &code_event);
    gate[0] = GUEST_EVENT_HANDLER | (uint64_t)SELECTOR_CODE64 << 16 | GATE_PRESENT << 32;
    encrypted_guest_load(&code_goes_on, 0);
    vmsa[VMSA_RSP] = PAGE_A + PAGE_4K;
    *entry = 0;
    guest.vmcb->event_injection = event;
    EXPECT_EQ(encrypted_guest_run(), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | PF_USER | PF_WRITE);
    EXPECT_EQ(guest.vmcb->exit_interrupt_info, event);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE);
    EXPECT_EQ(vmsa[VMSA_RBX], 0);

    *entry = whole;
    guest.vmcb->event_injection = guest.vmcb->exit_interrupt_info;
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(guest.vmcb->exit_interrupt_info & EVENT_VALID, 0);
    EXPECT_EQ(vmsa[VMSA_RBX], 1);
    EXPECT_EQ(vmsa[VMSA_RCX], 1);
    guest.vmcb->event_injection = 0;
    gate[0] = 0;
}

static void injected_events(const void *unused)
{
    static const uint64_t interrupt = EVENT_VALID | 0x30, nmi = EVENT_VALID | 2 << 8 | 2,
                          exception = EVENT_VALID | 3 << 8 | VECTOR_UD;
    static const struct test_case events[] = {
        TEST_WITH("interrupt", one_event, &interrupt, "APM2 15.20, 15.7.2: EXITINTINFO"),
        TEST_WITH("NMI", one_event, &nmi, "APM2 15.20, 15.7.2: EXITINTINFO"),
        TEST_WITH("exception", one_event, &exception, "APM2 15.20, 15.7.2: EXITINTINFO"),
    };
    (void)unused;
    run_subtests(events, sizeof(events) / sizeof(events[0]));
}

static void cr3_keeps_its_c_bit(const void *unused)
{
    (void)unused;
    encrypted_guest_load(&code_cr3, 0);
    vmsa[VMSA_CR3] |= C_BIT;
    vmsa[VMSA_RSI] = vmsa[VMSA_CR3] ^ C_BIT;
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], GUEST_TABLES | C_BIT);
    EXPECT_EQ(vmsa[VMSA_RCX], GUEST_TABLES);
    EXPECT_EQ(vmsa[VMSA_CR3], GUEST_TABLES);
}

static void msrs_of_the_guest(const void *unused)
{
    (void)unused;
    guest.vmcb->ghcb = 0x12345000;
    EXPECT_EQ(run_encrypted(&code_ghcb, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RBX], 0x12345000);
    EXPECT_EQ(vmsa[VMSA_RAX], vmsa[VMSA_SEV_FEATURES] & 1 ? 7 : 3);
}

/* RMPUPDATE in a guest returns FAIL_PERMISSION. */
static void rmpupdate_in_the_guest(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_encrypted(&code_rmpupdate, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], RMP_FAIL_PERMISSION);
}

static void become_snp(const void *unused)
{
    (void)unused;
    encrypted_guest_become_snp();
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
    EXPECT_EQ(run_encrypted(&code_ghcb, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 7);
}

static void expect_host_fault(uint64_t spa)
{
    EXPECT_PF(insn_store(spa, 1, 0), (PF_PRESENT | PF_WRITE | PF_RMP), spa);
}

/* The guest writes its page; the host reads it and can't write it. */
static void private_pages_are_the_guests(const void *unused)
{
    volatile uint64_t *page = svm_memory(&guest, PAGE_A);
    (void)unused;

    EXPECT_EQ(run_encrypted(&code_store, PAGE_A), EXIT_HLT);
    expect_host_fault((uint64_t)page);
    encrypted_guest_load(&code_load, PAGE_A);
    open_vmsa();
    vmsa[VMSA_RSI] = 0;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RSI], GUEST_RSI);
    expect_host_fault((uint64_t)&vmsa[VMSA_RIP]);
}

static void pages_of_others(const void *unused)
{
    const uint64_t info = PF_PRESENT | PF_WRITE | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED;
    uint64_t a = guest.memory + PAGE_A, *entry = svm_nested_entry(&guest, PAGE_A), whole = *entry;
    (void)unused;

    take_from_guest(a);
    EXPECT_EQ(run_encrypted(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A);
    REQUIRE_EQ(rmp_assign(a, RMP_PAGE_4K, guest.vmcb->asid + 1, PAGE_A), RMP_SUCCESS);
    *raw_rmp_entry(a) |= RMP_VALIDATED;
    EXPECT_EQ(run_encrypted(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    take_from_guest(a);
    give_to_guest(a, PAGE_A, RMP_VALIDATED);
    *entry = (guest.memory + PAGE_B) | PTE_PRESENT_WRITE_USER; /* B in the place of A */
    EXPECT_EQ(run_encrypted(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    *entry = whole;
    EXPECT_EQ(run_encrypted(&code_store, PAGE_A), EXIT_HLT);
}

static void pvalidate_makes_a_page_usable(const void *unused)
{
    uint64_t a = guest.memory + PAGE_A;
    (void)unused;

    take_from_guest(a);
    give_to_guest(a, PAGE_A, 0);
    run_encrypted(&code_store, PAGE_A);
    expect_vc(VC_PAGE_NOT_VALIDATED);
    EXPECT_EQ(run_encrypted(&code_pvalidate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
    EXPECT_EQ(vmsa[VMSA_RBX] & 0xff, 0);
    EXPECT_EQ(*raw_rmp_entry(a) & RMP_VALIDATED, RMP_VALIDATED);
    EXPECT_EQ(run_encrypted(&code_pvalidate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RBX] & 0xff, 1); /* CF: it was */
}

static void run_on_other_cpu(void *exit)
{
    *(uint64_t *)exit = encrypted_guest_run();
}

/* While the guest counts in its page on CPU 1, each of this CPU's stores to the page faults. */
static void enforced_while_the_guest_runs(const void *unused)
{
    enum { STORES = 2000 };
    volatile uint64_t *counter = svm_memory(&guest, PAGE_A);
    volatile uint8_t *stop = svm_memory(&guest, PAGE_SHARED); /* shared */
    static uint64_t exit;
    uint64_t first, faults = 0;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    *stop = 0;
    encrypted_guest_load(&code_count, PAGE_A);
    open_vmsa();
    vmsa[VMSA_RSI] = PAGE_SHARED;
    close_vmsa();
    first = *counter;
    start_on_cpu(1, run_on_other_cpu, &exit);
    while (*counter == first)
        invlpg(counter); /* its noise is that of when it was translated */
    for (unsigned i = 0; i < STORES; i++)
        faults += insn_store((uint64_t)counter, 0, 0).vector == VECTOR_PF;
    first = *counter;
    while (*counter == first)
        invlpg(counter); /* its noise is that of when it was translated */
    *stop = 1;
    wait_for_cpu(1);
    EXPECT_EQ(faults, STORES);
    EXPECT_EQ(exit, EXIT_HLT);
}

static const struct test_case cases[] = {
    TEST(create, "APM2 15.35: VMRUN of an SEV-ES guest"),
    TEST(automatic_exits, "APM2 15.35.4: HLT, PAUSE"),
    TEST(registers_are_in_the_vmsa,
         "APM2 15.35.8: registers are saved in the VMSA, loaded from the host's area"),
    TEST(vmrun_fails, "APM2 15.5.1: VMRUN with illegal state, VMEXIT_INVALID"),
    TEST(exits_become_vc, "APM2 15.35.5: #VC with the exit code"),
    TEST(without_intercept_no_vc, "APM2 15.35.5: #VC in the place of a #VMEXIT only"),
    TEST(nested_faults, "APM2 15.35.4: #VMEXIT(NPF), #VC with reserved bits"),
    TEST(injected_events, "APM2 15.20: event injection, 15.7.2: EXITINTINFO"),
    TEST(cr3_keeps_its_c_bit, "APM2 15.34.7: the C-bit of CR3"),
    TEST(msrs_of_the_guest, "APM2 15.34.10, 15.35.7: SEV_STATUS, GHCB"),
    TEST(rmpupdate_in_the_guest, "APM3 RMPUPDATE: not in hypervisor mode"),
    TEST(become_snp, "APM2 15.36.12: VMRUN of an SNP guest"),
    TEST(private_pages_are_the_guests, "APM2 table 15-39: the guest's pages"),
    TEST(pages_of_others, "APM2 15.36.10: unassigned, another ASID, another address"),
    TEST(pvalidate_makes_a_page_usable, "APM2 15.36.6: validation"),
    TEST(enforced_while_the_guest_runs, "APM2 15.36.10: host writes beside a running guest"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
