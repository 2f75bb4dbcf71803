// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guests with encrypted registers and memory, as their host sees them: SEV-ES guests, and SNP
 * guests whose memory the host cannot write. The guest's #VC handler tells the host the error code.
 */
#include "runtime.h"

#define EXIT_VMGEXIT 0x403ul
#define VC_PAGE_NOT_VALIDATED 0x404
#define NPF_ENCRYPTED (1ul << 34)
#define MSR_GHCB 0xc0010130
#define C_BIT (1ul << 51)
#define RMP_VALIDATED (1ul << 62)
#define RMP_VMSA (1ul << 61)
#define NESTED_RESERVED (1ul << 50)
#define PTE_PRESENT_WRITE_USER 7ul
enum { VECTOR_VC = 29, GATE_PRESENT = 0x8e00 };

/* In the guest's memory, beside its code. */
enum { HANDLER = 0x9000, GUEST_GDT = 0xc000, GUEST_IDT = 0xd000 };
#define PAGE_A GUEST_SMALL
#define PAGE_B (GUEST_SMALL + PAGE_4K)

/* APM2 appendix B, table B-4: the VMSA, by offsets in 8-byte words. */
enum {
    VMSA_GDTR = 0x60 / 8,
    VMSA_IDTR = 0x80 / 8,
    VMSA_CR3 = 0x150 / 8,
    VMSA_RFLAGS = 0x170 / 8,
    VMSA_RIP = 0x178 / 8,
    VMSA_RSP = 0x1d8 / 8,
    VMSA_RAX = 0x1f8 / 8,
    VMSA_RCX = 0x308 / 8,
    VMSA_RBX = 0x318 / 8,
    VMSA_RSI = 0x330 / 8,
    VMSA_RDI = 0x338 / 8,
    VMSA_R15 = 0x378 / 8,
    VMSA_SEV_FEATURES = 0x3b0 / 8,
    VMSA_XCR0 = 0x3e8 / 8,
    COMMON_BYTES = 0x298
};

static struct svm_guest guest;
static uint64_t *vmsa;

#define VMGEXIT ".byte 0xf3, 0x0f, 0x01, 0xd9"
/* Pops the error code into RAX and the address of the instruction into RBX. */
SVM_CODE(code_handler, "pop %rax; pop %rbx; xor %edx, %edx; mov $0xc0010130, %ecx; wrmsr;" VMGEXIT);
SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_pause_hlt, "nop; pause; hlt");
SVM_CODE(code_cpuid, "nop; cpuid");
SVM_CODE(code_vmmcall, "nop; vmmcall");
SVM_CODE(code_out, "nop; out %al, $0x80");
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
SVM_CODE(code_pvalidate, "mov %rdi, %rax; xor %ecx, %ecx; mov $1, %edx;"
                         ".byte 0xf2, 0x0f, 0x01, 0xff; setc %bl; mov %rsi, (%rdi); hlt");
SVM_CODE(code_count, "1: incq (%rdi); cmpb $0, (%rsi); je 1b; hlt");

DEFINE_INSN(insn_store, "movq %%rcx, (%%rax)")

static const char *unmet(void)
{
    if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
        return "this CPU has no SVM";
    return snp_unmet();
}

static void put_code(uint64_t gpa, const struct svm_code *code)
{
    memcpy(svm_memory(&guest, gpa), code->start, (size_t)(code->end - code->start));
}

static void load(const struct svm_code *code)
{
    put_code(GUEST_CODE, code);
    memset(&vmsa[VMSA_RCX], 0, (VMSA_R15 + 1 - VMSA_RCX) * 8);
    vmsa[VMSA_RIP] = GUEST_CODE;
    vmsa[VMSA_RSP] = GUEST_STACK_TOP;
    vmsa[VMSA_RAX] = 0;
    vmsa[VMSA_RFLAGS] = 2;
    guest.vmcb->exit_code = 0x5a5a;
}

/* A #VMEXIT loads FS, GS, TR and LDTR from the host's save area, where VMSAVE puts them. */
static uint64_t run(void)
{
    EXPECT_NO_TRAP(insn_vmsave(rdmsr(MSR_VM_HSAVE_PA), 0, 0));
    return svm_run(&guest);
}

static uint64_t run_at(const struct svm_code *code, uint64_t rdi)
{
    load(code);
    vmsa[VMSA_RDI] = rdi;
    vmsa[VMSA_RSI] = 0x1122334455667788;
    return run();
}

static uint64_t ghcb(void)
{
    return *(uint64_t *)((uint64_t)guest.vmcb + 0xa0);
}

static void expect_vc(uint64_t error_code)
{
    EXPECT_EQ(guest.vmcb->exit_code, EXIT_VMGEXIT);
    EXPECT_EQ(ghcb(), error_code);
    EXPECT_EQ(vmsa[VMSA_RBX], GUEST_CODE + 1);
}

static void put_descriptor_tables(void)
{
    uint64_t *gdt = svm_memory(&guest, GUEST_GDT);
    uint64_t *gate = (uint64_t *)svm_memory(&guest, GUEST_IDT) + 2 * VECTOR_VC;

    gdt[SELECTOR_CODE64 / 8] = 0x00af9b000000ffff;
    gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
    gate[0] = HANDLER | (uint64_t)SELECTOR_CODE64 << 16 | (uint64_t)GATE_PRESENT << 32;
    vmsa[VMSA_GDTR] = 0xffful << 32;
    vmsa[VMSA_GDTR + 1] = GUEST_GDT;
    vmsa[VMSA_IDTR] = 0xffful << 32;
    vmsa[VMSA_IDTR + 1] = GUEST_IDT;
    put_code(HANDLER, &code_handler);
}

static void create(const void *unused)
{
    (void)unused;
    snp_enable();
    svm_enable();
    svm_create(&guest);
    vmsa = (uint64_t *)(allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K);
    memcpy(vmsa, (uint8_t *)guest.vmcb + 0x400, COMMON_BYTES);
    vmsa[VMSA_XCR0] = 1;
    put_descriptor_tables();
    guest.vmcb->nested_control = NESTED_PAGING | NESTED_SEV | NESTED_SEV_ES;
    guest.vmcb->vmsa = (uint64_t)vmsa;
    load(&code_hlt);
    EXPECT_EQ(run(), EXIT_HLT);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
}

static void automatic_exits(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_hlt, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 2);
    guest.vmcb->intercept_misc1 |= 1u << 23; /* PAUSE */
    EXPECT_EQ(run_at(&code_pause_hlt, 0), 0x77);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 3);
    guest.vmcb->intercept_misc1 &= ~(1u << 23);
}

static void registers_are_in_the_vmsa(const void *unused)
{
    static uint8_t before[COMMON_BYTES];
    const uint64_t *word = (uint64_t *)&guest.registers;
    (void)unused;

    load(&code_registers);
    for (unsigned i = VMSA_RCX; i <= VMSA_R15; i++)
        vmsa[i] = i * 0x1000;
    vmsa[VMSA_RAX] = 0xfff;
    memcpy(before, (uint8_t *)guest.vmcb + 0x400, sizeof(before));
    EXPECT_EQ(run(), EXIT_HLT);
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

    load(&code_registers);
    vmsa[VMSA_RCX] = 0x1234;
    memcpy(before, vmsa, sizeof(before));
    guest.vmcb->intercept_misc2 &= ~1u; /* VMRUN */
    EXPECT_EQ(run(), EXIT_INVALID);
    EXPECT_EQ(guest.registers.rcx, 0);
    guest.vmcb->intercept_misc2 |= 1;
    EXPECT_EQ(memcmp(before, vmsa, sizeof(before)), 0);
    vmsa[cr4] |= 1ul << 63;
    EXPECT_EQ(run(), EXIT_INVALID);
    EXPECT_EQ(vmsa[VMSA_RCX], 0x1234);
    vmsa[cr4] &= ~(1ul << 63);

    plain = *guest.vmcb;
    guest.vmcb->nested_control = NESTED_PAGING;
    svm_load(&guest, &code_cpuid);
    EXPECT_EQ(svm_run(&guest), EXIT_CPUID);
    *guest.vmcb = plain;
    EXPECT_EQ(run_at(&code_hlt, 0), EXIT_HLT);
}

static void exits_become_vc(const void *unused)
{
    (void)unused;
    run_at(&code_cpuid, 0);
    expect_vc(EXIT_CPUID);
    run_at(&code_vmmcall, 0);
    expect_vc(EXIT_VMMCALL);
    run_at(&code_out, 0);
    expect_vc(EXIT_IOIO);
    run_at(&code_ud2, 0);
    expect_vc(EXIT_EXCEPTION(VECTOR_UD));
}

static void nested_faults(const void *unused)
{
    uint64_t *entry = svm_nested_entry(&guest, PAGE_A), whole = *entry;
    (void)unused;

    *entry = 0;
    EXPECT_EQ(run_at(&code_load, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | PF_USER);
    EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A);
    EXPECT_EQ(vmsa[VMSA_RIP], GUEST_CODE + 1);
    *entry = whole | NESTED_RESERVED;
    run_at(&code_load, PAGE_A);
    expect_vc(EXIT_NPF);
    *entry = whole;
    EXPECT_EQ(run_at(&code_load, PAGE_A), EXIT_HLT);
}

static void cr3_keeps_its_c_bit(const void *unused)
{
    (void)unused;
    load(&code_cr3);
    vmsa[VMSA_CR3] |= C_BIT;
    vmsa[VMSA_RSI] = vmsa[VMSA_CR3] ^ C_BIT;
    EXPECT_EQ(run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], GUEST_TABLES | C_BIT);
    EXPECT_EQ(vmsa[VMSA_RCX], GUEST_TABLES);
    EXPECT_EQ(vmsa[VMSA_CR3], GUEST_TABLES);
}

static void msrs_of_the_guest(const void *unused)
{
    (void)unused;
    *(uint64_t *)((uint64_t)guest.vmcb + 0xa0) = 0x12345000;
    EXPECT_EQ(run_at(&code_ghcb, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RBX], 0x12345000);
    EXPECT_EQ(vmsa[VMSA_RAX], vmsa[VMSA_SEV_FEATURES] & 1 ? 7 : 3);
}

/* RMPUPDATE in a guest returns FAIL_PERMISSION. */
static void rmpupdate_in_the_guest(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_rmpupdate, 0), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], RMP_FAIL_PERMISSION);
}

static uint64_t *raw_entry(uint64_t spa)
{
    return (uint64_t *)rmp_entry_address(spa);
}

/* What firmware does at launch. */
static void give_to_guest(uint64_t spa, uint64_t gpa, uint64_t flags)
{
    REQUIRE_EQ(rmp_assign(spa, RMP_PAGE_4K, guest.vmcb->asid, gpa), RMP_SUCCESS);
    *raw_entry(spa) |= flags;
}

static uint64_t *guest_entry(uint64_t gpa)
{
    return (uint64_t *)svm_memory(&guest, GUEST_LEVEL1) + (gpa - GUEST_SMALL) / PAGE_4K;
}

static void load_snp(const struct svm_code *code, uint64_t rdi)
{
    uint64_t code_page = guest.memory + GUEST_CODE;

    REQUIRE_EQ(rmp_unassign(code_page, RMP_PAGE_4K), RMP_SUCCESS);
    REQUIRE_EQ(rmp_unassign((uint64_t)vmsa, RMP_PAGE_4K), RMP_SUCCESS);
    load(code);
    vmsa[VMSA_RDI] = rdi;
    vmsa[VMSA_RSI] = 0x1122334455667788;
    give_to_guest(code_page, GUEST_CODE, RMP_VALIDATED);
    give_to_guest((uint64_t)vmsa, 0xfffffffff000, RMP_VMSA);
}

static uint64_t run_snp(const struct svm_code *code, uint64_t rdi)
{
    load_snp(code, rdi);
    return run();
}

/* The first 2 MiB are private, with the tables and the code; so are A and B. */
static void become_snp(const void *unused)
{
    uint64_t *level2 = svm_memory(&guest, GUEST_TABLES + 2 * PAGE_4K);
    (void)unused;

    level2[0] |= C_BIT;
    *guest_entry(PAGE_A) |= C_BIT;
    *guest_entry(PAGE_B) |= C_BIT;
    vmsa[VMSA_SEV_FEATURES] = 1;
    for (uint64_t gpa = 0; gpa < PAGE_2M; gpa += PAGE_4K)
        give_to_guest(guest.memory + gpa, gpa, RMP_VALIDATED);
    give_to_guest(guest.memory + PAGE_A, PAGE_A, RMP_VALIDATED);
    give_to_guest(guest.memory + PAGE_B, PAGE_B, RMP_VALIDATED);
    give_to_guest((uint64_t)vmsa, 0xfffffffff000, RMP_VMSA);
    EXPECT_EQ(run_snp(&code_hlt, 0), EXIT_HLT);
    EXPECT_EQ(run_snp(&code_ghcb, 0), EXIT_HLT);
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

    EXPECT_EQ(run_snp(&code_store, PAGE_A), EXIT_HLT);
    EXPECT_EQ(*page, 0x1122334455667788);
    expect_host_fault((uint64_t)page);
    EXPECT_EQ(*page, 0x1122334455667788);
    expect_host_fault((uint64_t)&vmsa[VMSA_RIP]);
}

static void pages_of_others(const void *unused)
{
    const uint64_t info = PF_PRESENT | PF_WRITE | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED;
    uint64_t a = guest.memory + PAGE_A, *entry = svm_nested_entry(&guest, PAGE_A), whole = *entry;
    (void)unused;

    REQUIRE_EQ(rmp_unassign(a, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(run_snp(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A);
    REQUIRE_EQ(rmp_assign(a, RMP_PAGE_4K, guest.vmcb->asid + 1, PAGE_A), RMP_SUCCESS);
    *raw_entry(a) |= RMP_VALIDATED;
    EXPECT_EQ(run_snp(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    REQUIRE_EQ(rmp_unassign(a, RMP_PAGE_4K), RMP_SUCCESS);
    give_to_guest(a, PAGE_A, RMP_VALIDATED);
    *entry = (guest.memory + PAGE_B) | PTE_PRESENT_WRITE_USER; /* B in the place of A */
    EXPECT_EQ(run_snp(&code_store, PAGE_A), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    *entry = whole;
    EXPECT_EQ(run_snp(&code_store, PAGE_A), EXIT_HLT);
}

static void pvalidate_makes_a_page_usable(const void *unused)
{
    uint64_t a = guest.memory + PAGE_A;
    (void)unused;

    REQUIRE_EQ(rmp_unassign(a, RMP_PAGE_4K), RMP_SUCCESS);
    give_to_guest(a, PAGE_A, 0);
    run_snp(&code_store, PAGE_A);
    expect_vc(VC_PAGE_NOT_VALIDATED);
    EXPECT_EQ(run_snp(&code_pvalidate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
    EXPECT_EQ(vmsa[VMSA_RBX] & 0xff, 0);
    EXPECT_EQ(*raw_entry(a) & RMP_VALIDATED, RMP_VALIDATED);
    EXPECT_EQ(run_snp(&code_pvalidate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RBX] & 0xff, 1); /* CF: it was */
}

static void run_on_other_cpu(void *exit)
{
    *(uint64_t *)exit = run();
}

/* While the guest counts in its page on CPU 1, each of this CPU's stores to the page faults. */
static void enforced_while_the_guest_runs(const void *unused)
{
    enum { STORES = 2000 };
    volatile uint64_t *counter = svm_memory(&guest, PAGE_A);
    volatile uint8_t *stop = svm_memory(&guest, PAGE_B + PAGE_4K); /* shared */
    static uint64_t exit;
    uint64_t first, faults = 0;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    *stop = 0;
    load_snp(&code_count, PAGE_A);
    REQUIRE_EQ(rmp_unassign((uint64_t)vmsa, RMP_PAGE_4K), RMP_SUCCESS);
    vmsa[VMSA_RSI] = PAGE_B + PAGE_4K;
    give_to_guest((uint64_t)vmsa, 0xfffffffff000, RMP_VMSA);
    first = *counter;
    start_on_cpu(1, run_on_other_cpu, &exit);
    while (*counter == first)
        cpu_relax();
    for (unsigned i = 0; i < STORES; i++)
        faults += insn_store((uint64_t)counter, 0, 0).vector == VECTOR_PF;
    first = *counter;
    while (*counter == first)
        cpu_relax();
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
    TEST(nested_faults, "APM2 15.35.4: #VMEXIT(NPF), #VC with reserved bits"),
    TEST(cr3_keeps_its_c_bit, "APM2 15.34.7: the C-bit of CR3"),
    TEST(msrs_of_the_guest, "APM2 15.34.10, 15.35.7: SEV_STATUS, GHCB"),
    TEST(rmpupdate_in_the_guest, "APM3 RMPUPDATE: not in hypervisor mode"),
    TEST(become_snp, "APM2 15.36.12: VMRUN of an SNP guest"),
    TEST(private_pages_are_the_guests, "APM2 table 15-39: the guest's pages"),
    TEST(pages_of_others, "APM2 15.36.10: unassigned, another ASID, another address"),
    TEST(pvalidate_makes_a_page_usable, "APM2 15.36.6: validation"),
    TEST(enforced_while_the_guest_runs, "APM2 15.36.10: host writes beside a running guest"),
};
TEST_SUITE_IF(cases, unmet);
