// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who reads a private page of an SNP guest without being that guest sees noise, and so does the
 * guest where others have written. Nothing is lost by looking from the other side.
 */
#include "encrypted_guest.h"
#include "runtime.h"

SVM_CODE(code_store, "mov %rsi, (%rdi); hlt");
SVM_CODE(code_load, "mov (%rdi), %rbx; hlt");
SVM_CODE(code_validate,
         "mov %rdi, %rax; xor %ecx, %ecx; mov $1, %edx;" PVALIDATE "mov (%rdi), %rbx; hlt");
SVM_CODE(code_rescind_and_validate,
         "mov %rdi, %rax; xor %ecx, %ecx; xor %edx, %edx;" PVALIDATE
         "mov %rdi, %rax; xor %ecx, %ecx; mov $1, %edx;" PVALIDATE "mov (%rdi), %rbx; hlt");
/* The entry of PAGE_A is the first of the guest's lowest table. */
SVM_CODE(code_look_without_c_bit,
         "mov $0x4000, %ecx; btrq $51, (%rcx); invlpg (%rdi); mov (%rdi), %rbx;"
         "btsq $51, (%rcx); invlpg (%rdi); hlt");
_Static_assert(GUEST_LEVEL1 == 0x4000 && PAGE_A == GUEST_SMALL, "as in the code above");

static volatile uint64_t *page_a(void)
{
    return svm_memory(&guest, PAGE_A);
}

/* As hardware has it: the VMSA is private, too. To be opened before the host looks into it. */
static uint64_t guest_rbx(void)
{
    open_vmsa();
    const uint64_t value = vmsa[VMSA_RBX];
    close_vmsa();
    return value;
}

static void guest_stores(uint64_t address)
{
    EXPECT_EQ(run_encrypted(&code_store, address), EXIT_HLT);
}

static uint64_t guest_loads(uint64_t address)
{
    EXPECT_EQ(run_encrypted(&code_load, address), EXIT_HLT);
    return guest_rbx();
}

static void create(const void *unused)
{
    (void)unused;
    encrypted_guest_create();
    encrypted_guest_become_snp();
    EXPECT_EQ(run_encrypted(&code_load, PAGE_A), EXIT_HLT);
}

static void the_host_reads_noise(const void *unused)
{
    (void)unused;
    guest_stores(PAGE_A);
    guest_stores(PAGE_B);
    const uint64_t a = *page_a(), b = *(volatile uint64_t *)svm_memory(&guest, PAGE_B);
    EXPECT(a != GUEST_RSI);
    EXPECT(b != GUEST_RSI);
    EXPECT(a != b);
    EXPECT_EQ(*page_a(), a);
    EXPECT_EQ(guest_loads(PAGE_A), GUEST_RSI);
}

static void the_noise_is_of_what_the_guest_has(const void *unused)
{
    (void)unused;
    guest_stores(PAGE_A);
    const uint64_t noise = *page_a();
    encrypted_guest_load(&code_store, PAGE_A);
    open_vmsa();
    vmsa[VMSA_RSI] = 1;
    close_vmsa();
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    flush_tlb();
    EXPECT(*page_a() != noise);
    guest_stores(PAGE_A);
    flush_tlb();
    EXPECT_EQ(*page_a(), noise);
}

/* The guest itself, without the C-bit in its table, which it maps as any other page. */
static void without_the_c_bit(const void *unused)
{
    (void)unused;
    guest_stores(PAGE_A);
    const uint64_t noise = *page_a();
    EXPECT_EQ(run_encrypted(&code_look_without_c_bit, PAGE_A), EXIT_HLT);
    EXPECT_EQ(guest_rbx(), noise);
    EXPECT_EQ(guest_loads(PAGE_A), GUEST_RSI);
}

static void a_page_that_is_taken_stays_noise(const void *unused)
{
    const uint64_t page = guest.memory + PAGE_A;
    (void)unused;
    guest_stores(PAGE_A);
    const uint64_t noise = *page_a();
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_EQ(*page_a(), noise);
    give_to_guest(page, PAGE_A, 0);
    EXPECT_EQ(*page_a(), noise);
    EXPECT_EQ(run_encrypted(&code_validate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(guest_rbx(), GUEST_RSI);
    EXPECT_EQ(*page_a(), noise);
}

static void what_the_host_wrote_is_noise_to_the_guest(const void *unused)
{
    const uint64_t page = guest.memory + PAGE_A, text = 0x746e6573657270;
    (void)unused;
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    *page_a() = text;
    give_to_guest(page, PAGE_A, 0);
    EXPECT_EQ(*page_a(), text);
    EXPECT_EQ(run_encrypted(&code_validate, PAGE_A), EXIT_HLT);
    EXPECT(guest_rbx() != text);
    EXPECT_EQ(*page_a(), text);
}

static void validation_keeps_the_content(const void *unused)
{
    (void)unused;
    guest_stores(PAGE_A);
    EXPECT_EQ(run_encrypted(&code_rescind_and_validate, PAGE_A), EXIT_HLT);
    EXPECT_EQ(guest_rbx(), GUEST_RSI);
}

/* A translation that the host has made before must not show what comes later. */
static void an_old_translation_shows_nothing(const void *unused)
{
    const uint64_t page = guest.memory + PAGE_A;
    (void)unused;
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    *page_a() = 0;
    give_to_guest(page, PAGE_A, 0);
    EXPECT_EQ(*page_a(), 0);
    EXPECT_EQ(run_encrypted(&code_validate, PAGE_A), EXIT_HLT);
    guest_stores(PAGE_A);
    EXPECT(*page_a() != GUEST_RSI);
    REQUIRE_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    *page_a() = 0;
    EXPECT_EQ(*page_a(), 0);
    give_to_guest(page, PAGE_A, RMP_VALIDATED);
}

static void shared_pages_are_as_they_are(const void *unused)
{
    (void)unused;
    guest_stores(PAGE_SHARED);
    EXPECT_EQ(*(volatile uint64_t *)svm_memory(&guest, PAGE_SHARED), GUEST_RSI);
}

static void registers_are_noise(const void *unused)
{
    (void)unused;
    encrypted_guest_load(&code_store, PAGE_A);
    open_vmsa();
    give_to_guest((uint64_t)vmsa, VMSA_GPA, RMP_VMSA | RMP_VALIDATED);
    EXPECT_EQ(encrypted_guest_run(), EXIT_HLT);
    volatile uint64_t *seen = vmsa;
    EXPECT(seen[VMSA_RSI] != GUEST_RSI);
    EXPECT(seen[VMSA_RDI] != PAGE_A);
    EXPECT(seen[VMSA_CR3] != 0);
}

static const struct test_case cases[] = {
    TEST(create, "a guest with private pages"),
    TEST(the_host_reads_noise, "APM2 15.34: ciphertext"),
    TEST(the_noise_is_of_what_the_guest_has, "APM2 15.34"),
    TEST(without_the_c_bit, "APM2 15.34.5: reads without the C-bit"),
    TEST(a_page_that_is_taken_stays_noise, "APM2 15.36.5"),
    TEST(what_the_host_wrote_is_noise_to_the_guest, "APM2 15.36.5"),
    TEST(validation_keeps_the_content, "APM2 15.36.6"),
    TEST(an_old_translation_shows_nothing, "the host's TLB"),
    TEST(shared_pages_are_as_they_are, "APM2 15.34.5: without the C-bit"),
    TEST(registers_are_noise, "APM2 15.36.5: the VMSA"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
