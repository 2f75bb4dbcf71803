// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stores of guests, to a page that the host stores to at the same address: by a plain guest, by an
 * SEV-ES guest, and by an SNP guest, for which it is shared at first and then private. Prints what
 * the plugin must have counted, as measure.c does, with the accessor.
 */
#include "runtime.h"

#include "rmpopt_mark.h"
#include "snp_guest.h"

#define ENTRY_FLAGS 0x67ul /* present, write, user, accessed, dirty */
enum {
    TIMES = 1000,
    OFFSET = 77 * PAGE_4K, /* a page by which nobody else finds the plugin's counters */
};
/* Unused by svm_create(): tables of three levels. */
#define SPARE_TABLES 0x5000ul
#define TARGET GUEST_SMALL /* guest-physical address of the page that is stored to */

static struct svm_guest guest;
static uint64_t target; /* its system address, in a region where nothing else is */
static uint8_t *window; /* its address for the host, and for the guest */
static uint64_t *guest_entry;

/* RCX stores, one in a loop and sixteen in one instruction by turns. */
SVM_CODE(code_store,
         "mov %rdi, %rsi; 1: mov %rax, (%rsi); mov %rcx, %rdx; mov $16, %ecx; rep stosq;"
         "mov %rsi, %rdi; mov %rdx, %rcx; dec %rcx; jnz 1b; hlt");

static uint64_t *table_entry(uint64_t table, unsigned level)
{
    return (uint64_t *)svm_memory(&guest, table) + ((uint64_t)window >> (12 + 9 * level) & 0x1ff);
}

/* Maps the window in the guest's own tables. */
static void map_window_in_guest(void)
{
    uint64_t *top = table_entry(GUEST_TABLES, 3);

    REQUIRE(!*top);
    *top = SPARE_TABLES | ENTRY_FLAGS;
    *table_entry(SPARE_TABLES, 2) = (SPARE_TABLES + PAGE_4K) | ENTRY_FLAGS;
    *table_entry(SPARE_TABLES + PAGE_4K, 1) = (SPARE_TABLES + 2 * PAGE_4K) | ENTRY_FLAGS;
    guest_entry = table_entry(SPARE_TABLES + 2 * PAGE_4K, 0);
    *guest_entry = TARGET | ENTRY_FLAGS;
}

static void create(const void *unused)
{
    (void)unused;
    snp_enable();
    svm_enable();
    for (uint64_t gb = 1; !target && gb * PAGE_1G < ram_end(); gb++)
        if (claim(gb * PAGE_1G + 64 * PAGE_2M, PAGE_2M))
            target = gb * PAGE_1G + 64 * PAGE_2M + OFFSET;
    REQUIRE(target);
    window = (uint8_t *)map_window(target - OFFSET, PAGE_2M, PAGE_4K, MAP_WRITE) + OFFSET;
    svm_create(&guest);
    guest.vmcb->tlb_control = TLB_FLUSH_GUEST;
    map_window_in_guest();
    *svm_nested_entry(&guest, TARGET) = target | ENTRY_FLAGS;
    if (cpu_has_rmpopt())
        rmpopt_enable_everywhere(0);
}

static bool optimise(void)
{
    return cpu_has_rmpopt() && rmpopt(target, RMPOPT_VERIFY);
}

static void print_expected(const char *phase, const char *accessor, bool skipped)
{
    print("# expect phase=%s cpu=0 gb=%lu accessor=%s outcome=%s stores=%u\n", phase,
          target / PAGE_1G, accessor, skipped ? "skipped" : "checked", 17 * TIMES);
}

static unsigned length_of(const char *text)
{
    unsigned n = 0;
    while (text[n])
        n++;
    return n;
}

/* One fill of a modelled TLB: VMRUN has emptied it of the guest's translations. */
static void run_and_count(const char *phase, const char *accessor, bool skipped)
{
    rmpopt_mark_phase(phase, length_of(phase));
    EXPECT_EQ(sev_run(&guest), EXIT_HLT);
    rmpopt_mark_phase(NULL, 0);
    print_expected(phase, accessor, skipped);
    print("# expect phase=%s cpu=0 gb=%lu accessor=%s outcome=%s fills=1\n", phase,
          target / PAGE_1G, accessor, skipped ? "skipped" : "checked");
}

/* Also for the translation, and so that what is known of the address is about the host's page. */
static void store_by_host(unsigned times)
{
    while (times--)
        *(volatile uint64_t *)window = times;
}

static void host(const void *phase)
{
    bool skipped = optimise();

    store_by_host(1);
    rmpopt_mark_phase(phase, length_of(phase));
    store_by_host(17 * TIMES);
    rmpopt_mark_phase(NULL, 0);
    print_expected(phase, "host", skipped);
}

static void plain_guest(const void *unused)
{
    (void)unused;
    svm_load(&guest, &code_store);
    guest.registers.rcx = TIMES;
    guest.registers.rdi = (uint64_t)window;
    bool skipped = optimise();
    store_by_host(1);
    run_and_count("plain", "guest", skipped);
}

static void load(void)
{
    sev_load(&guest, &code_store, (uint64_t)window, 0, TIMES);
}

static void sev_es_guest(const void *unused)
{
    (void)unused;
    sev_es_create(&guest);
    load();
    bool skipped = optimise();
    store_by_host(1);
    run_and_count("sev-es", "guest", skipped);
}

/* Neither the host's nor another guest's optimisation of the region is one for an SNP guest. */
static void shared_page_of_an_snp_guest(const void *unused)
{
    (void)unused;
    snp_create(&guest);
    load();
    EXPECT_EQ(optimise(), cpu_has_rmpopt());
    store_by_host(1);
    run_and_count("snp-shared", "snp-guest", false);
    EXPECT_EQ(optimise(), cpu_has_rmpopt());
}

static void private_page_of_an_snp_guest(const void *unused)
{
    (void)unused;
    uint64_t table = SPARE_TABLES + 2 * PAGE_4K;
    snp_take(guest.memory + table);
    *guest_entry |= C_BIT;
    snp_give(&guest, guest.memory + table, table, RMP_VALIDATED);
    snp_give(&guest, target, TARGET, RMP_VALIDATED);
    load();
    EXPECT(!optimise());
    run_and_count("snp-private", "snp-guest", false);
    REQUIRE_EQ(rmp_unassign(target, RMP_PAGE_4K), RMP_SUCCESS);
}

static const struct test_case cases[] = {
    TEST(create, "guests of each kind"),
    TEST_WITH("host_before", host, "host-before", "the host's stores"),
    TEST(plain_guest, "RMPOPT serves non-SNP guests"),
    TEST(sev_es_guest, "an SEV-ES guest is a non-SNP guest"),
    TEST(shared_page_of_an_snp_guest, "RMPOPT does not serve SNP guests"),
    TEST_WITH("host_between", host, "host-between", "the host's stores to the same page"),
    TEST(private_page_of_an_snp_guest, "APM2 table 15-39: private writes are checked"),
    TEST_WITH("host_after", host, "host-after", "the host's stores when the page has come back"),
};
TEST_SUITE_IF(cases, snp_guest_unmet);
