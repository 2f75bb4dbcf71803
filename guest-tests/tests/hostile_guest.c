// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SNP guests that attack their host or the machine: without a way to handle #VC, with requests that
 * make no sense, with pages of others, with random instructions. The guest is stopped or goes on,
 * as the manual says, and no memory of the host's changes. --append seed=N draws other
 * instructions.
 */
#include "encrypted_guest.h"
#include "runtime.h"

#define PTE_PRESENT_WRITE_USER 7ul
#define ALL_RMP (PF_PRESENT | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED)
enum { PVALIDATE_FAIL_SIZEMISMATCH = 6 };

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_cpuid, "nop; cpuid");
SVM_CODE(code_to_cr10, "nop; .byte 0x44, 0x0f, 0x22, 0xd0");
SVM_CODE(code_to_cr1, "nop; .byte 0x0f, 0x22, 0xc8");
SVM_CODE(code_from_cr15, "nop; .byte 0x44, 0x0f, 0x20, 0xf8");
SVM_CODE(code_request, "mov %rdi, %rax; mov %rdi, %rdx; shr $32, %rdx; mov $0xc0010130, %ecx;"
                       "wrmsr;" VMGEXIT "hlt");
SVM_CODE(code_storm, "1: inc %rdi;" VMGEXIT "jmp 1b");
/* RBX has the size, R8 what RDX is to be. */
SVM_CODE(code_pvalidate, "mov %rdi, %rax; mov %ebx, %ecx; mov %r8, %rdx;" PVALIDATE "hlt");
SVM_CODE(code_rmpadjust, "mov %rdi, %rax; mov %ebx, %ecx; mov %r8, %rdx;" RMPADJUST "hlt");

#define PAGE_NOBODY (PAGE_SHARED + PAGE_4K)

/* Pages around the guest's memory and the VMSA, in the order in which the host allocated them. */
enum { GUARD_BYTES = PAGE_2M };
static uint64_t guards[2];

static void fill_guards(void)
{
    for (unsigned g = 0; g < 2; g++)
        for (unsigned i = 0; i < GUARD_BYTES / 8; i++)
            ((uint64_t *)guards[g])[i] = i * 0x9e3779b97f4a7c15 + g;
}

static void expect_guards_unchanged(void)
{
    unsigned changed = 0;

    for (unsigned g = 0; g < 2; g++)
        for (unsigned i = 0; i < GUARD_BYTES / 8; i++)
            changed += ((uint64_t *)guards[g])[i] != i * 0x9e3779b97f4a7c15 + g;
    EXPECT_EQ(changed, 0);
}

/* The guest still runs, and the host is unharmed. */
static void expect_all_well(void)
{
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
    expect_guards_unchanged();
}

static void create(const void *unused)
{
    (void)unused;
    guards[0] = allocate_or_fail(GUARD_BYTES, PAGE_2M);
    encrypted_guest_create();
    guards[1] = allocate_or_fail(GUARD_BYTES, PAGE_2M);
    *guest_entry(PAGE_NOBODY) |= C_BIT; /* private for the guest, but not assigned to it */
    encrypted_guest_become_snp();
    fill_guards();
    expect_all_well();
}

static uint64_t run_with(const struct svm_code *code, unsigned field, uint64_t value)
{
    encrypted_guest_load(code, 0);
    open_vmsa();
    vmsa[field] = value;
    close_vmsa();
    return encrypted_guest_run();
}

/* Each exception is intercepted, and so is what the delivery of #VC leads to. */
static void vc_cannot_be_delivered(const void *unused)
{
    uint64_t idt = vmsa[VMSA_IDTR];
    (void)unused;

    EXPECT_EQ(run_with(&code_cpuid, VMSA_IDTR, 0), EXIT_SHUTDOWN);
    guest.vmcb->intercept_exceptions = 0;
    EXPECT_EQ(run_with(&code_cpuid, VMSA_IDTR, 0), EXIT_SHUTDOWN);
    guest.vmcb->intercept_exceptions = 1u << VECTOR_GP;
    EXPECT_EQ(run_with(&code_cpuid, VMSA_IDTR, 0), EXIT_SHUTDOWN);
    guest.vmcb->intercept_exceptions = ~0u;
    EXPECT_EQ(run_with(&code_cpuid, VMSA_IDTR, idt), EXIT_VMGEXIT);

    EXPECT_EQ(run_with(&code_cpuid, VMSA_RSP, 1ul << 40), EXIT_SHUTDOWN); /* #PF */
    EXPECT_EQ(run_with(&code_cpuid, VMSA_RSP, 1ul << 60), EXIT_SHUTDOWN); /* #SS */
    expect_all_well();
}

/* #DF, when it is not intercepted, has a handler. */
static void double_fault_has_a_handler(const void *unused)
{
    uint64_t page = guest.memory + GUEST_IDT, *idt = (uint64_t *)page, vc;
    (void)unused;

    take_from_guest(page);
    vc = idt[2 * 29];
    idt[2 * VECTOR_DF] = vc; /* the error code of #DF is 0 */
    idt[2 * 29] = 0;
    give_to_guest(page, GUEST_IDT, RMP_VALIDATED);
    guest.vmcb->intercept_exceptions = ~(1u << VECTOR_DF);
    run_encrypted(&code_cpuid, 0);
    expect_vc(0);
    guest.vmcb->intercept_exceptions = ~0u;
    EXPECT_EQ(run_encrypted(&code_cpuid, 0), EXIT_SHUTDOWN);
    take_from_guest(page);
    idt[2 * VECTOR_DF] = 0;
    idt[2 * 29] = vc;
    give_to_guest(page, GUEST_IDT, RMP_VALIDATED);
    expect_all_well();
}

/*
 * In protected mode without paging the stack has any alignment. The error code of #VC begins at the
 * end of A and ends in B, which lie apart in memory; the page behind A is the host's.
 */
static void error_code_across_pages(const void *unused)
{
    enum { CODE32 = 0xc9b, GATE32 = GUEST_IDT + 0x800, PROTECTED = 0x31, PLACE = 16 };
    static uint64_t saved[VMSA_COMMON_BYTES / 8];
    uint64_t apart = guest.memory + PAGE_SHARED + PLACE * PAGE_4K, idt = guest.memory + GUEST_IDT;
    uint64_t *nested = svm_nested_entry(&guest, PAGE_A), whole = *nested;
    uint8_t *host = (uint8_t *)apart + PAGE_4K, *b = svm_memory(&guest, PAGE_B);
    (void)unused;

    take_from_guest(idt);
    *(uint64_t *)(guest.memory + GATE32 + 8 * 29) =
        GUEST_HANDLER | SELECTOR_CODE32 << 16 | 0x8e00ul << 32;
    give_to_guest(idt, GUEST_IDT, RMP_VALIDATED);
    take_from_guest((uint64_t)b);
    memset(host, 0xff, 8);
    memset(b, 0xff, 8);
    give_to_guest((uint64_t)b, PAGE_B, RMP_VALIDATED);
    give_to_guest(apart, PAGE_A, RMP_VALIDATED);
    *nested = apart | PTE_PRESENT_WRITE_USER;

    encrypted_guest_load(&code_cpuid, 0);
    open_vmsa();
    memcpy(saved, vmsa, sizeof(saved));
    vmsa[VMSA_CS] = SELECTOR_CODE32 | CODE32 << 16 | 0xfffffffful << 32;
    vmsa[VMSA_EFER] = EFER_SVME;
    vmsa[VMSA_CR0] = PROTECTED;
    vmsa[VMSA_CR4] = 0;
    vmsa[VMSA_IDTR + 1] = GATE32;
    vmsa[VMSA_RSP] = PAGE_B + 2 + 3 * 4;
    close_vmsa();
    encrypted_guest_run();
    EXPECT_EQ(guest.vmcb->exit_code, EXIT_VMGEXIT);
    EXPECT_EQ(guest.vmcb->ghcb, EXIT_CPUID);
    take_from_guest(apart);
    take_from_guest((uint64_t)b);
    EXPECT_EQ(host[-2], EXIT_CPUID);
    EXPECT_EQ(b[0] | b[1], 0);
    EXPECT_EQ(host[0] & host[1] & host[2], 0xff);
    give_to_guest((uint64_t)b, PAGE_B, RMP_VALIDATED);

    open_vmsa();
    memcpy(vmsa, saved, sizeof(saved));
    close_vmsa();
    *nested = whole;
    expect_all_well();
}

static void set_segments(uint64_t code_attributes, uint64_t data_attributes, unsigned cpl)
{
    vmsa[VMSA_CS] = (SELECTOR_CODE64 | cpl) | code_attributes << 16 | 0xfffffffful << 32;
    vmsa[VMSA_SS] = (SELECTOR_DATA | cpl) | data_attributes << 16 | 0xfffffffful << 32;
    ((uint8_t *)vmsa)[VMSA_CPL] = (uint8_t)cpl;
}

/* An exception of a program needs a stack from the task-state segment, which is not there. */
static void program_without_task_state(const void *unused)
{
    uint64_t code = vmsa[VMSA_CS], stack = vmsa[VMSA_SS];
    (void)unused;

    encrypted_guest_load(&code_cpuid, 0);
    open_vmsa();
    set_segments(0xafb, 0xcf3, 3);
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_SHUTDOWN);
    open_vmsa();
    set_segments(0, 0, 0);
    vmsa[VMSA_CS] = code;
    vmsa[VMSA_SS] = stack;
    close_vmsa();
    expect_all_well();
}

static void registers_that_do_not_exist(const void *unused)
{
    const struct svm_code *codes[] = {&code_to_cr10, &code_to_cr1, &code_from_cr15};
    (void)unused;

    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        run_encrypted(codes[i], 0);
        expect_vc(EXIT_EXCEPTION(VECTOR_UD));
    }
    expect_all_well();
}

/* The host gets whatever the guest has put there, and nothing else happens. */
static void requests_that_make_no_sense(const void *unused)
{
    const uint64_t values[] = {0,
                               ~0ul,
                               1,
                               0xfff,
                               PAGE_A,
                               PAGE_SHARED + 1,
                               (uint64_t)guest.vmcb,
                               (uint64_t)vmsa,
                               guest.nested,
                               1ul << 51,
                               1ul << 40,
                               1ul << 63,
                               0x100 | 0xfful << 16,
                               0x14 | ~0ul << 12,
                               0xdeadbeefcafef00d};
    (void)unused;
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        EXPECT_EQ(run_encrypted(&code_request, values[i]), EXIT_VMGEXIT);
        EXPECT_EQ(guest.vmcb->ghcb, values[i]);
        EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    }
    expect_all_well();
}

static void storm(const void *unused)
{
    enum { EXITS = 100000 };
    unsigned others = 0;
    (void)unused;

    encrypted_guest_load(&code_storm, 0);
    for (unsigned i = 0; i < EXITS; i++)
        others += svm_run(&guest) != EXIT_VMGEXIT;
    EXPECT_EQ(others, 0);
    EXPECT_EQ(vmsa[VMSA_RDI], EXITS);
    expect_all_well();
}

struct operands {
    uint64_t rax, size, rdx;
};

static uint64_t execute(const struct svm_code *code, struct operands o)
{
    encrypted_guest_load(code, o.rax);
    open_vmsa();
    vmsa[VMSA_RBX] = o.size;
    vmsa[VMSA_R8] = o.rdx;
    close_vmsa();
    return encrypted_guest_run();
}

static void expect_status(const struct svm_code *code, struct operands o, uint64_t status)
{
    EXPECT_EQ(execute(code, o), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], status);
}

static void expect_fault(const struct svm_code *code, struct operands o, uint64_t info,
                         uint64_t gpa)
{
    EXPECT_EQ(execute(code, o), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, info);
    EXPECT_EQ(guest.vmcb->exit_info2, gpa);
}

/* What both instructions must leave alone: pages of nobody, of another guest, of another address,
 * addresses without memory. */
static void expect_foreign_pages_refused(const struct svm_code *code, uint64_t rdx)
{
    const struct operands page = {PAGE_A, 0, rdx};
    uint64_t a = guest.memory + PAGE_A, *nested = svm_nested_entry(&guest, PAGE_A), whole = *nested;
    uint64_t entry;

    take_from_guest(a);
    expect_fault(code, page, ALL_RMP, PAGE_A);
    EXPECT_EQ(rmp_lookup(a).assigned, 0);

    REQUIRE_EQ(rmp_assign(a, RMP_PAGE_4K, guest.vmcb->asid + 1, PAGE_A), RMP_SUCCESS);
    entry = *raw_rmp_entry(a);
    expect_fault(code, page, ALL_RMP, PAGE_A);
    EXPECT_EQ(*raw_rmp_entry(a), entry);

    take_from_guest(a);
    give_to_guest(a, PAGE_B, 0);
    entry = *raw_rmp_entry(a);
    expect_fault(code, page, ALL_RMP, PAGE_A);
    EXPECT_EQ(*raw_rmp_entry(a), entry);

    take_from_guest(a);
    give_to_guest(a, PAGE_A, RMP_VALIDATED);
    *nested = 0;
    expect_fault(code, page, PF_USER | NPF_FINAL | NPF_ENCRYPTED, PAGE_A);
    *nested = whole;
    expect_fault(code, (struct operands){PAGE_SHARED, 0, rdx}, ALL_RMP & ~NPF_ENCRYPTED,
                 PAGE_SHARED);
    execute(code, (struct operands){1ul << 60, 0, rdx});
    EXPECT_EQ(guest.vmcb->exit_code, EXIT_VMGEXIT);
    EXPECT_EQ(guest.vmcb->ghcb, EXIT_EXCEPTION(VECTOR_GP));
    execute(code, (struct operands){1ul << 40, 0, rdx});
    EXPECT_EQ(guest.vmcb->ghcb, EXIT_EXCEPTION(VECTOR_PF));
    expect_all_well();
}

static void pvalidate_of_foreign_pages(const void *unused)
{
    (void)unused;
    expect_foreign_pages_refused(&code_pvalidate, 1);
    expect_foreign_pages_refused(&code_pvalidate, 0);
    expect_status(&code_pvalidate, (struct operands){PAGE_A + 8, 0, 1}, RMP_FAIL_INPUT);
    expect_status(&code_pvalidate, (struct operands){PAGE_B, 1, 1}, RMP_FAIL_INPUT);
    expect_status(&code_pvalidate, (struct operands){PAGE_A, 2, 1}, RMP_FAIL_INPUT);
    expect_status(&code_pvalidate, (struct operands){PAGE_A, 1, 1}, PVALIDATE_FAIL_SIZEMISMATCH);
    expect_all_well();
}

static void rmpadjust_of_foreign_pages(const void *unused)
{
    const uint64_t vmpl1 = 1 | VMPL_ALL << 8;
    (void)unused;

    expect_foreign_pages_refused(&code_rmpadjust, vmpl1);
    expect_status(&code_rmpadjust, (struct operands){PAGE_A, 0, VMPL_ALL << 8},
                  RMP_FAIL_PERMISSION);
    expect_status(&code_rmpadjust, (struct operands){PAGE_A, 0, vmpl1 | 16 << 8},
                  RMP_FAIL_PERMISSION);
    expect_status(&code_rmpadjust, (struct operands){PAGE_A, 0, 4 | VMPL_ALL << 8}, RMP_FAIL_INPUT);
    expect_status(&code_rmpadjust, (struct operands){PAGE_A, 2, vmpl1}, RMP_FAIL_INPUT);
    expect_status(&code_rmpadjust, (struct operands){PAGE_A, 0, vmpl1}, RMP_SUCCESS);
    EXPECT_EQ(raw_rmp_entry(guest.memory + PAGE_A)[1], VMPL_ALL | VMPL_ALL << 8);
    expect_all_well();
}

/* Random instructions. */

/* Tells the host, then goes on one byte behind the beginning of the instruction. */
SVM_CODE(code_skip, VMGEXIT "add $8, %rsp; incq (%rsp); iretq");

/* Beginnings of instructions that concern the machine. */
static const uint8_t beginnings[][4] = {
    {0x0f, 0x01},
    {0xf2, 0x0f, 0x01},
    {0xf3, 0x0f, 0x01},
    {0x0f, 0x01, 0xd9},
    {0x0f, 0x20},
    {0x0f, 0x22},
    {0x0f, 0x21},
    {0x0f, 0x23},
    {0x0f, 0x30},
    {0x0f, 0x32},
    {0x0f, 0x00},
    {0x0f, 0xc7},
    {0x0f, 0xae},
    {0xcd},
    {0xcf},
    {0xf4},
    {0x0f, 0x05},
    {0x0f, 0x07},
    {0x0f, 0xa2},
    {0xff},
    {0xf2, 0x0f, 0x01, 0xff},
    {0xf3, 0x0f, 0x01, 0xfe},
    {0x8e},
    {0x48, 0xcf},
    {0x0f, 0x06},
    {0xfb},
    {0x0f, 0x09},
    {0x0f, 0x31},
};

static void draw_code(uint8_t *page)
{
    unsigned length = 16 + random_number() % 48, i = 0;

    memset(page, 0xf4, PAGE_4K);
    while (i < length) {
        const uint8_t *beginning = beginnings[random_number() % (sizeof(beginnings) / 4)];
        for (unsigned k = 0; random_number() % 2 && k < 4 && (k == 0 || beginning[k]); k++)
            page[i++] = beginning[k];
        for (unsigned k = random_number() % 6; k; k--)
            page[i++] = (uint8_t)random_number();
    }
}

static uint64_t draw_value(void)
{
    switch (random_number() % 6) {
    case 0:
        return random_number();
    case 1:
        return random_number() % GUEST_MEMORY;
    case 2:
        return random_number() % 16 * PAGE_4K;
    case 3:
        return 0xc0000080 + random_number() % 8 + random_number() % 2 * 0x100b0;
    case 4:
        return random_number() % 32;
    default:
        return PAGE_A + random_number() % 4 * PAGE_4K;
    }
}

/* Mostly 64-bit mode; else all others that a guest can be in, and any bits of CR4. */
static void draw_mode(void)
{
    enum { PROTECTED = 0x31, PAGED = 1u << 31, CODE16 = 0x9b, CODE32 = 0xc9b, DATA = 0xc93 };

    switch (random_number() % 12) {
    case 0: /* compatibility mode */
        set_segments(CODE32, DATA, 0);
        break;
    case 1: /* without paging */
        set_segments(CODE32, DATA, 0);
        vmsa[VMSA_CR0] = PROTECTED;
        vmsa[VMSA_EFER] = EFER_SVME;
        break;
    case 2: /* real mode */
        set_segments(CODE16, 0x93, 0);
        vmsa[VMSA_CR0] = PROTECTED & ~1ul;
        vmsa[VMSA_EFER] = EFER_SVME;
        break;
    case 3: /* a program */
        set_segments(0xafb, 0xcf3, 3);
        break;
    case 4: /* the same tables, in the form of PAE */
        set_segments(CODE32, DATA, 0);
        vmsa[VMSA_EFER] = EFER_SVME;
        vmsa[VMSA_CR3] += random_number() % 4 * PAGE_4K;
        break;
    case 5: /* and of 32-bit paging */
        set_segments(CODE32, DATA, 0);
        vmsa[VMSA_EFER] = EFER_SVME;
        vmsa[VMSA_CR4] &= ~0x20ul;
        vmsa[VMSA_CR3] += random_number() % 4 * PAGE_4K;
        break;
    case 6:
        vmsa[VMSA_CR4] ^= 1ul << random_number() % 24;
        break;
    }
}

static void draw_guest(void)
{
    uint64_t code = guest.memory + GUEST_CODE;

    encrypted_guest_restore();
    take_from_guest(code);
    draw_code((uint8_t *)code);
    give_to_guest(code, GUEST_CODE, RMP_VALIDATED);
    open_vmsa();
    for (unsigned r = VMSA_RCX; r <= VMSA_R15; r++)
        vmsa[r] = draw_value();
    vmsa[VMSA_RAX] = draw_value();
    if (random_number() % 8 == 0)
        vmsa[VMSA_RSP] = draw_value();
    draw_mode();
    vmsa[VMSA_RFLAGS] =
        2 | (random_number() % 4 ? 0 : random_number() & 0x40ed5); /* AC, flags of status and TF */
    close_vmsa();
}

/* What hypervisors intercept, or everything. Less would be the host's own mistake. */
static void draw_intercepts(struct vmcb *vmcb)
{
    const uint32_t usual = 0xbd00000fu | 1u << 22 | 1u << 26;
    bool everything = random_number() % 3 == 0;

    vmcb->intercept_misc1 = everything ? ~0u : usual;
    vmcb->intercept_misc2 = 0x7f7f | (random_number() % 2 ? 0xffff8000u : 0);
    vmcb->intercept_exceptions = random_number() % 2 ? ~0u : 1u << VECTOR_UD | 1u << 18;
    vmcb->intercept_cr = everything ? ~0u : 0;
    vmcb->intercept_dr = random_number() % 2 ? ~0u : 0;
}

static bool is_known_exit(uint64_t code)
{
    switch (code) {
    case EXIT_INTR:
    case EXIT_PAUSE:
    case EXIT_HLT:
    case EXIT_SHUTDOWN:
    case EXIT_NPF:
    case EXIT_VMGEXIT:
    case EXIT_INVALID:
        return true;
    }
    return code >= 0x8f && code <= 0x9f; /* write traps */
}

static void random_instructions(const void *unused)
{
    enum { PROGRAMS = 600, ENTRIES = 30, CONTROL_BYTES = 0x400 };
    uint64_t control = allocate_or_fail(PAGE_4K, PAGE_4K), counts[4] = {0};
    uint64_t handler = guest.memory + GUEST_HANDLER, exit;
    (void)unused;

    encrypted_guest_load(&code_hlt, 0);
    encrypted_guest_remember();
    memcpy((void *)control, guest.vmcb, CONTROL_BYTES);
    random_start();
    memset((void *)guest.msrpm, 0xff, 2 * PAGE_4K);
    for (unsigned i = 0; i < PROGRAMS && !case_failed(); i++) {
        draw_guest();
        take_from_guest(handler);
        encrypted_guest_put(GUEST_HANDLER, &code_skip);
        give_to_guest(handler, GUEST_HANDLER, RMP_VALIDATED);
        draw_intercepts(guest.vmcb);
        for (unsigned k = 0; k < ENTRIES; k++) {
            exit = encrypted_guest_run_briefly();
            if (!is_known_exit(exit)) {
                print("# program %u: exit %#lx at %#lx\n", i, exit, vmsa[VMSA_RIP]);
                EXPECT(is_known_exit(exit));
            }
            if (exit != EXIT_VMGEXIT && exit != EXIT_HLT && exit != EXIT_PAUSE)
                break;
            counts[0] += exit == EXIT_VMGEXIT;
        }
        counts[1] += exit == EXIT_NPF;
        counts[2] += exit == EXIT_SHUTDOWN;
        counts[3] += exit == EXIT_INTR;
        memcpy(guest.vmcb, (void *)control, CONTROL_BYTES);
    }
    print("# VMGEXIT %lu, nested page faults %lu, shutdown %lu, interrupt %lu\n", counts[0],
          counts[1], counts[2], counts[3]);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(counts[i] != 0);
    memset((void *)guest.msrpm, 0, 2 * PAGE_4K);
    encrypted_guest_restore();
    expect_all_well();
}

/* Without encrypted registers, each exit is the host's, and it is told of the instruction. */
static void random_instructions_of_an_sev_guest(const void *unused)
{
    enum { PROGRAMS = 1500, FIRST_BYTES = 16 * PAGE_4K };
    static struct svm_guest plain;
    struct vmcb *saved = (struct vmcb *)allocate_or_fail(PAGE_4K, PAGE_4K);
    uint64_t pages = allocate_or_fail(FIRST_BYTES, PAGE_4K), odd = 0, skipped = 0;
    (void)unused;

    svm_create(&plain);
    plain.vmcb->nested_control = NESTED_PAGING | NESTED_SEV;
    memset((void *)plain.msrpm, 0xff, 2 * PAGE_4K);
    svm_load(&plain, &code_hlt);
    *saved = *plain.vmcb;
    memcpy((void *)pages, (void *)plain.memory, FIRST_BYTES);
    svm_host_state = allocate_or_fail(PAGE_4K, PAGE_4K);
    EXPECT_NO_TRAP(insn_vmsave(svm_host_state, 0, 0));
    random_start();
    interrupt_regularly(1000000);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        uint64_t *word = (uint64_t *)&plain.registers, exit;

        memcpy((void *)plain.memory, (void *)pages, FIRST_BYTES);
        draw_code(svm_memory(&plain, GUEST_CODE));
        *plain.vmcb = *saved;
        draw_intercepts(plain.vmcb);
        plain.vmcb->interrupt_control |= 1ul << 24; /* the host's IF counts for interrupts */
        plain.vmcb->rax = draw_value();
        for (unsigned r = 0; r < sizeof(plain.registers) / 8; r++)
            word[r] = draw_value();
        __asm__ volatile("sti" ::: "memory");
        exit = svm_run(&plain);
        __asm__ volatile("cli" ::: "memory");
        odd += exit > EXIT_NPF && exit != EXIT_INVALID;
        skipped +=
            plain.vmcb->next_rip > plain.vmcb->rip && plain.vmcb->next_rip <= plain.vmcb->rip + 15;
    }
    interrupt_regularly(0);
    svm_host_state = 0;
    EXPECT_EQ(odd, 0);
    EXPECT(skipped > PROGRAMS / 10);
    expect_all_well();
}

/* A guest makes the VMSA of its other CPUs itself, and so may put anything there. */
static void random_vmsa(const void *unused)
{
    enum { RUNS = 800, USED_BYTES = 0x670 };
    uint64_t ends = 0, others = 0;
    (void)unused;

    encrypted_guest_load(&code_cpuid, 0);
    encrypted_guest_remember();
    random_start();
    for (unsigned i = 0; i < RUNS; i++) {
        encrypted_guest_restore();
        open_vmsa();
        for (unsigned n = random_number() % 4 + 1; n; n--) {
            unsigned word = (unsigned)(random_number() % (USED_BYTES / 8));
            vmsa[word] =
                random_number() % 2 ? vmsa[word] ^ 1ul << random_number() % 64 : random_number();
        }
        vmsa[VMSA_SEV_FEATURES] = 1;
        close_vmsa();
        draw_intercepts(guest.vmcb);
        for (unsigned k = 0; k < 3; k++) {
            uint64_t exit = encrypted_guest_run_briefly();
            ends += exit == EXIT_INVALID || exit == EXIT_SHUTDOWN;
            others += exit == EXIT_VMGEXIT;
            if (exit != EXIT_VMGEXIT)
                break;
        }
    }
    print("# VMGEXIT %lu, invalid or shutdown %lu\n", others, ends);
    EXPECT(ends != 0);
    EXPECT(others != 0);
    guest.vmcb->intercept_exceptions = ~0u;
    encrypted_guest_restore();
    expect_all_well();
}

static const struct test_case cases[] = {
    TEST(create, "APM2 15.36.12: VMRUN of an SNP guest"),
    TEST(vc_cannot_be_delivered, "APM2 8.2.9: an exception within an exception; then a shutdown"),
    TEST(double_fault_has_a_handler, "APM2 8.2.9: double fault"),
    TEST(error_code_across_pages, "APM2 15.35.5: #VC has an error code, on any stack"),
    TEST(program_without_task_state, "APM2 12.2: #TS where there is no stack to switch to"),
    TEST(registers_that_do_not_exist, "APM3 MOV CRn: #UD"),
    TEST(requests_that_make_no_sense, "APM2 15.35.7: the GHCB MSR is the guest's to write"),
    TEST(storm, "APM2 15.35.6: VMGEXIT"),
    TEST(pvalidate_of_foreign_pages, "APM3 PVALIDATE: checks of the page"),
    TEST(rmpadjust_of_foreign_pages, "APM3 RMPADJUST: checks of page and VMPL"),
    TEST(random_instructions, "APM2 15.35: whatever a guest executes, it leaves or goes on"),
    TEST(random_instructions_of_an_sev_guest, "APM2 15.34: whatever a guest executes"),
    TEST(random_vmsa, "APM2 15.5.1: VMRUN with any registers"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
