// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The MSRs of an SNP host and their write rules. Cases run in order and share the machine: the
 * first ones see it as the BIOS leaves it, then one core gets SNP_EN, then all.
 */
#include "runtime.h"

enum {
    MSR_FIXED_MTRR_64K = 0x250,
    MSR_IORR_BASE0 = 0xc0010016,
    MSR_TOP_MEM = 0xc001001a,
    MSR_TOP_MEM2 = 0xc001001d,
    MSR_SMM_KEY = 0xc0010119,
};
#define ONE_MIB 0x100000ul
#define RMP_ADDRESS_MASK 0x000fffffffffe000ul
#define SEGMENT_BASE_MASK 0x000ffffffff00000ul

static uint64_t read_remote_value;

static void read_remote(void *msr)
{
    read_remote_value = rdmsr((uint32_t)(uint64_t)msr);
}

static uint64_t rdmsr_on(unsigned cpu, uint64_t msr)
{
    run_on_cpu(cpu, read_remote, (void *)msr);
    return read_remote_value;
}

static void rmp_bounds_are_aligned(const void *unused)
{
    uint64_t base = rdmsr(MSR_RMP_BASE), end = rdmsr(MSR_RMP_END);
    (void)unused;

    EXPECT(base != 0);
    EXPECT_EQ(base & ~RMP_ADDRESS_MASK, 0);
    EXPECT_EQ(base % ONE_MIB, 0);
    EXPECT_EQ(end & 0x1fff, rmp_is_segmented() && end == 0 ? 0 : 0x1fff);
    if (rmp_is_segmented())
        EXPECT_EQ(end & RMP_ADDRESS_MASK, 0);
    else
        EXPECT_EQ((end + 1) % ONE_MIB, 0);
}

static void rmp_covers_all_ram_and_itself(const void *unused)
{
    const struct memory_range *ranges;
    unsigned count = ram_ranges(&ranges);
    uint64_t base = rdmsr(MSR_RMP_BASE);
    (void)unused;

    for (unsigned i = 0; i < count; i++) {
        EXPECT(rmp_entry_address(ranges[i].start) != 0);
        EXPECT(rmp_entry_address(ranges[i].end - PAGE_4K) != 0);
    }
    EXPECT(rmp_entry_address(base) != 0);
}

static void rmp_is_no_usable_ram(const void *unused)
{
    const struct memory_range *ranges;
    unsigned count = ram_ranges(&ranges);
    uint64_t base = rdmsr(MSR_RMP_BASE);
    (void)unused;

    for (unsigned i = 0; i < count; i++)
        EXPECT(base < ranges[i].start || base >= ranges[i].end);
    EXPECT(base >= 0x1000000);
}

static void segment_table_is_well_formed(const void *unused)
{
    const uint64_t *table = (const uint64_t *)(rdmsr(MSR_RMP_BASE) + 0x4000);
    unsigned used = 0;
    uint64_t config;
    (void)unused;

    if (!rmp_is_segmented())
        SKIP("contiguous RMP");
    config = rdmsr(MSR_RMP_CFG);
    EXPECT_EQ(config & ~0x3f01ul, 0);
    EXPECT((config >> 8 & 63) >= (cpuid(0x80000025, 0).eax & 63));
    EXPECT((config >> 8 & 63) <= (cpuid(0x80000025, 0).eax >> 6 & 63));
    for (unsigned i = 0; i < 512; i++) {
        EXPECT_EQ(table[i] & ~(SEGMENT_BASE_MASK | 0xfffff), 0);
        EXPECT((table[i] & 0xfffff) == 0 || (table[i] & SEGMENT_BASE_MASK) != 0);
        used += (table[i] & 0xfffff) != 0;
    }
    EXPECT(used > 0);
}

static void bios_left_syscfg(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < cpu_count(); i++) {
        uint64_t syscfg = rdmsr_on(i, MSR_SYSCFG);
        EXPECT_EQ(syscfg & SYSCFG_MEM_ENCRYPT, SYSCFG_MEM_ENCRYPT);
        EXPECT_EQ(syscfg & (SYSCFG_SNP_EN | SYSCFG_VMPL_EN), 0);
        EXPECT_EQ(syscfg & SYSCFG_MFDM, 0);
    }
}

static void bios_left_smm_locked(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(rdmsr_on(i, MSR_HWCR) & HWCR_SMMLOCK, HWCR_SMMLOCK);
}

static void smmlock_can_not_be_cleared(const void *unused)
{
    (void)unused;
    try_wrmsr(MSR_HWCR, rdmsr(MSR_HWCR) & ~HWCR_SMMLOCK);
    EXPECT_EQ(rdmsr(MSR_HWCR) & HWCR_SMMLOCK, HWCR_SMMLOCK);
}

static void sev_status_is_zero(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < cpu_count(); i++)
        EXPECT_EQ(rdmsr_on(i, MSR_SEV_STATUS), 0);
    try_wrmsr(MSR_SEV_STATUS, 7);
    EXPECT_EQ(rdmsr(MSR_SEV_STATUS), 0);
}

static void every_cpu_has_the_same_rmp(const void *unused)
{
    (void)unused;
    for (unsigned i = 1; i < cpu_count(); i++) {
        EXPECT_EQ(rdmsr_on(i, MSR_RMP_BASE), rdmsr(MSR_RMP_BASE));
        EXPECT_EQ(rdmsr_on(i, MSR_RMP_END), rdmsr(MSR_RMP_END));
        if (cpu_has_segmented_rmp())
            EXPECT_EQ(rdmsr_on(i, MSR_RMP_CFG), rdmsr(MSR_RMP_CFG));
    }
}

static void rdmsr_clears_upper_halves(const void *msr)
{
    uint64_t garbage = 0xdeadbeef00000000;
    struct insn_result result = insn_rdmsr(garbage, *(const uint32_t *)msr, garbage);
    EXPECT_NO_TRAP(result);
    EXPECT_EQ(result.rax >> 32, 0);
    EXPECT_EQ(result.rdx >> 32, 0);
    EXPECT_EQ(result.rcx, *(const uint32_t *)msr);
}

static void msr_number_is_ecx(const void *unused)
{
    struct insn_result result = insn_rdmsr(0, 0xffffffff00000000 | MSR_SYSCFG, 0);
    (void)unused;
    EXPECT_NO_TRAP(result);
    EXPECT_EQ(result.rax, rdmsr(MSR_SYSCFG) & 0xffffffff);
}

static void user_mode_can_not_access(const void *unused)
{
    static const uint8_t read[] = {0x0f, 0x32}, write[] = {0x0f, 0x30};
    struct trap state = {.rcx = MSR_SYSCFG, .rax = 5, .rdx = 6};
    uint64_t before = rdmsr(MSR_SYSCFG), start = run_user(read, sizeof(read), &state);
    (void)unused;

    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(state.error_code, 0);
    EXPECT_EQ(state.rip, start);
    EXPECT_EQ(state.rax, 5);
    EXPECT_EQ(state.rdx, 6);
    state = (struct trap){.rcx = MSR_SYSCFG, .rax = SYSCFG_SNP_EN};
    run_user(write, sizeof(write), &state);
    EXPECT_EQ(state.vector, VECTOR_GP);
    EXPECT_EQ(rdmsr(MSR_SYSCFG), before);
}

static void segment_size_outside_the_limits(const void *unused)
{
    uint64_t before, limits = cpuid(0x80000025, 0).eax;
    uint64_t too_small = (limits & 63) - 1, too_large = (limits >> 6 & 63) + 1;
    (void)unused;

    if (!cpu_has_segmented_rmp()) {
        EXPECT_GP0(try_wrmsr(MSR_RMP_CFG, RMP_CFG_SEGMENTED | 36 << 8));
        return;
    }
    before = rdmsr(MSR_RMP_CFG);
    EXPECT_GP0(try_wrmsr(MSR_RMP_CFG, RMP_CFG_SEGMENTED | too_small << 8));
    EXPECT_EQ(rdmsr(MSR_RMP_CFG), before);
    if (too_large < 64)
        EXPECT_GP0(try_wrmsr(MSR_RMP_CFG, RMP_CFG_SEGMENTED | too_large << 8));
    EXPECT_EQ(rdmsr(MSR_RMP_CFG), before);
}

static void rmpopt_base_without_snp(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt()) {
        EXPECT_GP0(try_rdmsr(MSR_RMPOPT_BASE));
        EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, 0));
        return;
    }
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, RMPOPT_EN));
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, 0));
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, PAGE_1G));
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
}

static void snp_en_with_misaligned_rmp_base(const void *unused)
{
    uint64_t base = rdmsr(MSR_RMP_BASE), syscfg = rdmsr(MSR_SYSCFG);
    (void)unused;

    if (!rmp_is_segmented())
        SKIP("contiguous RMP");
    wrmsr(MSR_RMP_BASE, base + 0x2000);
    EXPECT_EQ(rdmsr(MSR_RMP_BASE), base + 0x2000);
    EXPECT_GP0(try_wrmsr(MSR_SYSCFG, syscfg | SYSCFG_SNP_EN | SYSCFG_VMPL_EN));
    EXPECT_EQ(rdmsr(MSR_SYSCFG), syscfg);
    wrmsr(MSR_RMP_BASE, base);
    EXPECT_EQ(rdmsr(MSR_RMP_BASE), base);
}

static void mfdm_is_per_thread(const void *unused)
{
    uint64_t syscfg = rdmsr(MSR_SYSCFG);
    (void)unused;

    wrmsr(MSR_SYSCFG, syscfg | SYSCFG_MFDM);
    EXPECT_EQ(rdmsr(MSR_SYSCFG), syscfg | SYSCFG_MFDM);
    for (unsigned i = 1; i < cpu_count(); i++)
        EXPECT_EQ(rdmsr_on(i, MSR_SYSCFG) & SYSCFG_MFDM, 0);
    wrmsr(MSR_SYSCFG, syscfg);
    EXPECT_EQ(rdmsr(MSR_SYSCFG), syscfg);
}

static void snp_en_is_per_core(const void *unused)
{
    int sibling = sibling_of(0), other = cpu_on_other_core(0);
    (void)unused;

    rmp_zero();
    set_syscfg_bits_everywhere(SYSCFG_MFDM);
    wrmsr(MSR_SYSCFG, rdmsr(MSR_SYSCFG) | SYSCFG_SNP_EN | SYSCFG_VMPL_EN);
    EXPECT(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN);
    EXPECT(rdmsr(MSR_SYSCFG) & SYSCFG_VMPL_EN);
    if (sibling >= 0)
        EXPECT(rdmsr_on((unsigned)sibling, MSR_SYSCFG) & SYSCFG_SNP_EN);
    if (other >= 0)
        EXPECT_EQ(rdmsr_on((unsigned)other, MSR_SYSCFG) & SYSCFG_SNP_EN, 0);
}

static void snp_en_can_be_set_everywhere(const void *unused)
{
    (void)unused;
    set_syscfg_bits_everywhere(SYSCFG_SNP_EN | SYSCFG_VMPL_EN);
    for (unsigned i = 0; i < cpu_count(); i++) {
        uint64_t wanted = SYSCFG_SNP_EN | SYSCFG_VMPL_EN | SYSCFG_MFDM;
        EXPECT_EQ(rdmsr_on(i, MSR_SYSCFG) & wanted, wanted);
    }
}

static void try_to_clear_snp_en(void *unused)
{
    uint64_t before = rdmsr(MSR_SYSCFG);
    (void)unused;
    EXPECT_NO_TRAP(try_wrmsr(MSR_SYSCFG, before & ~SYSCFG_SNP_EN));
    EXPECT_EQ(rdmsr(MSR_SYSCFG), before);
    EXPECT_NO_TRAP(try_wrmsr(MSR_SYSCFG, 0));
    EXPECT_EQ(rdmsr(MSR_SYSCFG), before);
    EXPECT_NO_TRAP(try_wrmsr(MSR_SYSCFG, before ^ SYSCFG_MFDM));
    EXPECT_EQ(rdmsr(MSR_SYSCFG), before);
    EXPECT_NO_TRAP(try_wrmsr(MSR_SYSCFG, before ^ SYSCFG_VMPL_EN));
    EXPECT_EQ(rdmsr(MSR_SYSCFG), before);
}

static void syscfg_writes_are_ignored_after_snp_en(const void *unused)
{
    (void)unused;
    run_on_all_cpus(try_to_clear_snp_en, NULL);
}

static void rmp_cfg_is_locked(const void *unused)
{
    (void)unused;
    if (!cpu_has_segmented_rmp())
        SKIP("no RMP_CFG");
    EXPECT_GP0(try_wrmsr(MSR_RMP_CFG, rdmsr(MSR_RMP_CFG)));
    EXPECT_GP0(try_wrmsr(MSR_RMP_CFG, 0));
}

static void rmp_bounds_can_not_move(const void *unused)
{
    uint64_t base = rdmsr(MSR_RMP_BASE), end = rdmsr(MSR_RMP_END);
    (void)unused;
    /* It is not documented whether this faults, but it must have no effect. */
    try_wrmsr(MSR_RMP_BASE, base + ONE_MIB);
    try_wrmsr(MSR_RMP_END, 0x1fff);
    EXPECT_EQ(rdmsr(MSR_RMP_BASE), base);
    EXPECT_EQ(rdmsr(MSR_RMP_END), end);
}

static void msr_is_locked_by_snp_en(const void *msr)
{
    uint32_t number = *(const uint32_t *)msr;
    struct insn_result before = try_rdmsr(number);

    EXPECT_GP0(try_wrmsr(number, before.rax));
    EXPECT_GP0(try_wrmsr(number, 0));
    EXPECT_EQ(try_rdmsr(number).rax, before.rax);
}

static void hsave_must_be_hypervisor_owned(const void *unused)
{
    uint64_t page = allocate_or_fail(PAGE_2M, PAGE_2M) + PAGE_4K;
    uint64_t old = allocate_or_fail(PAGE_4K, PAGE_4K);
    (void)unused;

    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, old));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), old);
    EXPECT_EQ(rmp_assign(page, RMP_PAGE_4K, 1, 0), RMP_SUCCESS);
    EXPECT_GP0(try_wrmsr(MSR_VM_HSAVE_PA, page));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), old);
    EXPECT_EQ(rmp_unassign(page, RMP_PAGE_4K), RMP_SUCCESS);
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, page));
    EXPECT_NO_TRAP(try_wrmsr(MSR_VM_HSAVE_PA, 0));
    EXPECT_EQ(rdmsr(MSR_VM_HSAVE_PA), 0);
}

static void rmpopt_base_reads_back(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt())
        SKIP("no RMPOPT");
    wrmsr(MSR_RMPOPT_BASE, 3 * PAGE_1G);
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 3 * PAGE_1G);
    wrmsr(MSR_RMPOPT_BASE, 0);
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
    if (!rmp_is_segmented()) {
        EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, RMPOPT_EN));
        EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
    }
}

static void rmpopt_base_reserved_bits(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt() || !rmp_is_segmented())
        SKIP("no RMPOPT");
    for (unsigned bit = 1; bit < 30; bit++) {
        try_wrmsr(MSR_RMPOPT_BASE, PAGE_1G | 1ul << bit);
        EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), 0);
    }
}

static void rmpopt_base_is_per_core(const void *unused)
{
    int sibling = sibling_of(0), other = cpu_on_other_core(0);
    (void)unused;

    if (!cpu_has_rmpopt() || !rmp_is_segmented())
        SKIP("no RMPOPT");
    wrmsr(MSR_RMPOPT_BASE, PAGE_1G | RMPOPT_EN);
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), PAGE_1G | RMPOPT_EN);
    if (sibling >= 0)
        EXPECT_EQ(rdmsr_on((unsigned)sibling, MSR_RMPOPT_BASE), PAGE_1G | RMPOPT_EN);
    if (other >= 0)
        EXPECT_EQ(rdmsr_on((unsigned)other, MSR_RMPOPT_BASE), 0);
}

static void rmpopt_base_stays_once_enabled(const void *unused)
{
    (void)unused;
    if (!cpu_has_rmpopt() || !rmp_is_segmented())
        SKIP("no RMPOPT");
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, 0));
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, PAGE_1G));
    EXPECT_GP0(try_wrmsr(MSR_RMPOPT_BASE, RMPOPT_EN));
    EXPECT_NO_TRAP(try_wrmsr(MSR_RMPOPT_BASE, PAGE_1G | RMPOPT_EN));
    EXPECT_EQ(rdmsr(MSR_RMPOPT_BASE), PAGE_1G | RMPOPT_EN);
}

static const uint32_t syscfg = MSR_SYSCFG, rmp_base = MSR_RMP_BASE, efer = MSR_EFER,
                      fixed_mtrr = MSR_FIXED_MTRR_64K, iorr = MSR_IORR_BASE0, top_mem = MSR_TOP_MEM,
                      top_mem2 = MSR_TOP_MEM2, smm_key = MSR_SMM_KEY;

#define LOCKED(msr)                                                                                \
    TEST_WITH("snp_en_locks_" #msr, msr_is_locked_by_snp_en, &(msr), "APM2 15.36.2: #GP(0)")

static const struct test_case cases[] = {
    TEST(rmp_bounds_are_aligned, "APM2 15.36.4: RMP_BASE, RMP_END; 1 MiB for the firmware"),
    TEST(rmp_covers_all_ram_and_itself, "Linux 7.3 setup_rmptable: the RMP covers all RAM"),
    TEST(rmp_is_no_usable_ram, "Linux amd-memory-encryption.rst: the BIOS reserves the RMP"),
    TEST(segment_table_is_well_formed, "APM2 15.36.22: RMP_CFG and the segment table"),
    TEST(bios_left_syscfg, "APM2 15.36.2: MemEncryptionModEn set by the BIOS, SNP_EN clear"),
    TEST(bios_left_smm_locked, "Linux 7.3 early_detect_mem_encrypt: SMMLOCK must be set"),
    TEST(smmlock_can_not_be_cleared, "APM2 HWCR: SMMLOCK stays until reset"),
    TEST(sev_status_is_zero, "APM2 15.34.10: SEV_STATUS is 0 in a host and read-only"),
    TEST(every_cpu_has_the_same_rmp, "APM2 15.36.4: RMP_BASE and RMP_END match on all cores"),
    TEST_WITH("rdmsr_clears_upper_halves_syscfg", rdmsr_clears_upper_halves, &syscfg,
              "APM3 RDMSR: RAX and RDX are zero-extended"),
    TEST_WITH("rdmsr_clears_upper_halves_rmp_base", rdmsr_clears_upper_halves, &rmp_base,
              "APM3 RDMSR: RAX and RDX are zero-extended"),
    TEST_WITH("rdmsr_clears_upper_halves_efer", rdmsr_clears_upper_halves, &efer,
              "APM3 RDMSR: RAX and RDX are zero-extended"),
    TEST(msr_number_is_ecx, "APM3 RDMSR: RCX[63:32] is ignored"),
    TEST(user_mode_can_not_access, "APM3 RDMSR, WRMSR: #GP(0) at CPL > 0, nothing changes"),
    TEST(segment_size_outside_the_limits, "APM2 15.36.22: #GP(0) outside 8000_0025 EAX"),
    TEST(rmpopt_base_without_snp, "AMD mail 2026-06-19, Linux 7.4: only with SNP_EN"),
    TEST(snp_en_with_misaligned_rmp_base, "APM2 15.36.22: SNP_EN needs RMP_BASE 1 MiB aligned"),
    TEST(mfdm_is_per_thread, "Linux 7.3 snp_prepare: MFDM is per thread"),
    TEST(snp_en_is_per_core, "AMD mail 2026-06-23: SNP_EN is set core by core"),
    TEST(snp_en_can_be_set_everywhere, "APM2 15.36.2: SNP_EN and VMPL_EN"),
    TEST(syscfg_writes_are_ignored_after_snp_en, "APM2 15.36.2: sticky, writes ignored"),
    TEST(rmp_cfg_is_locked, "APM2 15.36.22: RMP_CFG raises #GP(0) once SNP_EN is set"),
    TEST(rmp_bounds_can_not_move, "APM2 15.36.4: the RMP stays where it is"),
    LOCKED(fixed_mtrr),
    LOCKED(iorr),
    LOCKED(top_mem),
    LOCKED(top_mem2),
    LOCKED(smm_key),
    TEST(hsave_must_be_hypervisor_owned, "APM2 15.36.10: VM_HSAVE_PA raises #GP(0)"),
    TEST(rmpopt_base_reads_back, "AMD mail 2026-06-19: enable with SNP_EN and segmented RMP"),
    TEST(rmpopt_base_reserved_bits, "AMD RMPOPT series: base is 1 GiB aligned, bit 0 enables"),
    TEST(rmpopt_base_is_per_core, "AMD mail 2026-03-30: one RMPOPT_BASE for both threads"),
    TEST(rmpopt_base_stays_once_enabled, "Linux 7.4: until SNP is disabled; policy rmpopt-locked"),
};
TEST_SUITE_IF(cases, snp_unmet);
