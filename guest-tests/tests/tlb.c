// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A translation for a store must be made again after each event that drops translations, and after
 * no other. Prints as comments what the plugin's model of the TLB must have counted:
 *
 *   # expect phase=invlpg cpu=0 gb=4 outcome=checked fills=1
 *
 * for regions that nothing else accesses. native/measured_stores.py compares. "l2=N" on the command
 * line gives the number of entries of the second level.
 */
#include "runtime.h"

#include "rmpopt_mark.h"

enum { REGIONS = 2, PAGES = 16, MANY = 64, TIMES = 1000 };

#define PTE_GLOBAL (1ul << 8)
#define CR4_PGE (1ul << 7)
#define CR4_PCIDE (1ul << 17)
#define CR3_KEEP (1ul << 63)
#define INVPCID_ADDRESS 0ul
#define INVPCID_PCID 1ul
#define INVPCID_ALL 2ul
#define INVPCID_NON_GLOBAL 3ul

static struct region {
    uint64_t gb, spa;
} regions[REGIONS];
static unsigned region_count;
static uint8_t *window; /* PAGES small pages of regions[0] */
static uint8_t *global; /* the same pages, mapped global */
static uint8_t *many;   /* MANY pages of it */
static bool generous;   /* the TLB has room for all of them */
static struct svm_guest guest;

static uint64_t read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static void write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

static void invpcid(uint64_t type, uint64_t pcid, const void *address)
{
    struct {
        uint64_t pcid, address;
    } descriptor = {pcid, (uint64_t)address};
    __asm__ volatile("invpcid %0, %1" : : "m"(descriptor), "r"(type) : "memory");
}

static void flush_everything(void)
{
    write_cr4(read_cr4() ^ CR4_PGE);
    write_cr4(read_cr4() ^ CR4_PGE);
}

static void store(uint8_t *at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        *(volatile uint64_t *)(at + i * PAGE_4K) = i;
}

static void load(const uint8_t *at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        (void)*(const volatile uint64_t *)(at + i * PAGE_4K);
}

static void begin(const char *name)
{
    unsigned length = 0;
    while (name[length])
        length++;
    rmpopt_mark_phase(name, length);
}

/* Whether hardware would check or skip a write by the calling CPU. */
static const char *outcome(uint64_t gb)
{
    return cpu_has_rmpopt() && rmpopt(gb * PAGE_1G, RMPOPT_REPORT) ? "skipped" : "checked";
}

static void end_in(const char *name, const struct region *region, unsigned fills)
{
    rmpopt_mark_phase(NULL, 0);
    print("# expect phase=%s cpu=0 gb=%lu outcome=%s fills=%u\n", name, region->gb,
          outcome(region->gb), fills);
}

/* A phase: stores to the window's pages, of which so many must be translated again. */
static void expect_fills(const char *name, uint8_t *at, unsigned pages, unsigned fills)
{
    begin(name);
    store(at, pages);
    store(at, pages);
    end_in(name, &regions[0], fills);
}

static void set_up(const void *unused)
{
    (void)unused;
    for (uint64_t gb = 1; gb * PAGE_1G < ram_end() && region_count < REGIONS; gb++) {
        uint64_t spa = gb * PAGE_1G + 64 * PAGE_2M;
        if (claim(spa, PAGE_2M))
            regions[region_count++] = (struct region){gb, spa};
    }
    REQUIRE_EQ(region_count, REGIONS);
    window = map_window(regions[0].spa, PAGES * PAGE_4K, PAGE_4K, MAP_WRITE);
    global = map_window(regions[0].spa, PAGES * PAGE_4K, PAGE_4K, MAP_WRITE | PTE_GLOBAL);
    many = map_window(regions[0].spa, MANY * PAGE_4K, PAGE_4K, MAP_WRITE);
    generous = option_number("l2", 0) > 2 * MANY;
    write_cr4(read_cr4() | CR4_PGE);
    snp_enable();
    if (cpu_has_rmpopt()) {
        rmpopt_enable_everywhere(0);
        rmpopt(regions[1].gb * PAGE_1G, RMPOPT_VERIFY);
    }
}

static void capacity(const void *unused)
{
    (void)unused;
    flush_everything();
    begin("fill");
    store(many, MANY);
    end_in("fill", &regions[0], MANY);
    begin("refill");
    store(many, MANY);
    end_in("refill", &regions[0], generous ? 0 : MANY);
}

static void small_pages(const void *unused)
{
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    flush_everything();
    expect_fills("first", window, PAGES, PAGES);
    expect_fills("again", window, PAGES, 0);
}

static void loads_first(const void *unused)
{
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    flush_everything();
    begin("loads");
    load(window, PAGES);
    end_in("loads", &regions[0], 0);
    expect_fills("stores", window, PAGES, PAGES);
    invlpg(window);
    load(window, 1);
    expect_fills("stores-after-load", window, PAGES, 1);
}

static void large_pages(const void *unused)
{
    uint8_t *two = map_window(regions[0].spa, PAGE_2M, PAGE_2M, MAP_WRITE);
    uint8_t *one = map_window(regions[0].gb * PAGE_1G, PAGE_1G, PAGE_1G, MAP_WRITE);
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    store(two, 1);
    invlpg(two + 5 * PAGE_4K);
    expect_fills("2m", two, MANY, 1);
    invlpg(one);
    expect_fills("1g", one + 64 * PAGE_2M, MANY, 1);
    invlpg(one + 64 * PAGE_2M + PAGE_4K);
    expect_fills("1g-invlpg", one + 64 * PAGE_2M, MANY, 1);
}

static void one_page(const void *unused)
{
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    store(window, PAGES);
    store(global, PAGES);
    invlpg(window + 3 * PAGE_4K);
    expect_fills("invlpg", window, PAGES, 1);
    expect_fills("invlpg-other", global, PAGES, 0);
    invlpg(global + 3 * PAGE_4K);
    expect_fills("invlpg-global", global, PAGES, 1);
    invlpg(window + PAGES * PAGE_4K); /* absent */
    expect_fills("invlpg-nothing", window, PAGES, 0);
}

static void control_registers(const void *unused)
{
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    store(window, PAGES);
    store(global, PAGES);
    flush_tlb();
    expect_fills("cr3", window, PAGES, PAGES);
    expect_fills("cr3-global", global, PAGES, 0);
    flush_everything();
    expect_fills("pge", window, PAGES, PAGES);
    expect_fills("pge-global", global, PAGES, PAGES);
    write_cr4(read_cr4()); /* no change */
    expect_fills("cr4-same", global, PAGES, 0);
}

/* The second address space has the same tables. */
static void address_spaces(const void *unused)
{
    uint64_t cr3 = read_cr3();
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    if (!(cpuid(1, 0).ecx >> 17 & 1))
        SKIP("no PCID");
    write_cr4(read_cr4() | CR4_PCIDE);
    store(window, PAGES);
    store(global, PAGES);
    write_cr3(cr3 | 1 | CR3_KEEP);
    expect_fills("pcid-other", window, PAGES, PAGES);
    expect_fills("pcid-other-global", global, PAGES, 0);
    write_cr3(cr3 | CR3_KEEP);
    expect_fills("pcid-back", window, PAGES, 0);
    write_cr3(cr3 | 1);
    expect_fills("pcid-flushed", window, PAGES, PAGES);
    write_cr3(cr3 | CR3_KEEP);
    expect_fills("pcid-kept", window, PAGES, 0);
    if (!(cpuid(7, 0).ebx >> 10 & 1)) {
        write_cr4(read_cr4() & ~CR4_PCIDE);
        SKIP("no INVPCID");
    }
    invpcid(INVPCID_ADDRESS, 0, window + PAGE_4K);
    expect_fills("invpcid-address", window, PAGES, 1);
    invpcid(INVPCID_ADDRESS, 1, window + PAGE_4K);
    expect_fills("invpcid-other-address", window, PAGES, 0);
    invpcid(INVPCID_PCID, 1, NULL);
    expect_fills("invpcid-other", window, PAGES, 0);
    invpcid(INVPCID_PCID, 0, NULL);
    expect_fills("invpcid", window, PAGES, PAGES);
    expect_fills("invpcid-global", global, PAGES, 0);
    invpcid(INVPCID_NON_GLOBAL, 0, NULL);
    expect_fills("invpcid-all-but-global", window, PAGES, PAGES);
    expect_fills("invpcid-all-but-global-global", global, PAGES, 0);
    invpcid(INVPCID_ALL, 0, NULL);
    expect_fills("invpcid-all", global, PAGES, PAGES);
    write_cr4(read_cr4() & ~CR4_PCIDE);
}

/* The same virtual page is mapped to one region, then to the other, while the model runs. */
static void remapped(const void *unused)
{
    uint8_t *page = map_window(regions[0].spa, PAGE_4K, PAGE_4K, MAP_WRITE);
    (void)unused;
    store(page, 1);
    begin("remapped");
    for (unsigned i = 1; i < 6; i++) {
        map_page((uint64_t)page, regions[i % 2].spa, PAGE_4K, MAP_WRITE);
        invlpg(page);
        for (unsigned times = 0; times < TIMES; times++)
            store(page, 1);
    }
    rmpopt_mark_phase(NULL, 0);
    for (unsigned i = 0; i < 2; i++)
        print("# expect phase=remapped cpu=0 gb=%lu outcome=%s fills=%u\n", regions[i].gb,
              outcome(regions[i].gb), i == 0 ? 2 : 3);
}

static void assign_and_take_back(void *page)
{
    EXPECT_EQ(rmp_assign((uint64_t)page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_EQ(rmp_unassign((uint64_t)page, RMP_PAGE_4K), RMP_SUCCESS);
}

/* RMPUPDATE drops the translations of its page on all CPUs. */
static void rmp_changes(const void *unused)
{
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    store(window, PAGES);
    assign_and_take_back((void *)(regions[0].spa + 2 * PAGE_4K));
    expect_fills("rmpupdate", window, PAGES, 1);
    run_on_cpu(cpu_count() - 1, assign_and_take_back, (void *)(regions[0].spa + 3 * PAGE_4K));
    expect_fills("rmpupdate-elsewhere", window, PAGES, 1);
    assign_and_take_back((void *)(regions[0].spa + MANY * PAGE_4K));
    expect_fills("rmpupdate-of-another-page", window, PAGES, 0);
}

SVM_CODE(code_stores, "mov $1000, %ecx; 1: mov %rsi, (%rdi); dec %ecx; jnz 1b; vmmcall");

static void run_guest(const char *name, uint8_t tlb_control, unsigned fills)
{
    uint64_t page = GUEST_SMALL + 3 * PAGE_4K;
    svm_load(&guest, &code_stores);
    guest.registers.rdi = page;
    guest.vmcb->tlb_control = tlb_control;
    begin(name);
    EXPECT_EQ(svm_run(&guest), EXIT_VMMCALL);
    rmpopt_mark_phase(NULL, 0);
    print("# expect phase=%s cpu=0 gb=%lu outcome=%s accessor=guest stores=%u\n", name,
          regions[0].gb, outcome(regions[0].gb), TIMES);
    print("# expect phase=%s cpu=0 gb=%lu outcome=%s accessor=guest fills=%u\n", name,
          regions[0].gb, outcome(regions[0].gb), fills);
}

/* A guest's translations belong to its ASID and survive #VMEXIT. */
static void guests(const void *unused)
{
    uint64_t *entry;
    (void)unused;
    if (!generous)
        SKIP("the TLB is too small");
    if (!(cpuid(0x80000001, 0).ecx >> 2 & 1))
        SKIP("no SVM");
    svm_enable();
    svm_create(&guest);
    entry = svm_nested_entry(&guest, GUEST_SMALL + 3 * PAGE_4K);
    *entry = regions[0].spa | (*entry & (PAGE_4K - 1));
    store(window, PAGES);
    run_guest("guest", TLB_FLUSH_GUEST, 1);
    run_guest("guest-again", TLB_KEEP, 0);
    run_guest("guest-flushed", TLB_FLUSH_GUEST, 1);
    run_guest("guest-flushed-non-global", TLB_FLUSH_GUEST_NON_GLOBAL, 1);
    guest.vmcb->asid++;
    run_guest("guest-of-another-asid", TLB_KEEP, 1);
    guest.vmcb->asid--;
    run_guest("guest-back", TLB_KEEP, 0);
    expect_fills("host-after-guests", window, PAGES, 0);
    run_guest("guest-flush-all", TLB_FLUSH_ALL, 1);
    expect_fills("host-after-flush-all", window, PAGES, PAGES);
    run_guest("guest-after-host", TLB_KEEP, 0);
    __asm__ volatile("invlpga" : : "a"(GUEST_SMALL + 3 * PAGE_4K), "c"(guest.vmcb->asid));
    run_guest("invlpga", TLB_KEEP, 1);
}

static const struct test_case cases[] = {
    TEST(set_up, "two regions, the second one optimised"),
    TEST(capacity, "a model, not a rule"),
    TEST(small_pages, "one translation for a page"),
    TEST(loads_first, "the RMP is looked at when a translation comes to be used for stores"),
    TEST(large_pages, "one translation for a page of any size (APM2 5.3)"),
    TEST(one_page, "INVLPG, global pages too (APM2 5.5.2)"),
    TEST(control_registers, "MOV CR3 but for global pages, CR4.PGE for all (APM2 5.5.2)"),
    TEST(address_spaces, "translations belong to a PCID (APM2 5.5.1); INVPCID (APM3)"),
    TEST(remapped, "INVLPG, then another page"),
    TEST(rmp_changes, "RMPUPDATE ends translations of its page"),
    TEST(guests, "translations belong to an ASID (APM2 15.16), TLB_CONTROL, INVLPGA"),
};
TEST_SUITE_IF(cases, snp_unmet);
