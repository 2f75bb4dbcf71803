// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest without SNP: it must behave as on any AMD CPU, before SNP_EN is set and after; and its
 * accesses to assigned pages. Also runs on stock QEMU, where the cases that need the RMP are
 * skipped.
 */
#include "runtime.h"

#define STORE_FAULT (PF_PRESENT | PF_WRITE | PF_USER) /* nested accesses are user accesses */
#define PTE_WRITE (1ul << 1)
#define PTE_ACCESSED (1ul << 5)
#define PTE_DIRTY (1ul << 6)
enum { TARGET_OFFSET = 0x128, PAGE_INDEX = 3, MARK = 0x5a };
#define TARGET (GUEST_SMALL + PAGE_INDEX * PAGE_4K)

static struct svm_guest guest;

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_vmmcall, "vmmcall");
SVM_CODE(code_cpuid, "xor %eax, %eax; cpuid; hlt");
SVM_CODE(code_out, "mov $0x77, %al; out %al, $0x80; hlt");
SVM_CODE(code_ud2, "ud2");
SVM_CODE(code_load, "mov (%rdi), %rax; vmmcall");
SVM_CODE(code_call, "call *%rdi; vmmcall");
SVM_CODE(code_load_twice, "mov (%rdi), %rax; vmmcall; mov (%rdi), %rax; vmmcall");
SVM_CODE(code_registers, "inc %rbx; inc %rcx; inc %rdx; inc %rsi; inc %rdi; inc %rbp;"
                         "inc %r8; inc %r9; inc %r10; inc %r11; inc %r12; inc %r13; inc %r14;"
                         "inc %r15; inc %rax; stc; vmmcall");
SVM_CODE(code_mov, "mov %rsi, (%rdi); vmmcall");
SVM_CODE(code_lock_add, "lock addl $1, (%rdi); vmmcall");
SVM_CODE(code_push, "lea 8(%rdi), %rsp; push %rsi; vmmcall");
SVM_CODE(code_stos, "mov $0x3c, %al; mov $16, %ecx; rep stosb; vmmcall");
SVM_CODE(code_movups, "movq %rsi, %xmm0; movups %xmm0, (%rdi); vmmcall");
SVM_CODE(code_fxsave, "and $-64, %rdi; fxsave64 (%rdi); vmmcall");
SVM_CODE(code_rmpupdate, ".byte 0xf2, 0x0f, 0x01, 0xfe; hlt");
SVM_CODE(code_psmash, ".byte 0xf3, 0x0f, 0x01, 0xff; hlt");
SVM_CODE(code_rmpread, ".byte 0xf2, 0x0f, 0x01, 0xfd; hlt");
SVM_CODE(code_rmpopt, ".byte 0xf2, 0x0f, 0x01, 0xfc; hlt");

static const char *svm_unmet(void)
{
    return cpuid(0x80000001, 0).ecx >> 2 & 1 ? NULL : "this CPU has no SVM";
}

static uint64_t run_at(const struct svm_code *code, uint64_t rdi)
{
    svm_load(&guest, code);
    guest.registers.rdi = rdi;
    guest.registers.rsi = 0x1122334455667788;
    return svm_run(&guest);
}

static void create(const void *unused)
{
    (void)unused;
    svm_enable();
    svm_create(&guest);
    EXPECT_EQ(rdmsr(MSR_EFER) & EFER_SVME, EFER_SVME);
}

static void hlt_leaves(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_hlt, 0), EXIT_HLT);
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE + 1);
    EXPECT_EQ(run_at(&code_vmmcall, 0), EXIT_VMMCALL);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE);
}

static void cpuid_leaves(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_cpuid, 0), EXIT_CPUID);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE + 2);
    EXPECT_EQ(guest.vmcb->rax, 0);
}

static void port_access_leaves(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_out, 0), EXIT_IOIO);
    EXPECT_EQ(guest.vmcb->exit_info1 >> 16, 0x80);
    EXPECT_EQ(guest.vmcb->exit_info1 & 0x71, 0x10); /* OUT of 8 bits */
    EXPECT_EQ(guest.vmcb->exit_info2, GUEST_CODE + 4);
    EXPECT_EQ(guest.vmcb->rax, 0x77);
}

static void exceptions_leave(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run_at(&code_ud2, 0), EXIT_EXCEPTION(VECTOR_UD));
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE);
    EXPECT_EQ(run_at(&code_mov, GUEST_MEMORY + 8), EXIT_EXCEPTION(VECTOR_PF));
    EXPECT_EQ(guest.vmcb->exit_info1, PF_WRITE);
    EXPECT_EQ(guest.vmcb->exit_info2, GUEST_MEMORY + 8);
}

static void registers_pass(const void *unused)
{
    uint64_t *word = (uint64_t *)&guest.registers;
    (void)unused;
    svm_load(&guest, &code_registers);
    for (unsigned i = 0; i < sizeof(guest.registers) / 8; i++)
        word[i] = i * 0x100;
    guest.vmcb->rax = 0xfff;
    EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
    for (unsigned i = 0; i < sizeof(guest.registers) / 8; i++)
        EXPECT_EQ(word[i], i * 0x100 + 1);
    EXPECT_EQ(guest.vmcb->rax, 0x1000);
    EXPECT_EQ(guest.vmcb->rflags & FLAG_CF, FLAG_CF);
}

static void nested_faults_leave(const void *unused)
{
    uint64_t *entry = svm_nested_entry(&guest, TARGET), whole = *entry;
    uint64_t *word = svm_memory(&guest, TARGET + TARGET_OFFSET);
    (void)unused;

    *entry = 0;
    EXPECT_EQ(run_at(&code_mov, TARGET + TARGET_OFFSET), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | PF_WRITE | PF_USER);
    EXPECT_EQ(guest.vmcb->exit_info2, TARGET + TARGET_OFFSET);
    *entry = whole & ~PTE_WRITE;
    EXPECT_EQ(svm_run(&guest), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | STORE_FAULT);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE);
    *entry = whole;
    EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
    EXPECT_EQ(*word, 0x1122334455667788);
}

/* A walk that sets the dirty bit writes to the guest's table. */
static void nested_fault_of_a_walk(const void *unused)
{
    uint64_t *entry = svm_nested_entry(&guest, GUEST_LEVEL1), whole = *entry;
    uint64_t *guest_entry = (uint64_t *)svm_memory(&guest, GUEST_LEVEL1) + PAGE_INDEX;
    (void)unused;

    *guest_entry &= ~(PTE_ACCESSED | PTE_DIRTY);
    *entry = whole & ~PTE_WRITE;
    EXPECT_EQ(run_at(&code_mov, TARGET), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_WALK | STORE_FAULT);
    EXPECT_EQ(guest.vmcb->exit_info2 & -PAGE_4K, GUEST_LEVEL1);
    EXPECT_EQ(*guest_entry & (PTE_ACCESSED | PTE_DIRTY), 0);
    *entry = whole;
    EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
    EXPECT_EQ(*guest_entry & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED | PTE_DIRTY);
}

/* Maps another page to the same guest-physical address, then uses TLB_CONTROL, as KVM does. */
static void flush_shows_new_mapping(const void *argument)
{
    uint64_t *entry = svm_nested_entry(&guest, TARGET), whole = *entry;
    uint64_t other = whole + PAGE_4K;

    *(uint64_t *)svm_memory(&guest, TARGET) = 1;
    *(uint64_t *)svm_memory(&guest, TARGET + PAGE_4K) = 2;
    for (unsigned i = 0; i < 20; i++) {
        REQUIRE_EQ(run_at(&code_load_twice, TARGET), EXIT_VMMCALL);
        EXPECT_EQ(guest.vmcb->rax, 1);
        *entry = other;
        guest.vmcb->tlb_control = *(const uint8_t *)argument;
        guest.vmcb->rip += 3;
        EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
        EXPECT_EQ(guest.vmcb->rax, 2);
        *entry = whole;
        svm_run(&guest);
        guest.vmcb->tlb_control = TLB_KEEP;
    }
}

static const uint8_t flush_all = TLB_FLUSH_ALL, flush_guest = TLB_FLUSH_GUEST,
                     flush_non_global = TLB_FLUSH_GUEST_NON_GLOBAL;

#define ARCHITECTURE                                                                               \
    TEST(hlt_leaves, "APM2 15.9: intercepted HLT and VMMCALL leave the guest, RIP at them"),       \
        TEST(cpuid_leaves, "APM2 15.9: intercepted CPUID"),                                        \
        TEST(port_access_leaves, "APM2 15.10.2: EXITINFO1 describes the access, EXITINFO2 is the"  \
                                 " next RIP"),                                                     \
        TEST(exceptions_leave, "APM2 15.12: exceptions, error code and CR2 in EXITINFO"),          \
        TEST(registers_pass, "APM2 15.5: VMRUN keeps the other registers"),                        \
        TEST(nested_faults_leave, "APM2 15.25.6: EXITINFO1 is the error code, EXITINFO2 the"       \
                                  " address"),                                                     \
        TEST(nested_fault_of_a_walk, "APM2 15.25.6: bit 33, a walk of the guest's tables"),        \
        TEST_WITH("tlb_control_1", flush_shows_new_mapping, &flush_all, "APM2 15.16: flush all"),  \
        TEST_WITH("tlb_control_3", flush_shows_new_mapping, &flush_guest,                          \
                  "APM2 15.16: flush this guest's entries"),                                       \
        TEST_WITH("tlb_control_7", flush_shows_new_mapping, &flush_non_global,                     \
                  "APM2 15.16: flush this guest's non-global entries")

static const struct test_case architecture[] = {ARCHITECTURE};

static void without_snp(const void *unused)
{
    (void)unused;
    RUN_SUBTESTS(architecture);
}

static void with_snp(const void *unused)
{
    (void)unused;
    if (snp_unmet())
        SKIP(snp_unmet());
    snp_enable();
    EXPECT_EQ(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN, SYSCFG_SNP_EN);
    RUN_SUBTESTS(architecture);
}

/* Assigns the page of a guest-physical address. Without SNP it returns false and skips the case. */
static bool assign(uint64_t gpa)
{
    if (snp_unmet()) {
        skip_case(snp_unmet());
        return false;
    }
    memset(svm_memory(&guest, gpa & -PAGE_4K), MARK, PAGE_4K);
    EXPECT_EQ(rmp_assign(guest.memory + (gpa & -PAGE_4K), RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    return true;
}

static void unassign(uint64_t gpa)
{
    EXPECT_EQ(rmp_unassign(guest.memory + (gpa & -PAGE_4K), RMP_PAGE_4K), RMP_SUCCESS);
}

static unsigned changed_bytes(uint64_t gpa)
{
    const uint8_t *page = svm_memory(&guest, gpa & -PAGE_4K);
    unsigned changed = 0;
    for (unsigned i = 0; i < PAGE_4K; i++)
        changed += page[i] != MARK;
    return changed;
}

static void reads_and_fetches_are_allowed(const void *unused)
{
    (void)unused;
    if (!assign(TARGET))
        return;
    EXPECT_EQ(run_at(&code_load, TARGET + TARGET_OFFSET), EXIT_VMMCALL);
    EXPECT_EQ(guest.vmcb->rax, 0x5a5a5a5a5a5a5a5a);
    unassign(TARGET);
    *(uint8_t *)svm_memory(&guest, TARGET) = 0xc3; /* ret */
    EXPECT_EQ(rmp_assign(guest.memory + TARGET, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(run_at(&code_call, TARGET), EXIT_VMMCALL);
    unassign(TARGET);
}

static void writes_to_free_pages_work(const void *unused)
{
    (void)unused;
    if (!assign(TARGET))
        return;
    EXPECT_EQ(run_at(&code_mov, TARGET - 8), EXIT_VMMCALL);
    EXPECT_EQ(*(uint64_t *)svm_memory(&guest, TARGET - 8), 0x1122334455667788);
    EXPECT_EQ(run_at(&code_mov, TARGET + PAGE_4K), EXIT_VMMCALL);
    EXPECT_EQ(*(uint64_t *)svm_memory(&guest, TARGET + PAGE_4K), 0x1122334455667788);
    unassign(TARGET);
}

struct guest_store {
    const struct svm_code *code;
    uint64_t address;    /* where it goes */
    uint64_t fault;      /* first byte of it in the assigned page */
    unsigned rip_offset; /* of the store in the code */
};

static void expect_rmp_fault(const struct guest_store *store)
{
    EXPECT_EQ(guest.vmcb->exit_code, EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_FINAL | PF_RMP | STORE_FAULT);
    EXPECT_EQ(guest.vmcb->exit_info2, store->fault);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE + store->rip_offset);
    EXPECT_EQ(changed_bytes(store->fault) + changed_bytes(store->address), 0);
}

static void store_leaves_and_resumes(const void *argument)
{
    const struct guest_store *store = argument;

    for (unsigned warm = 0; warm < 2; warm++) {
        if (warm && !snp_unmet())
            run_at(&code_load, store->fault);
        memset(svm_memory(&guest, store->address & -PAGE_4K), MARK, PAGE_4K);
        if (!assign(store->fault))
            return;
        run_at(store->code, store->address);
        expect_rmp_fault(store);
        if (guest.vmcb->exit_code == EXIT_NPF) {
            svm_run(&guest); /* faults again as long as the page is assigned */
            expect_rmp_fault(store);
        }
        unassign(store->fault);
        if (guest.vmcb->exit_code == EXIT_NPF)
            EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
        EXPECT(changed_bytes(store->fault) > 0);
    }
}

#define SMALL_AT(offset) (TARGET + (offset)), (TARGET + (offset))
static const struct {
    struct guest_store mov, lock_add, push, stos, movups, fxsave, large, crossing;
} stores = {
    .mov = {&code_mov, SMALL_AT(TARGET_OFFSET), 0},
    .lock_add = {&code_lock_add, SMALL_AT(64), 0},
    .push = {&code_push, SMALL_AT(72), 4},
    .stos = {&code_stos, SMALL_AT(80), 7},
    .movups = {&code_movups, SMALL_AT(101), 5},
    .fxsave = {&code_fxsave, SMALL_AT(512), 4},
    .large = {&code_mov, GUEST_LARGE + 9 * PAGE_4K + 16, GUEST_LARGE + 9 * PAGE_4K + 16, 0},
    .crossing = {&code_mov, TARGET - 3, TARGET, 0},
};

/* Writes to all pages around an assigned one, through one 2 MiB nested mapping. */
static void large_mapping_around_an_assigned_page(const void *unused)
{
    (void)unused;
    if (!assign(GUEST_LARGE + 9 * PAGE_4K))
        return;
    for (unsigned i = 0; i < 512; i += i == 8 ? 2 : 1)
        EXPECT_EQ(run_at(&code_mov, GUEST_LARGE + i * PAGE_4K), EXIT_VMMCALL);
    EXPECT_EQ(changed_bytes(GUEST_LARGE + 9 * PAGE_4K), 0);
    unassign(GUEST_LARGE + 9 * PAGE_4K);
}

static void inside_an_assigned_2m_page(const void *unused)
{
    const struct guest_store store = {&code_mov, SMALL_AT(8), 0};
    uint64_t base = guest.memory + GUEST_SMALL;
    (void)unused;
    if (snp_unmet())
        SKIP(snp_unmet());
    memset(svm_memory(&guest, TARGET), MARK, PAGE_4K);
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    run_at(&code_mov, TARGET + 8);
    expect_rmp_fault(&store);
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

static void walk_into_an_assigned_table(const void *unused)
{
    uint64_t *entry = (uint64_t *)svm_memory(&guest, GUEST_LEVEL1) + PAGE_INDEX;
    uint64_t table = guest.memory + GUEST_LEVEL1;
    (void)unused;

    if (snp_unmet())
        SKIP(snp_unmet());
    *entry &= ~(PTE_ACCESSED | PTE_DIRTY);
    REQUIRE_EQ(rmp_assign(table, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(run_at(&code_mov, TARGET), EXIT_NPF);
    EXPECT_EQ(guest.vmcb->exit_info1, NPF_WALK | PF_RMP | STORE_FAULT);
    EXPECT_EQ(guest.vmcb->exit_info2 & -PAGE_4K, GUEST_LEVEL1);
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE);
    EXPECT_EQ(*entry & (PTE_ACCESSED | PTE_DIRTY), 0);
    EXPECT_EQ(rmp_unassign(table, RMP_PAGE_4K), RMP_SUCCESS);
    if (guest.vmcb->exit_code == EXIT_NPF)
        EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
    EXPECT_EQ(*entry & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED | PTE_DIRTY);
}

static void load_rmp_instruction(const void *code)
{
    svm_load(&guest, code);
    guest.vmcb->rax = guest.memory + TARGET;
    guest.registers.rcx = TARGET;
}

static void rmp_instruction_in_guest(const void *code)
{
    if (snp_unmet())
        SKIP(snp_unmet());
    load_rmp_instruction(code);
    if (code == &code_rmpread && !cpu_has_rmpread()) {
        EXPECT_EQ(svm_run(&guest), EXIT_EXCEPTION(VECTOR_UD));
        return;
    }
    EXPECT_EQ(svm_run(&guest), EXIT_HLT);
    EXPECT_EQ(guest.vmcb->rax, RMP_FAIL_PERMISSION);
}

static void rmpopt_in_guest(const void *unused)
{
    (void)unused;
    if (snp_unmet())
        SKIP(snp_unmet());
    load_rmp_instruction(&code_rmpopt);
    EXPECT_EQ(svm_run(&guest), EXIT_EXCEPTION(VECTOR_UD));
    EXPECT_EQ(guest.vmcb->rip, GUEST_CODE);
    EXPECT_EQ(guest.vmcb->rax, guest.memory + TARGET);
}

#define STORE(kind)                                                                                \
    TEST_WITH("store_" #kind, store_leaves_and_resumes, &stores.kind,                              \
              "APM2 table 15-39, 15.36.10: non-SNP guest write, NPF with the RMP bit")
#define IN_GUEST(name)                                                                             \
    TEST_WITH(#name "_in_guest", rmp_instruction_in_guest, &code_##name,                           \
              "Microsoft's intrinsics: 2, the current ASID is not zero; policy guest-exec=2")

static const struct test_case cases[] = {
    TEST(create, "APM2 15.4: EFER.SVME"),
    TEST(without_snp, "APM2 15: a guest before SNP_EN"),
    TEST(with_snp, "APM2 15.36.1: guests without SNP run beside SNP"),
    TEST(reads_and_fetches_are_allowed, "APM2 table 15-39: non-SNP guest reads are not checked"),
    TEST(writes_to_free_pages_work, "APM2 table 15-39: non-SNP guest write, hypervisor-owned"),
    STORE(mov),
    STORE(lock_add),
    STORE(push),
    STORE(stos),
    STORE(movups),
    STORE(fxsave),
    STORE(large),
    STORE(crossing),
    TEST(large_mapping_around_an_assigned_page,
         "APM2 15.36.10: the page size check is for SNP-active guests only"),
    TEST(inside_an_assigned_2m_page, "APM2 15.36.10: 512 pages of an assigned 2 MiB page"),
    TEST(walk_into_an_assigned_table, "APM2 table 15-39: non-SNP guest page walk write, bit 33"),
    IN_GUEST(rmpupdate),
    IN_GUEST(psmash),
    IN_GUEST(rmpread),
    TEST(rmpopt_in_guest, "not documented for guests: policy rmpopt-guest=ud"),
};
TEST_SUITE_IF(cases, svm_unmet);
