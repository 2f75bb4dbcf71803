// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host that attacks its SNP guest: exchanges, moves and replays its pages, takes its VMSA,
 * injects events that make no sense, changes the VMCB at random, lies in shared memory. The guest
 * notices, is stopped, or goes on with its own data. --append seed=N draws other changes.
 */
#include "encrypted_guest.h"
#include "runtime.h"

#define PTE_PRESENT_WRITE_USER 7ul
#define PRIVATE_DENIED (PF_PRESENT | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED)
#define BEHIND_A (3 * PAGE_2M) /* the guest's table for this address is A */
#define SECRET_A 0xaaaa1111aaaa1111ul
#define SECRET_B 0xbbbb2222bbbb2222ul

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_load, "nop; mov (%rdi), %rax; hlt");
SVM_CODE(code_store, "nop; mov %rsi, (%rdi); hlt");
/* Asks, and then looks for the answer in the page at RDI. */
SVM_CODE(code_ask,
         "movq $5, (%rdi); mov $0xc0010130, %ecx; mov %edi, %eax; xor %edx, %edx; wrmsr;" VMGEXIT
         "mov (%rdi), %rax; mov 8(%rdi), %rbx; rdmsr; hlt");
SVM_CODE(code_count_twice,
         "mov $100000000, %ecx; 1: incq (%rdi); incq (%rsi); dec %ecx; jnz 1b; hlt");
SVM_CODE(code_jump, "jmp *%rdi");
SVM_CODE(code_cpuid, "nop; cpuid");
SVM_CODE(code_count, "1: inc %rax; dec %rdi; jnz 1b; hlt");

DEFINE_INSN(insn_store, "movq %%rcx, (%%rax)")

static uint64_t page_a, page_b;

static void set_secrets(void)
{
    take_from_guest(page_a);
    take_from_guest(page_b);
    *(uint64_t *)page_a = SECRET_A;
    *(uint64_t *)page_b = SECRET_B;
    give_to_guest(page_a, PAGE_A, RMP_VALIDATED);
    give_to_guest(page_b, PAGE_B, RMP_VALIDATED);
}

static void expect_secrets(void)
{
    EXPECT_EQ(run_encrypted(&code_load, PAGE_A), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], SECRET_A);
    EXPECT_EQ(run_encrypted(&code_load, PAGE_B), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], SECRET_B);
}

static void expect_denied(const struct svm_code *code, uint64_t gpa, uint64_t info)
{
    EXPECT_EQ(run_encrypted(code, gpa), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, PRIVATE_DENIED | info);
    EXPECT_EQ(guest.vmcb->exit_info2, gpa);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
}

static void create(const void *unused)
{
    (void)unused;
    encrypted_guest_create();
    ((uint64_t *)svm_memory(&guest, GUEST_TABLES + 2 * PAGE_4K))[BEHIND_A / PAGE_2M] =
        PAGE_A | C_BIT | PTE_PRESENT_WRITE_USER;
    encrypted_guest_become_snp();
    page_a = guest.memory + PAGE_A;
    page_b = guest.memory + PAGE_B;
    set_secrets();
    expect_secrets();
}

/* Two pages of the guest's change places in the nested tables. */
static void pages_change_places(const void *unused)
{
    uint64_t *a = svm_nested_entry(&guest, PAGE_A), *b = svm_nested_entry(&guest, PAGE_B);
    uint64_t whole_a = *a, whole_b = *b;
    (void)unused;

    *a = whole_b;
    *b = whole_a;
    expect_denied(&code_load, PAGE_A, 0);
    expect_denied(&code_load, PAGE_B, 0);
    expect_denied(&code_store, PAGE_A, PF_WRITE);
    *a = whole_a;
    *b = whole_b;
    expect_secrets();
}

/* The host reads a page, takes it, and puts what it has read at the same address again. */
static void page_is_replayed(const void *unused)
{
    (void)unused;
    take_from_guest(page_a);
    *(uint64_t *)page_a = SECRET_A;
    give_to_guest(page_a, PAGE_A, 0);
    run_encrypted(&code_load, PAGE_A);
    expect_vc(VC_PAGE_NOT_VALIDATED);
    take_from_guest(page_a);
    expect_denied(&code_load, PAGE_A, 0);
    give_to_guest(page_a, PAGE_A, RMP_VALIDATED);
    expect_secrets();
}

/* Another page of the host's, with or without an entry, at the address of one of the guest's. */
static void page_is_replaced(const void *unused)
{
    uint64_t *a = svm_nested_entry(&guest, PAGE_A), whole = *a;
    uint64_t page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    (void)unused;

    *(uint64_t *)page = 0x666;
    *a = page | PTE_PRESENT_WRITE_USER;
    expect_denied(&code_load, PAGE_A, 0);
    give_to_guest(page, PAGE_A, 0);
    run_encrypted(&code_load, PAGE_A);
    expect_vc(VC_PAGE_NOT_VALIDATED);
    take_from_guest(page);
    *a = 0xfffffff000ul | PTE_PRESENT_WRITE_USER; /* no memory */
    EXPECT_EQ(run_encrypted(&code_load, PAGE_A), EXIT_NPF);
    *a = whole;
    expect_secrets();
}

static void run_on_other_cpu(void *exit)
{
    *(uint64_t *)exit = encrypted_guest_run();
}

/* The guest counts in A on CPU 1. As soon as RMPUPDATE has taken A, it counts no more. */
static void page_is_taken_from_a_running_guest(const void *unused)
{
    enum { TIMES = 50 };
    volatile uint64_t *shared = svm_memory(&guest, PAGE_SHARED), *a = (uint64_t *)page_a;
    static uint64_t exit;
    (void)unused;

    if (cpu_count() < 2)
        SKIP("one CPU only");
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t seen;

        *shared = 0;
        encrypted_guest_load(&code_count_twice, PAGE_A);
        open_vmsa();
        vmsa[VMSA_RSI] = PAGE_SHARED;
        close_vmsa();
        start_on_cpu(1, run_on_other_cpu, &exit);
        while (*shared < i * 10 + 1)
            cpu_relax();
        EXPECT_EQ(rmp_unassign((uint64_t)vmsa, RMP_PAGE_4K), RMP_FAIL_INUSE);
        EXPECT_PF(insn_store((uint64_t)&vmsa[VMSA_RIP], 0, 0), (PF_PRESENT | PF_WRITE | PF_RMP),
                  (uint64_t)&vmsa[VMSA_RIP]);
        REQUIRE_EQ(rmp_unassign(page_a, RMP_PAGE_4K), RMP_SUCCESS);
        seen = *a;
        *a = ~seen;
        wait_for_cpu(1);
        EXPECT_EQ(*a, ~seen);
        EXPECT_EQ(exit, EXIT_NPF);
        EXPECT_EQ(guest.vmcb->exit_info1 | PF_WRITE, PRIVATE_DENIED | PF_WRITE);
        EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A);
        give_to_guest(page_a, PAGE_A, RMP_VALIDATED);
    }
    set_secrets();
    expect_secrets();
}

/* While the guest waits between two VMRUNs. */
static void vmsa_is_taken(const void *unused)
{
    uint64_t own = (uint64_t)vmsa, copy = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    uint32_t asid = guest.vmcb->asid;
    (void)unused;

    encrypted_guest_load(&code_hlt, 0);
    memcpy((void *)copy, vmsa, PAGE_4K);
    guest.vmcb->vmsa = copy; /* the host's */
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    give_to_guest(copy, VMSA_GPA, 0); /* no VMSA */
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    take_from_guest(copy);
    REQUIRE_EQ(rmp_assign(copy, RMP_PAGE_4K, asid + 1, VMSA_GPA), RMP_SUCCESS);
    *raw_rmp_entry(copy) |= RMP_VMSA; /* another guest's */
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    take_from_guest(copy);
    guest.vmcb->vmsa = own;
    guest.vmcb->asid = asid + 1;
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    guest.vmcb->asid = 0;
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    guest.vmcb->asid = asid;
    take_from_guest(own);
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID);
    close_vmsa();
    expect_secrets();
}

/* The guest takes what it reads in shared memory, and in the GHCB MSR, from the host. */
static void answers_are_lies(const void *unused)
{
    uint64_t *shared = svm_memory(&guest, PAGE_SHARED);
    (void)unused;

    EXPECT_EQ(run_encrypted(&code_ask, PAGE_SHARED), EXIT_VMGEXIT);
    EXPECT_EQ(guest.vmcb->ghcb, PAGE_SHARED);
    EXPECT_EQ(shared[0], 5);
    shared[0] = 0x1badc0de;
    shared[1] = ~0ul;
    guest.vmcb->ghcb = 0x123456789abcdef0;
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RBX], ~0ul);
    EXPECT_EQ(vmsa[VMSA_RDX] << 32 | (vmsa[VMSA_RAX] & 0xffffffff), 0x123456789abcdef0);
    expect_secrets();
}

/* Types that are reserved, and exceptions that are none. */
static bool is_impossible(unsigned type, unsigned vector)
{
    return type == 1 || type >= 5 || (type == 3 && (vector == 2 || vector > 31));
}

/* Every type and many vectors. The guest has one gate, that of #VC. */
static void events_that_make_no_sense(const void *unused)
{
    static const uint8_t vectors[] = {0, 1, 2, 3, 8, 13, 14, 18, 29, 30, 32, 0x80, 0xff};
    (void)unused;

    for (unsigned type = 0; type < 8; type++) {
        for (unsigned i = 0; i < 2 * sizeof(vectors); i++) {
            uint64_t exit, event = 1ul << 31 | type << 8 | vectors[i / 2] | (i % 2) << 11;
            encrypted_guest_load(&code_hlt, 0);
            guest.vmcb->event_injection = event | 0xabcdul << 32;
            exit = encrypted_guest_run();
            guest.vmcb->event_injection = 0;
            EXPECT_EQ(exit, is_impossible(type, vectors[i / 2]) ? EXIT_INVALID : EXIT_VMGEXIT);
        }
    }
    expect_secrets();
}

/* It is read and written, it is code, a stack, a table. */
static void use_page(void)
{
    const struct svm_code *codes[] = {&code_store, &code_load, &code_jump};

    for (unsigned i = 0; i < 3; i++) {
        encrypted_guest_load(codes[i], PAGE_A);
        encrypted_guest_run_briefly();
    }
    encrypted_guest_load(&code_cpuid, 0);
    open_vmsa();
    vmsa[VMSA_RSP] = PAGE_A + 0x800;
    close_vmsa();
    encrypted_guest_run_briefly();
    run_encrypted(&code_load, BEHIND_A);
    encrypted_guest_restore();
}

/* Addresses that have an entry in the RMP and no memory of their own behind it: video memory, the
 * BIOS, the I/O APIC, the local APIC, the flash. */
static void page_is_no_memory(const void *unused)
{
    static const uint64_t places[] = {0xa0000,    0xc8000,    0xe0000,   0xf8000,
                                      0xfec00000, 0xfee00000, 0xffff0000};
    uint64_t *a = svm_nested_entry(&guest, PAGE_A), whole = *a;
    unsigned tried = 0;
    (void)unused;

    encrypted_guest_remember();

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint64_t entry = rmp_entry_address(places[i]);
        if (!entry || rmp_assign(places[i], RMP_PAGE_4K, guest.vmcb->asid, PAGE_A) != RMP_SUCCESS)
            continue;
        *(uint64_t *)entry |= RMP_VALIDATED;
        *a = places[i] | PTE_PRESENT_WRITE_USER;
        use_page();
        *(uint64_t *)entry &= ~RMP_VALIDATED;
        EXPECT_EQ(rmp_unassign(places[i], RMP_PAGE_4K), RMP_SUCCESS);
        tried++;
    }
    *a = whole;
    print("# %u places have an entry\n", tried);
    expect_secrets();
}

/* Changes one word of the control area behind the intercepts. Nested tables, and where the VMSA is,
 * are among them. */
static void change_vmcb(void)
{
    uint64_t *word = (uint64_t *)guest.vmcb + 3 + random_number() % (0x400 / 8 - 3);

    switch (random_number() % 4) {
    case 0:
        *word ^= 1ul << random_number() % 64;
        break;
    case 1:
        *word = random_number();
        break;
    case 2:
        *word = random_number() % 2 ? page_a : (uint64_t)vmsa;
        break;
    default:
        *word = ~0ul;
        break;
    }
}

static void random_vmcb(const void *unused)
{
    enum { RUNS = 2000, CONTROL_BYTES = 0x400 };
    uint64_t saved = allocate_or_fail(PAGE_4K, PAGE_4K), exit, valid = 0, invalid = 0;
    (void)unused;

    memcpy((void *)saved, guest.vmcb, CONTROL_BYTES);
    random_start();
    for (unsigned i = 0; i < RUNS; i++) {
        encrypted_guest_load(&code_count, random_number() % 1000 + 1);
        for (unsigned n = random_number() % 3 + 1; n; n--)
            change_vmcb();
        exit = encrypted_guest_run_briefly();
        invalid += exit == EXIT_INVALID;
        valid += exit == EXIT_HLT;
        memcpy(guest.vmcb, (void *)saved, CONTROL_BYTES);
    }
    print("# %lu runs of %u to their end, %lu invalid\n", valid, RUNS, invalid);
    EXPECT(valid != 0);
    EXPECT(invalid != 0);
    expect_secrets();
}

static const struct test_case cases[] = {
    TEST(create, "APM2 15.36.12: VMRUN of an SNP guest"),
    TEST(pages_change_places, "APM2 15.36.10: the guest physical address in the entry"),
    TEST(page_is_replayed, "APM2 15.36.6: what the host assigns is not validated"),
    TEST(page_is_replaced, "APM2 15.36.6: what the host assigns is not validated"),
    TEST(page_is_no_memory, "APM2 15.36.4: what the RMP covers may be no memory"),
    TEST(page_is_taken_from_a_running_guest, "APM3 RMPUPDATE: no CPU uses the page any more"),
    TEST(vmsa_is_taken, "APM2 table 15-41: checks of the VMSA"),
    TEST(answers_are_lies, "APM2 15.35.7: GHCB"),
    TEST(events_that_make_no_sense, "APM2 15.20: event injection"),
    TEST(random_vmcb, "APM2 15.5.1: VMRUN with any VMCB"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
