// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Every RMP check of an SNP guest's access, as the CPU makes it: states of a page against kinds of
 * access. A page is read, written, executed, and used as a page table whose entry needs no mark or
 * needs one.
 */
#include "encrypted_guest.h"
#include "runtime.h"

enum { PTE_FLAGS = 7, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40, RMP_IMMUTABLE = 4 };
#define BEHIND_A (3 * PAGE_2M) /* the guest's table for this address is A */
/* Offsets in A: an entry for B, an instruction, a place to write to. */
enum { ENTRY_FOR_B = 0, INSTRUCTION = 8, DATA = 16 };

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_read, "nop; mov 16(%rdi), %rax; hlt");
SVM_CODE(code_write, "nop; mov %rsi, 16(%rdi); hlt");
SVM_CODE(code_jump, "add $8, %rdi; jmp *%rdi");
SVM_CODE(code_walk, "nop; mov 0x600000, %rax; hlt");
/* From address 0 to RDI, one page after the other; ends with the first status that is not 0. */
SVM_CODE(code_grant, "xor %ebx, %ebx; 1: mov %rbx, %rax; xor %ecx, %ecx; mov %r8, %rdx;" RMPADJUST
                     "test %eax, %eax; jnz 2f; add $4096, %rbx; cmp %rdi, %rbx; jb 1b; 2: hlt");
SVM_CODE(code_adjust, "mov %rdi, %rax; xor %ecx, %ecx; mov %r8, %rdx;" RMPADJUST "hlt");
/* Of RDI, EBX is the size. */
SVM_CODE(code_pvalidate, "mov %rdi, %rax; mov %ebx, %ecx; mov $1, %edx;" PVALIDATE "hlt");
SVM_CODE(code_query, "mov %rdi, %rax; mov %r8, %rdx;" RMPQUERY "hlt");

/* What an access leads to. */
enum outcome {
    OK,
    VC,      /* #VC with the code of a page that is not validated */
    NPF,     /* #VMEXIT(NPF) with the RMP bit */
    NO_VMPL, /* ... and the bit of VMPL permissions */
};

enum { READ, WRITE, FETCH, WALK, MARK, ACCESSES };
static const struct access {
    const char *name;
    const struct svm_code *code;
    unsigned offset; /* of what is accessed in A */
    uint64_t info;   /* EXITINFO1, but for the RMP's bits */
} accesses[ACCESSES] = {
    [READ] = {"read", &code_read, DATA, NPF_FINAL},
    [WRITE] = {"write", &code_write, DATA, NPF_FINAL | PF_WRITE},
    [FETCH] = {"fetch", &code_jump, INSTRUCTION, NPF_FINAL | PF_FETCH},
    [WALK] = {"walk", &code_walk, ENTRY_FOR_B, NPF_WALK | PF_WRITE},
    [MARK] = {"mark", &code_walk, ENTRY_FOR_B, NPF_WALK | PF_WRITE},
};

/* Who owns a page. */
enum owner { NOBODY, GUEST, OTHER_GUEST, FIRMWARE };
struct state {
    const char *name;
    enum owner owner;
    uint64_t flags;             /* of the entry, beside ASID and address */
    bool elsewhere;             /* the entry names another guest physical address */
    bool shared;                /* the guest's mapping has no C-bit */
    unsigned vmpl, permissions; /* the guest's VMPL, and what VMPL 1 may do */
    enum outcome outcomes[ACCESSES];
};

static uint64_t page_a;

static const struct state states[] = {
    {"private", GUEST, RMP_VALIDATED, .outcomes = {OK, OK, OK, OK, OK}},
    {"nobody's", NOBODY, 0, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"another guest's", OTHER_GUEST, RMP_VALIDATED, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"firmware's", FIRMWARE, RMP_VALIDATED, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"of another address", GUEST, RMP_VALIDATED, true, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"not validated", GUEST, 0, .outcomes = {VC, VC, VC, VC, VC}},
    {"immutable", GUEST, RMP_VALIDATED | RMP_IMMUTABLE, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"another guest's, not validated", OTHER_GUEST, 0, .outcomes = {NPF, NPF, NPF, NPF, NPF}},
    {"a VMSA", GUEST, RMP_VALIDATED | RMP_VMSA, .outcomes = {OK, OK, OK, OK, OK}},
    /* The C-bit matters for data only. */
    {"shared", NOBODY, 0, .shared = true, .outcomes = {OK, OK, NPF, NPF, NPF}},
    {"shared, but private", GUEST, RMP_VALIDATED, .shared = true,
     .outcomes = {OK, NPF, OK, OK, OK}},
    {"shared, not validated", GUEST, 0, .shared = true, .outcomes = {OK, NPF, VC, VC, VC}},
    {"VMPL 1: all", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_ALL},
    {"VMPL 1: nothing", GUEST, RMP_VALIDATED, .vmpl = 1,
     .outcomes = {NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL}},
    {"VMPL 1: read", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_READ,
     .outcomes = {OK, NO_VMPL, NO_VMPL, OK, NO_VMPL}},
    {"VMPL 1: write", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_WRITE,
     .outcomes = {NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL}},
    {"VMPL 1: read, write", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_READ | VMPL_WRITE,
     .outcomes = {OK, OK, NO_VMPL, OK, OK}},
    {"VMPL 1: execute", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_EXECUTE,
     .outcomes = {NO_VMPL, NO_VMPL, OK, NO_VMPL, NO_VMPL}},
    {"VMPL 1: users execute", GUEST, RMP_VALIDATED, .vmpl = 1, .permissions = VMPL_USER_EXECUTE,
     .outcomes = {NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL, NO_VMPL}},
    {"VMPL 1: nothing, not validated", GUEST, 0, .vmpl = 1, .outcomes = {VC, VC, VC, VC, VC}},
    {"VMPL 1: shared", NOBODY, 0, .vmpl = 1, .shared = true, .outcomes = {OK, OK, NPF, NPF, NPF}},
};

/* As RMPADJUST by VMPL 0 does. */
static void permit(uint64_t spa, unsigned permissions)
{
    raw_rmp_entry(spa)[1] = VMPL_ALL | permissions << 8;
}

/* To all that the guest needs to run. */
static void permit_rest(void)
{
    for (uint64_t gpa = 0; gpa < PAGE_2M; gpa += PAGE_4K)
        permit(guest.memory + gpa, VMPL_ALL);
    permit(guest.memory + PAGE_B, VMPL_ALL);
}

static uint64_t asid_of(enum owner owner)
{
    return owner == GUEST ? guest.vmcb->asid : owner == OTHER_GUEST ? guest.vmcb->asid + 1 : 0;
}

static void free_page(void)
{
    if (rmp_lookup(page_a).assigned) {
        *raw_rmp_entry(page_a) &= ~(uint64_t)RMP_IMMUTABLE;
        take_from_guest(page_a);
    }
}

/* Makes A the host's, and fills it. */
static void fill_page(bool accessed)
{
    uint64_t *page = (uint64_t *)page_a;

    free_page();
    page[ENTRY_FOR_B / 8] = PAGE_B | C_BIT | PTE_FLAGS | (accessed ? PTE_ACCESSED : 0);
    page[INSTRUCTION / 8] = 0xf4; /* HLT */
    page[DATA / 8] = 0x123456789abcdef;
}

static void put_page(const struct state *s)
{
    if (s->owner != NOBODY) {
        REQUIRE_EQ(rmp_assign(page_a, RMP_PAGE_4K, (uint32_t)asid_of(s->owner),
                              s->owner == FIRMWARE ? 0
                              : s->elsewhere       ? PAGE_SHARED
                                                   : PAGE_A),
                   RMP_SUCCESS);
        *raw_rmp_entry(page_a) |= s->flags;
        if (s->owner == GUEST)
            permit(page_a, s->permissions);
    }
}

/* The guest's entry for A is in its private memory. */
static void map_for_guest(bool shared)
{
    uint64_t table = guest.memory + GUEST_LEVEL1;

    take_from_guest(table);
    *guest_entry(PAGE_A) = PAGE_A | PTE_FLAGS | PTE_ACCESSED | PTE_DIRTY | (shared ? 0 : C_BIT);
    give_to_guest(table, GUEST_LEVEL1, RMP_VALIDATED);
}

static void set_vmpl(unsigned vmpl)
{
    open_vmsa();
    ((uint8_t *)vmsa)[VMSA_VMPL] = (uint8_t)vmpl;
    close_vmsa();
}

static void expect_outcome(const struct state *s, const struct access *a, enum outcome outcome)
{
    const bool is_data = a->info == NPF_FINAL || a->info == (NPF_FINAL | PF_WRITE);
    uint64_t exit, info = a->info | PF_PRESENT | PF_USER | PF_RMP;

    info |= s->shared && is_data ? 0 : NPF_ENCRYPTED;
    info |= outcome == NO_VMPL ? NPF_VMPL : 0;
    encrypted_guest_load(a->code, PAGE_A);
    permit(guest.memory + GUEST_CODE, VMPL_ALL);
    set_vmpl(s->vmpl);
    exit = encrypted_guest_run();
    if (outcome == OK) {
        EXPECT_EQ(exit, EXIT_HLT);
    } else if (outcome == VC) {
        EXPECT_EQ(exit, EXIT_VMGEXIT);
        EXPECT_EQ(guest.vmcb->ghcb, VC_PAGE_NOT_VALIDATED);
    } else {
        EXPECT_EQ(exit, EXIT_NPF);
        EXPECT_EQ(guest.vmcb->exit_info1, info);
        EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A + a->offset);
    }
    if (case_failed())
        print("# %s, %s: exit %#lx, EXITINFO1 %#lx, EXITINFO2 %#lx, GHCB %#lx\n", s->name, a->name,
              exit, guest.vmcb->exit_info1, guest.vmcb->exit_info2, guest.vmcb->ghcb);
    free_page();
    if (a == &accesses[WRITE])
        EXPECT_EQ(((uint64_t *)page_a)[DATA / 8], outcome == OK ? GUEST_RSI : 0x123456789abcdef);
    if (a == &accesses[MARK])
        EXPECT_EQ(*(uint64_t *)page_a & PTE_ACCESSED, outcome == OK ? PTE_ACCESSED : 0);
}

static void create(const void *unused)
{
    uint64_t *level2;
    (void)unused;

    encrypted_guest_create();
    level2 = svm_memory(&guest, GUEST_TABLES + 2 * PAGE_4K);
    level2[GUEST_LARGE / PAGE_2M] |= C_BIT;
    level2[BEHIND_A / PAGE_2M] = PAGE_A | C_BIT | PTE_FLAGS | PTE_ACCESSED;
    encrypted_guest_become_snp();
    page_a = guest.memory + PAGE_A;
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
}

static void in_state(const void *argument)
{
    const struct state *s = argument;

    map_for_guest(s->shared);
    permit_rest();
    for (unsigned i = 0; i < ACCESSES; i++) {
        fill_page(i != MARK);
        put_page(s);
        expect_outcome(s, &accesses[i], s->outcomes[i]);
    }
}

static void all_states(const void *unused)
{
    enum { STATES = sizeof(states) / sizeof(states[0]) };
    struct test_case cases[STATES];
    (void)unused;

    for (unsigned i = 0; i < STATES; i++)
        cases[i] = (struct test_case)TEST_WITH(states[i].name, in_state, &states[i],
                                               "APM2 15.36.10: the checks, in their order");
    run_subtests(cases, STATES);
    map_for_guest(false);
    set_vmpl(0);
}

/* What is executed is not always to be read: code that reads itself. */
static void executed_pages_are_not_read(const void *unused)
{
    static const struct state only_executed = {"", GUEST, RMP_VALIDATED, .vmpl = 1,
                                               .permissions = VMPL_EXECUTE};
    (void)unused;

    fill_page(true);
    ((uint64_t *)page_a)[INSTRUCTION / 8] = 0xf4078b48; /* mov (%rdi), %rax; hlt */
    put_page(&only_executed);
    encrypted_guest_load(&code_jump, PAGE_A);
    permit_rest();
    set_vmpl(1);
    EXPECT_EQ(encrypted_guest_run(), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1,
              PF_PRESENT | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED | NPF_VMPL);
    EXPECT_EQ(guest.vmcb->exit_info2, PAGE_A + INSTRUCTION);
    permit(page_a, VMPL_EXECUTE | VMPL_READ);
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    set_vmpl(0);
}

static void expect_all(uint64_t address, enum outcome outcome)
{
    const uint64_t info = PF_PRESENT | PF_USER | PF_RMP | NPF_ENCRYPTED;

    for (unsigned i = READ; i <= FETCH; i++) {
        uint64_t exit = run_encrypted(accesses[i].code, address);
        EXPECT_EQ(exit, outcome == OK ? EXIT_HLT : outcome == VC ? EXIT_VMGEXIT : EXIT_NPF);
        if (outcome == NPF) {
            EXPECT_EQ(guest.vmcb->exit_info1, info | accesses[i].info);
            EXPECT_EQ(guest.vmcb->exit_info2, address + accesses[i].offset);
        }
        if (case_failed())
            print("# %s: exit %#lx, EXITINFO1 %#lx\n", accesses[i].name, exit,
                  guest.vmcb->exit_info1);
    }
}

/* The nested mapping and the entry must have one size. */
static void sizes(const void *unused)
{
    uint64_t large = guest.memory + GUEST_LARGE, small = guest.memory + GUEST_SMALL;
    uint32_t asid = guest.vmcb->asid;
    (void)unused;

    ((uint64_t *)large)[INSTRUCTION / 8] = 0xf4;
    ((uint64_t *)(large + 5 * PAGE_4K))[INSTRUCTION / 8] = 0xf4;
    REQUIRE_EQ(rmp_assign(large, RMP_PAGE_2M, asid, GUEST_LARGE), RMP_SUCCESS);
    expect_all(GUEST_LARGE, VC);
    *raw_rmp_entry(large) |= RMP_VALIDATED;
    expect_all(GUEST_LARGE, OK);
    expect_all(GUEST_LARGE + 5 * PAGE_4K, OK);
    *raw_rmp_entry(large) &= ~RMP_VALIDATED;
    REQUIRE_EQ(rmp_unassign(large, RMP_PAGE_2M), RMP_SUCCESS);
    expect_all(GUEST_LARGE, NPF);
    REQUIRE_EQ(rmp_assign(large, RMP_PAGE_2M, asid + 1, GUEST_LARGE), RMP_SUCCESS);
    *raw_rmp_entry(large) |= RMP_VALIDATED;
    expect_all(GUEST_LARGE, NPF);
    REQUIRE_EQ(rmp_unassign(large, RMP_PAGE_2M), RMP_SUCCESS);
    give_to_guest(large, GUEST_LARGE, RMP_VALIDATED); /* 4 KB below 2 MB */
    expect_all(GUEST_LARGE, NPF);
    take_from_guest(large);

    fill_page(true);
    take_from_guest(guest.memory + PAGE_B);
    REQUIRE_EQ(rmp_assign(small, RMP_PAGE_2M, asid, GUEST_SMALL), RMP_SUCCESS);
    *raw_rmp_entry(small) |= RMP_VALIDATED;
    expect_all(PAGE_A, NPF); /* 2 MB below 4 KB */
    REQUIRE_EQ(psmash(small), RMP_SUCCESS);
    expect_all(PAGE_A, OK);
    for (uint64_t i = 0; i < PAGE_2M; i += PAGE_4K)
        if (i != PAGE_B - GUEST_SMALL)
            take_from_guest(small + i);
}

/* PVALIDATE of another size than the entry's. */
static void sizes_of_pvalidate(const void *unused)
{
    enum { FAIL_SIZEMISMATCH = 6 };
    uint64_t large = guest.memory + GUEST_LARGE;
    (void)unused;

    REQUIRE_EQ(rmp_assign(large, RMP_PAGE_2M, guest.vmcb->asid, GUEST_LARGE), RMP_SUCCESS);
    EXPECT_EQ(run_encrypted(&code_pvalidate, GUEST_LARGE), EXIT_NPF); /* 4 KB */
    EXPECT_EQ(guest.vmcb->exit_info1,
              PF_PRESENT | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED | NPF_SIZE_MISMATCH);
    EXPECT_EQ(guest.vmcb->exit_info2, GUEST_LARGE);
    encrypted_guest_load(&code_pvalidate, GUEST_LARGE);
    open_vmsa();
    vmsa[VMSA_RBX] = 1;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
    EXPECT_EQ(*raw_rmp_entry(large) & RMP_VALIDATED, RMP_VALIDATED);
    EXPECT_EQ(run_encrypted(&code_write, GUEST_LARGE), EXIT_HLT);
    REQUIRE_EQ(psmash(large), RMP_SUCCESS);
    encrypted_guest_load(&code_pvalidate, GUEST_LARGE);
    open_vmsa();
    vmsa[VMSA_RBX] = 1;
    close_vmsa();
    guest.vmcb->exit_code = 0;
    /* The nested mapping is of 2 MB, the entry of 4 KB: a fault or a status, by policy. */
    encrypted_guest_run();
    EXPECT(guest.vmcb->exit_code == EXIT_NPF || vmsa[VMSA_RAX] == FAIL_SIZEMISMATCH);
    for (uint64_t i = 0; i < PAGE_2M; i += PAGE_4K)
        take_from_guest(large + i);
}

/* A guest gives a VMPL its rights, and makes a VMSA for it. */
static void vmpl_by_rmpadjust(const void *unused)
{
    uint64_t b = guest.memory + PAGE_B, first = (uint64_t)vmsa;
    (void)unused;

    fill_page(true);
    give_to_guest(page_a, PAGE_A, RMP_VALIDATED);
    encrypted_guest_load(&code_grant, PAGE_2M);
    open_vmsa();
    vmsa[VMSA_R8] = 1 | VMPL_ALL << 8;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
    EXPECT_EQ(vmsa[VMSA_RBX], PAGE_2M);
    EXPECT_EQ(raw_rmp_entry(guest.memory)[1], VMPL_ALL | VMPL_ALL << 8);

    take_from_guest(b);
    memcpy((void *)b, vmsa, PAGE_4K);
    ((uint8_t *)b)[VMSA_VMPL] = 1;
    ((uint64_t *)b)[VMSA_RIP] = GUEST_CODE;
    ((uint64_t *)b)[VMSA_RDI] = PAGE_A;
    give_to_guest(b, PAGE_B, RMP_VALIDATED);
    guest.vmcb->vmsa = b;
    EXPECT_EQ(encrypted_guest_run(), EXIT_INVALID); /* it is no VMSA yet */
    guest.vmcb->vmsa = first;

    encrypted_guest_load(&code_adjust, PAGE_B);
    open_vmsa();
    vmsa[VMSA_R8] = 1 | 1 << 16;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    EXPECT_EQ(vmsa[VMSA_RAX], 0);
    EXPECT_EQ(*raw_rmp_entry(b) & RMP_VMSA, RMP_VMSA);

    encrypted_guest_load(&code_read, PAGE_A);
    permit(guest.memory + GUEST_CODE, VMPL_ALL);
    guest.vmcb->vmsa = b;
    EXPECT_EQ(encrypted_guest_run(), EXIT_NPF); /* A was given to nobody */
    EXPECT_EQ(guest.vmcb->exit_info1,
              PF_PRESENT | PF_USER | PF_RMP | NPF_FINAL | NPF_ENCRYPTED | NPF_VMPL);
    permit(page_a, VMPL_READ);
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    guest.vmcb->vmsa = first;
    take_from_guest(b);
    EXPECT_EQ(((uint64_t *)b)[VMSA_RAX], 0x123456789abcdef);
    give_to_guest(b, PAGE_B, RMP_VALIDATED);
}

/* VMPL 1 may not validate (by default this is #GP: policy pvalidate-vmpl), and gives no rights away
 * that it does not have. */
static void vmpl1_is_not_privileged(const void *unused)
{
    enum { VMPL1_READS = 2 | VMPL_READ << 8, VMPL1_WRITES = 2 | VMPL_WRITE << 8 };
    const struct {
        const struct svm_code *code;
        uint64_t rdx, status;
    } rows[] = {
        {&code_adjust, 1 | VMPL_READ << 8, RMP_FAIL_PERMISSION},
        {&code_adjust, VMPL1_READS, RMP_SUCCESS},
        {&code_adjust, VMPL1_WRITES, RMP_FAIL_PERMISSION},
        {&code_query, 2, RMP_SUCCESS},
    };
    (void)unused;

    fill_page(true);
    give_to_guest(page_a, PAGE_A, RMP_VALIDATED);
    permit(page_a, VMPL_READ);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        encrypted_guest_load(rows[i].code, PAGE_A);
        permit_rest();
        set_vmpl(1);
        open_vmsa();
        vmsa[VMSA_R8] = rows[i].rdx;
        close_vmsa();
        EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
        EXPECT_EQ(vmsa[VMSA_RAX], rows[i].status);
    }
    EXPECT_EQ(vmsa[VMSA_RDX], VMPL1_READS);
    encrypted_guest_load(&code_pvalidate, PAGE_A);
    permit_rest();
    EXPECT_EQ(encrypted_guest_run(), EXIT_VMGEXIT);
    EXPECT_EQ(guest.vmcb->ghcb, EXIT_EXCEPTION(VECTOR_GP));
    set_vmpl(0);
}

static const struct test_case cases[] = {
    TEST(create, "APM2 15.36.12: VMRUN of an SNP guest"),
    TEST(all_states, "APM2 15.36.10: checks of a guest's accesses"),
    TEST(executed_pages_are_not_read, "APM2 15.36.7: each permission by itself"),
    TEST(sizes, "APM2 15.36.10: sizes of nested mapping and entry"),
    TEST(sizes_of_pvalidate, "APM2 15.36.10: the size that PVALIDATE asks for"),
    TEST(vmpl_by_rmpadjust, "APM2 15.36.7: VMPL 0 gives rights, and makes a VMSA"),
    TEST(vmpl1_is_not_privileged, "APM3 PVALIDATE, RMPADJUST, RMPQUERY: FAIL_PERMISSION"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
