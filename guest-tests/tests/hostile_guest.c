// SPDX-License-Identifier: GPL-2.0-or-later
/* Guests with encrypted memory that attack their host, or the machine. */
#include "encrypted_guest.h"
#include "runtime.h"

SVM_CODE(code_hlt, "nop; hlt");
SVM_CODE(code_cpuid, "nop; cpuid");

static void create(const void *unused)
{
    (void)unused;
    encrypted_guest_create();
    encrypted_guest_become_snp();
    EXPECT_EQ(run_encrypted(&code_hlt, 0), EXIT_HLT);
}

static void no_descriptors(const void *unused)
{
    uint64_t limit = vmsa[VMSA_IDTR];
    (void)unused;
    encrypted_guest_load(&code_cpuid, 0);
    open_vmsa();
    vmsa[VMSA_IDTR] = 0;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_SHUTDOWN);
    open_vmsa();
    vmsa[VMSA_IDTR] = limit;
    close_vmsa();
}

static void stack_not_there(const void *unused)
{
    (void)unused;
    encrypted_guest_load(&code_cpuid, 0);
    open_vmsa();
    vmsa[VMSA_RSP] = 1ul << 40;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_SHUTDOWN);
}

static const struct test_case cases[] = {
    TEST(create, "x"),
    TEST(no_descriptors, "x"),
    TEST(stack_not_there, "x"),
};
TEST_SUITE_IF(cases, encrypted_guest_unmet);
