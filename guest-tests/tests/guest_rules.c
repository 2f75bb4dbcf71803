// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two SNP guests do the same to a page: one as the rules are, the other against them. Prints which
 * findings the watch must have, all about the second:
 *
 *   # expect finding=guest-validates-twice asid=5 count=1
 *
 * native/found.py compares.
 */
#include "runtime.h"

#include "snp_guest.h"

#define EXIT_VMGEXIT 0x403ul
#define EXIT_SHUTDOWN 0x7ful
#define ENTRY_FLAGS 0x67ul /* present, write, user, accessed, dirty */
/* The guest's addresses of one guest-physical page. */
#define PRIVATE GUEST_SMALL
#define SHARED (GUEST_SMALL + PAGE_4K)
#define PAGE GUEST_SMALL
/* A request by the GHCB MSR to share the page. */
#define SHARE (PAGE | 2ul << 52 | 0x14)
/* A GHCB, with a list of pages to be shared. */
#define GHCB (GUEST_SMALL + 2 * PAGE_4K)
enum {
    GOOD_ASID = 6,
    BAD_ASID = 5,
    SW_EXIT_CODE = 0x390 / 8,
    SW_SCRATCH = 0x3a8 / 8,
    LIST = 0x800
};

SVM_CODE(code_validate, "mov %rdi, %rax; xor %ecx, %ecx; mov $1, %edx;" PVALIDATE "hlt");
SVM_CODE(code_rescind, "mov %rdi, %rax; xor %ecx, %ecx; xor %edx, %edx;" PVALIDATE "hlt");
SVM_CODE(code_store, "nop; mov %rsi, (%rdi); hlt");
SVM_CODE(code_load, "nop; mov (%rdi), %rsi; hlt");
SVM_CODE(code_ask, "mov %edi, %eax; mov %rdi, %rdx; shr $32, %rdx; mov $0xc0010130, %ecx; wrmsr;"
                   ".byte 0xf3, 0x0f, 0x01, 0xd9; hlt");

static struct svm_guest good, bad;

static uint64_t run(struct svm_guest *guest, const struct svm_code *code, uint64_t rdi)
{
    sev_load(guest, code, rdi, 0, 0);
    return sev_run(guest);
}

static uint64_t page_of(const struct svm_guest *guest)
{
    return guest->memory + PAGE;
}

static void create_one(struct svm_guest *guest, unsigned asid)
{
    uint64_t *entries;

    svm_create(guest);
    guest->vmcb->asid = asid;
    entries = svm_memory(guest, GUEST_LEVEL1);
    entries[0] = PAGE | ENTRY_FLAGS | C_BIT;
    entries[1] = PAGE | ENTRY_FLAGS;
    sev_es_create(guest);
    snp_create(guest);
    snp_give(guest, page_of(guest), PAGE, 0);
}

static void create(const void *unused)
{
    uint64_t *ghcb;
    uint16_t *list;
    (void)unused;

    snp_enable();
    svm_enable();
    create_one(&good, GOOD_ASID);
    create_one(&bad, BAD_ASID);
    ghcb = svm_memory(&bad, GHCB);
    ghcb[SW_EXIT_CODE] = 0x80000010;
    ghcb[SW_SCRATCH] = GHCB + LIST;
    list = (uint16_t *)((uint8_t *)ghcb + LIST);
    list[0] = list[1] = 0;
    *(uint64_t *)(list + 4) = PAGE | 2ul << 52;
}

/* PVALIDATE, use, rescind, ask, use as a shared page; and back. */
static void by_the_rules(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(run(&good, &code_validate, PRIVATE), EXIT_HLT);
        EXPECT_EQ(run(&good, &code_store, PRIVATE), EXIT_HLT);
        EXPECT_EQ(run(&good, &code_rescind, PRIVATE), EXIT_HLT);
        EXPECT_EQ(run(&good, &code_ask, SHARE), EXIT_VMGEXIT);
        REQUIRE_EQ(rmp_unassign(page_of(&good), RMP_PAGE_4K), RMP_SUCCESS);
        EXPECT_EQ(run(&good, &code_store, SHARED), EXIT_HLT);
        EXPECT_EQ(run(&good, &code_load, SHARED), EXIT_HLT);
        snp_give(&good, page_of(&good), PAGE, 0);
    }
}

static void print_expected(const char *finding, unsigned count)
{
    print("# expect finding=%s asid=%u count=%u\n", finding, BAD_ASID, count);
}

static void validates_twice(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run(&bad, &code_validate, PRIVATE), EXIT_HLT);
    EXPECT_EQ(run(&bad, &code_validate, PRIVATE), EXIT_HLT);
    print_expected("guest-validates-twice", 1);
}

static void shares_what_is_validated(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run(&bad, &code_ask, SHARE), EXIT_VMGEXIT);
    EXPECT_EQ(run(&bad, &code_ask, GHCB), EXIT_VMGEXIT);
    print_expected("guest-shares-validated", 2);
}

/* A load gets through, a store does not. */
static void uses_a_private_page_as_shared(const void *unused)
{
    (void)unused;
    EXPECT_EQ(run(&bad, &code_load, SHARED), EXIT_HLT);
    EXPECT_EQ(run(&bad, &code_store, SHARED), EXIT_NPF);
    print_expected("guest-shared-access", 2);
}

/* #VC, for which this guest has no handler. */
static void uses_what_is_not_validated(const void *unused)
{
    (void)unused;
    bad.vmcb->intercept_exceptions = 0;
    EXPECT_EQ(run(&bad, &code_rescind, PRIVATE), EXIT_HLT);
    EXPECT_EQ(run(&bad, &code_load, PRIVATE), EXIT_SHUTDOWN);
    print_expected("guest-unvalidated-page", 1);
}

static const struct test_case cases[] = {
    TEST(create, "two SNP guests"),
    TEST(by_the_rules, "APM2 15.36.6: validation and its end"),
    TEST(validates_twice, "APM2 15.36.6: PVALIDATE reports that nothing changed"),
    TEST(shares_what_is_validated, "GHCB specification: validation is rescinded before"),
    TEST(uses_a_private_page_as_shared, "APM2 table 15-39: shared writes, shared reads"),
    TEST(uses_what_is_not_validated, "APM2 15.36.10: #VC"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
