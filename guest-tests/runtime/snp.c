// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp.h"

#include "console.h"
#include "ktap.h"
#include "paging.h"
#include "smp.h"
#include "x86.h"

enum {
    BOOKKEEPING_SIZE = 0x4000,
    SEGMENT_TABLE_SIZE = 0x1000,
    SEGMENT_ENTRIES = 512,
    ENTRY_SIZE = 16,
};
#define MOST_TO_ZERO (256ul << 20)
#define SEGMENT_BASE_MASK 0x000ffffffff00000ul
#define SEGMENT_SIZE_MASK 0xffffful
#define RMP_BASE_MASK 0x000fffffffffe000ul

/* The fields of an entry in memory that rmp_lookup() needs. */
#define RAW_GPA_MASK 0x0007fffffffff000ul
#define RAW_ASID_SHIFT 51
#define RAW_ASID_MASK 0x3fful

static struct {
    bool present, segmented;
    uint64_t base, end;
    unsigned segment_shift;
    const uint64_t *segment_table;
} rmp;
static bool enabled;

static struct cpuid_leaf extended_leaf(uint32_t leaf)
{
    struct cpuid_leaf none = {0};
    return cpuid(0x80000000, 0).eax >= leaf ? cpuid(leaf, 0) : none;
}

bool cpu_has_snp(void)
{
    return extended_leaf(0x8000001f).eax >> 4 & 1;
}

bool cpu_has_rmpread(void)
{
    return extended_leaf(0x8000001f).eax >> 21 & 1;
}

bool cpu_has_segmented_rmp(void)
{
    return extended_leaf(0x8000001f).eax >> 23 & 1;
}

bool cpu_has_rmpopt(void)
{
    return extended_leaf(0x80000025).edx & 1;
}

/* The bytes that a segment covers, limited by the room for its table. */
static uint64_t segment_covers(unsigned index)
{
    uint64_t size = (rmp.segment_table[index] & SEGMENT_SIZE_MASK) * PAGE_1G;
    uint64_t limit = 1ul << rmp.segment_shift;
    return size < limit ? size : limit;
}

static void reserve_table(uint64_t start, uint64_t size)
{
    map_identity(start, size);
    memory_reserve(start, start + size);
}

static void discover_segments(void)
{
    rmp.segment_table = (const uint64_t *)(rmp.base + BOOKKEEPING_SIZE);
    reserve_table(rmp.base, BOOKKEEPING_SIZE + SEGMENT_TABLE_SIZE);
    for (unsigned i = 0; i < SEGMENT_ENTRIES; i++) {
        uint64_t covers = segment_covers(i);
        if (covers)
            reserve_table(rmp.segment_table[i] & SEGMENT_BASE_MASK, covers / PAGE_4K * ENTRY_SIZE);
    }
}

void rmp_discover(void)
{
    uint64_t config;

    if (!cpu_has_snp())
        return;
    rmp.base = rdmsr(MSR_RMP_BASE) & RMP_BASE_MASK;
    rmp.end = rdmsr(MSR_RMP_END);
    rmp.present = rmp.base != 0;
    config = cpu_has_segmented_rmp() ? rdmsr(MSR_RMP_CFG) : 0;
    rmp.segmented = config & RMP_CFG_SEGMENTED;
    rmp.segment_shift = config >> 8 & 63;
    if (!rmp.present)
        return;
    if (rmp.segmented)
        discover_segments();
    else
        reserve_table(rmp.base, rmp.end + 1 - rmp.base);
}

const char *snp_unmet(void)
{
    if (!cpu_has_snp())
        return "this CPU has no SEV-SNP";
    return rmp.present ? NULL : "no memory is reserved for an RMP";
}

bool rmp_present(void)
{
    return rmp.present;
}

bool rmp_is_segmented(void)
{
    return rmp.segmented;
}

static uint64_t segmented_entry(uint64_t spa)
{
    uint64_t index = spa >> rmp.segment_shift;
    uint64_t offset = spa & ((1ul << rmp.segment_shift) - 1);
    if (index >= SEGMENT_ENTRIES || offset >= segment_covers((unsigned)index))
        return 0;
    return (rmp.segment_table[index] & SEGMENT_BASE_MASK) + offset / PAGE_4K * ENTRY_SIZE;
}

uint64_t rmp_entry_address(uint64_t spa)
{
    uint64_t address;
    if (!rmp.present)
        return 0;
    if (rmp.segmented)
        return segmented_entry(spa);
    address = rmp.base + BOOKKEEPING_SIZE + spa / PAGE_4K * ENTRY_SIZE;
    return address <= rmp.end ? address : 0;
}

uint64_t rmp_covered_end(void)
{
    uint64_t end = 0;
    if (!rmp.present)
        return 0;
    if (!rmp.segmented)
        return (rmp.end + 1 - rmp.base - BOOKKEEPING_SIZE) / ENTRY_SIZE * PAGE_4K;
    for (uint64_t i = 0; i < SEGMENT_ENTRIES; i++) {
        if (segment_covers((unsigned)i))
            end = (i << rmp.segment_shift) + segment_covers((unsigned)i);
    }
    return end;
}

void rmp_zero(void)
{
    /*
     * A table of this size exists only if the machine's RAM is sparse. Then it is zero already, and
     * touching it would take more memory than the host has.
     */
    if (rmp_covered_end() / PAGE_4K * ENTRY_SIZE > MOST_TO_ZERO)
        return;
    if (!rmp.segmented) {
        memset((void *)rmp.base, 0, rmp.end + 1 - rmp.base);
        return;
    }
    memset((void *)rmp.base, 0, BOOKKEEPING_SIZE);
    for (unsigned i = 0; i < SEGMENT_ENTRIES; i++)
        memset((void *)(rmp.segment_table[i] & SEGMENT_BASE_MASK), 0,
               segment_covers(i) / PAGE_4K * ENTRY_SIZE);
}

static void set_syscfg_bits(void *bits)
{
    wrmsr(MSR_SYSCFG, rdmsr(MSR_SYSCFG) | *(uint64_t *)bits);
}

void set_syscfg_bits_everywhere(uint64_t bits)
{
    run_on_all_cpus(set_syscfg_bits, &bits);
}

void snp_enable(void)
{
    if (enabled || !rmp.present)
        return;
    rmp_zero();
    set_syscfg_bits_everywhere(SYSCFG_MFDM);
    set_syscfg_bits_everywhere(SYSCFG_SNP_EN | SYSCFG_VMPL_EN);
    enabled = true;
}

static void write_rmpopt_base(void *value)
{
    wrmsr(MSR_RMPOPT_BASE, *(uint64_t *)value);
}

void rmpopt_enable_everywhere(uint64_t base)
{
    uint64_t value = base | RMPOPT_EN;
    run_on_all_cpus(write_rmpopt_base, &value);
}

/* Returns EAX of an instruction that must complete; an exception fails the case. */
static uint32_t completed(struct insn_result result)
{
    EXPECT_NO_TRAP(result);
    return (uint32_t)result.rax;
}

uint32_t rmpupdate(uint64_t spa, const struct rmp_record *record)
{
    return completed(insn_rmpupdate(spa, (uint64_t)record, 0));
}

uint32_t psmash(uint64_t spa)
{
    return completed(insn_psmash(spa, 0, 0));
}

uint32_t rmpread(uint64_t spa, struct rmp_record *record)
{
    return completed(insn_rmpread(spa, (uint64_t)record, 0));
}

bool rmpopt(uint64_t spa, uint64_t function)
{
    struct insn_result result = insn_rmpopt(spa, function, 0);
    EXPECT_NO_TRAP(result);
    return result.rflags & FLAG_CF;
}

uint32_t rmp_assign(uint64_t spa, unsigned page_size, uint32_t asid, uint64_t gpa)
{
    struct rmp_record record = {
        .gpa = gpa, .assigned = 1, .page_size = (uint8_t)page_size, .asid = asid};
    return rmpupdate(spa, &record);
}

uint32_t rmp_unassign(uint64_t spa, unsigned page_size)
{
    struct rmp_record record = {.page_size = (uint8_t)page_size};
    return rmpupdate(spa, &record);
}

static struct rmp_record decode_raw(uint64_t raw)
{
    return (struct rmp_record){
        .gpa = raw & RAW_GPA_MASK,
        .assigned = raw & 1,
        .page_size = raw >> 1 & 1,
        .immutable = raw >> 2 & 1,
        .asid = (uint32_t)(raw >> RAW_ASID_SHIFT & RAW_ASID_MASK),
    };
}

struct rmp_record rmp_lookup(uint64_t spa)
{
    struct rmp_record record;
    uint64_t address = rmp_entry_address(spa);

    memset(&record, 0xff, sizeof(record));
    if (cpu_has_rmpread())
        EXPECT_EQ(rmpread(spa, &record), RMP_SUCCESS);
    else if (address)
        record = decode_raw(*(volatile uint64_t *)address);
    return record;
}
