// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Devices and assigned pages: three pages in a row, of which the middle one is assigned. The parts
 * of a transfer that are allowed must arrive, and the rest must leave no trace. Also runs on stock
 * QEMU, where the cases that need the RMP are skipped.
 */
#include "dma.h"
#include "runtime.h"

enum { PAGES = 3, BYTES = PAGES * PAGE_4K, BIG = 2 * PAGE_4K };

static uint8_t *window;     /* mapped one to one, so its address is the SPA */
static uint8_t source[BIG]; /* the data that a device writes */
static struct fw_cfg_command command;

struct engine {
    bool (*start)(void); /* fills source with the data of write(); false if there is no device */
    void (*write)(uint64_t spa, unsigned length);
};

struct transfer {
    const struct engine *engine;
    unsigned start, length; /* in the window */
};

static uint8_t old_byte(unsigned i)
{
    return (uint8_t)(i * 11 + 5);
}

static void fill(void)
{
    for (unsigned i = 0; i < BYTES; i++)
        window[i] = old_byte(i);
}

static void make_window(const void *unused)
{
    (void)unused;
    window = (uint8_t *)(allocate_or_fail(PAGE_2M, PAGE_2M) + 6 * PAGE_4K);
    snp_enable();
}

static void fw_cfg_write(uint64_t spa, unsigned length)
{
    fw_cfg_fill_read(&command, FW_CFG_FILE_DIRECTORY, spa, length);
    fw_cfg_execute((uint64_t)&command);
}

static bool fw_cfg_start(void)
{
    if (!fw_cfg_has_dma())
        return false;
    fw_cfg_write((uint64_t)source, BIG);
    return source[3] != 0; /* the directory begins with the number of its entries */
}

static void edu_write(uint64_t spa, unsigned length)
{
    edu_write_memory(spa, 0, length);
}

static bool edu_start(void)
{
    static bool found;
    if (!found)
        found = edu_init();
    if (!found)
        return false;
    for (unsigned i = 0; i < EDU_BUFFER_SIZE; i++)
        source[i] = (uint8_t)(i * 3 + i / 256 + 1);
    edu_read_memory((uint64_t)source, 0, EDU_BUFFER_SIZE);
    return true;
}

static const struct engine fw_cfg = {fw_cfg_start, fw_cfg_write}, edu = {edu_start, edu_write};

static bool in_owned_page(unsigned i)
{
    return i / PAGE_4K == 1;
}

/* Counts wrong bytes: outside assigned pages the transfer's data is right, in them the old
 * contents. */
static unsigned wrong_bytes(const struct transfer *transfer, bool blocked)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < BYTES; i++) {
        bool written = i >= transfer->start && i < transfer->start + transfer->length &&
                       !(blocked && in_owned_page(i));
        wrong += window[i] != (written ? source[i - transfer->start] : old_byte(i));
    }
    return wrong;
}

static void assign(void)
{
    EXPECT_EQ(rmp_assign((uint64_t)window + PAGE_4K, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
}

static void unassign(void)
{
    EXPECT_EQ(rmp_unassign((uint64_t)window + PAGE_4K, RMP_PAGE_4K), RMP_SUCCESS);
}

static void copies(const void *argument)
{
    const struct transfer *transfer = argument;

    if (!transfer->engine->start())
        SKIP("the machine lacks the device: --qemu-opts '-device edu,dma_mask=0xffffffff'");
    fill();
    transfer->engine->write((uint64_t)window + transfer->start, transfer->length);
    EXPECT_EQ(wrong_bytes(transfer, false), 0);
}

static void spares_the_assigned_page(const void *argument)
{
    const struct transfer *transfer = argument;

    if (snp_unmet())
        SKIP(snp_unmet());
    if (!transfer->engine->start())
        SKIP("the machine lacks the device: --qemu-opts '-device edu,dma_mask=0xffffffff'");
    fill();
    assign();
    transfer->engine->write((uint64_t)window + transfer->start, transfer->length);
    EXPECT_EQ(wrong_bytes(transfer, true), 0);
    EXPECT_EQ(rmp_lookup((uint64_t)window + PAGE_4K).assigned, 1);
    unassign();
    fill();
    transfer->engine->write((uint64_t)window + transfer->start, transfer->length);
    EXPECT_EQ(wrong_bytes(transfer, false), 0);
}

/* The device does not stop at the first page that it must not touch. */
static void spares_an_assigned_2m_page(const void *argument)
{
    const struct engine *engine = argument;
    uint64_t base = allocate_or_fail(2 * PAGE_2M, PAGE_2M), border = base + PAGE_2M;

    if (snp_unmet())
        SKIP(snp_unmet());
    if (!engine->start())
        SKIP("the machine lacks the device: --qemu-opts '-device edu,dma_mask=0xffffffff'");
    REQUIRE_EQ(rmp_assign(base, RMP_PAGE_2M, 1, 0), RMP_SUCCESS);
    engine->write(border - 64, 128);
    engine->write(border - 33 * PAGE_4K - 64, 128);
    for (unsigned i = 0; i < 64; i++) {
        EXPECT_EQ(*(uint8_t *)(border - 64 + i), 0);
        EXPECT_EQ(*(uint8_t *)(border + i), source[64 + i]);
        EXPECT_EQ(*(uint8_t *)(border - 33 * PAGE_4K - 64 + i), 0);
        EXPECT_EQ(*(uint8_t *)(border - 33 * PAGE_4K + i), 0);
    }
    EXPECT_EQ(rmp_unassign(base, RMP_PAGE_2M), RMP_SUCCESS);
}

/* After a device was blocked, the CPU's own stores must be checked as before. */
static void cpu_goes_on(const void *argument)
{
    const struct engine *engine = argument;
    uint8_t *owned = window + PAGE_4K;

    if (snp_unmet())
        SKIP(snp_unmet());
    if (!engine->start())
        SKIP("the machine lacks the device: --qemu-opts '-device edu,dma_mask=0xffffffff'");
    fill();
    assign();
    engine->write((uint64_t)owned, 64);
    __asm__ volatile(GUARDED("movb $1, (%0)") : : "r"(owned) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, VECTOR_PF);
    EXPECT_EQ(this_cpu()->trap.error_code, PF_RMP | PF_WRITE | PF_PRESENT);
    EXPECT_EQ(owned[0], old_byte(PAGE_4K));
    __asm__ volatile(GUARDED("movb $1, (%0)") : : "r"(owned - 1) : "memory");
    EXPECT_EQ(this_cpu()->trap_vector, NO_TRAP);
    EXPECT_EQ(owned[-1], 1);
    unassign();
}

/* fw_cfg clears the command's control word when it is done. */
static void status_into_an_assigned_page(const void *unused)
{
    struct fw_cfg_command *owned = (struct fw_cfg_command *)(window + PAGE_4K + 64), before;
    (void)unused;

    if (snp_unmet())
        SKIP(snp_unmet());
    fill();
    fw_cfg_fill_read(owned, FW_CFG_FILE_DIRECTORY, (uint64_t)window, 8);
    before = *owned;
    assign();
    fw_cfg_execute((uint64_t)owned);
    EXPECT_EQ(memcmp(owned, &before, sizeof(before)), 0);
    unassign();
    fw_cfg_execute((uint64_t)owned);
    EXPECT_EQ(owned->control, 0);
}

static void command_in_an_assigned_page(const void *unused)
{
    struct fw_cfg_command *owned = (struct fw_cfg_command *)(window + PAGE_4K + 64);
    (void)unused;

    if (snp_unmet())
        SKIP(snp_unmet());
    known_limit("write protection does not hold off a device's reads");
    fill();
    fw_cfg_fill_read(owned, FW_CFG_FILE_DIRECTORY, (uint64_t)window, 8);
    assign();
    fw_cfg_execute((uint64_t)owned);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_EQ(window[i], old_byte(i));
    unassign();
}

static void read_of_an_assigned_page(const void *unused)
{
    unsigned leaked = 0;
    (void)unused;

    if (snp_unmet())
        SKIP(snp_unmet());
    if (!edu_start())
        SKIP("the machine lacks the device: --qemu-opts '-device edu,dma_mask=0xffffffff'");
    known_limit("write protection does not hold off a device's reads");
    fill();
    assign();
    edu_read_memory((uint64_t)window + PAGE_4K, 0, 256);
    memset(window, 0, 256);
    edu_write_memory((uint64_t)window, 0, 256);
    for (unsigned i = 0; i < 256; i++)
        leaked += window[i] == old_byte(PAGE_4K + i);
    EXPECT(leaked < 16);
    unassign();
}

static const struct {
    struct transfer free, inside, whole, into, out_of, few_into, few_out_of;
} by_fw_cfg =
    {
        .free = {&fw_cfg, 100, 333},
        .inside = {&fw_cfg, PAGE_4K + 129, 256},
        .whole = {&fw_cfg, PAGE_4K, PAGE_4K},
        .into = {&fw_cfg, PAGE_4K - 300, 700},
        .out_of = {&fw_cfg, 2 * PAGE_4K - 301, 700},
        .few_into = {&fw_cfg, PAGE_4K - 3, 11},
        .few_out_of = {&fw_cfg, 2 * PAGE_4K - 1, 2},
},
  by_edu = {
      .free = {&edu, 100, 333},
      .inside = {&edu, PAGE_4K + 129, 256},
      .whole = {&edu, PAGE_4K, PAGE_4K},
      .into = {&edu, PAGE_4K - 300, 700},
      .out_of = {&edu, 2 * PAGE_4K - 301, 700},
      .few_into = {&edu, PAGE_4K - 3, 11},
      .few_out_of = {&edu, 2 * PAGE_4K - 1, 2},
};
static const struct transfer over_all = {&fw_cfg, PAGE_4K - 96, PAGE_4K + 300};

#define DMA_RULE "APM2 table 15-39: a device writes to hypervisor-owned pages only"
#define SPARES(by, kind) TEST_WITH(#by "_" #kind, spares_the_assigned_page, &(by).kind, DMA_RULE)
#define DEVICE(by, device)                                                                         \
    TEST_WITH(#by "_copies", copies, &(by).free, "the device itself, as QEMU documents it"),       \
        SPARES(by, free), SPARES(by, inside), SPARES(by, whole), SPARES(by, into),                 \
        SPARES(by, out_of), SPARES(by, few_into), SPARES(by, few_out_of),                          \
        TEST_WITH(#by "_2m_page", spares_an_assigned_2m_page, &(device), DMA_RULE),                \
        TEST_WITH(#by "_cpu_goes_on", cpu_goes_on, &(device),                                      \
                  "IOMMU specification: a blocked transfer is the device's problem")

static const struct test_case cases[] = {
    TEST(make_window, "APM2 15.36.2: SNP_EN on all CPUs"),
    DEVICE(by_fw_cfg, fw_cfg),
    TEST_WITH("by_fw_cfg_over_all", spares_the_assigned_page, &over_all, DMA_RULE),
    TEST(status_into_an_assigned_page, DMA_RULE),
    DEVICE(by_edu, edu),
    TEST(command_in_an_assigned_page,
         "APM2 table 15-39: a device reads hypervisor-owned pages only"),
    TEST(read_of_an_assigned_page, "APM2 table 15-39: a device reads hypervisor-owned pages only"),
};
TEST_SUITE(cases);
