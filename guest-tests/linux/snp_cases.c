// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp_cases.h"

#include "cases.h"
#include "host.h"
#include "snp_vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEV_LAUNCH_START = 2, SEV_GUEST_STATUS = 15 };
enum { INVALID_GUEST_STATE = 0x02, POLICY_FAILURE = 0x07, INVALID_PARAM = 0x16 };
enum { CPUID_ENTRIES = 64, KILLS = 6, SEVERAL = 3 };
#define SMALL (16 * GUEST_PAGE)
#define LARGE (32 * MIB)
#define WRITE_MARGIN (96 * MIB)

static bool need_snp(void)
{
    const char *reason;
    bool have = host_has_snp(&reason);

    if (!have)
        skip(reason);
    host_log_mark();
    return have;
}

static bool need_nothing(void)
{
    host_log_mark();
    return true;
}

static void expect_quiet_kernel(void)
{
    EXPECT_EQ(host_log_complaints(), 0);
}

static void launch_and_destroy(size_t pages)
{
    struct snp_vm vm;

    snp_launch(&vm, pages * GUEST_PAGE);
    snp_destroy(&vm);
}

static void lifecycle(void)
{
    static const size_t pages[] = {1, 2, 511, 512, 513};

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        launch_and_destroy(pages[i]);
}

/* The guest is gone before it is launched. */
static void unfinished(void)
{
    struct snp_vm vm;

    snp_create(&vm, SMALL);
    snp_destroy(&vm);
    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    snp_destroy(&vm);
    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    EXPECT_EQ(snp_update(&vm, 0, SMALL, SNP_PAGE_NORMAL), 0);
    snp_destroy(&vm);
}

static void page_types(void)
{
    static const enum snp_page_type types[] = {SNP_PAGE_NORMAL, SNP_PAGE_ZERO, SNP_PAGE_UNMEASURED,
                                               SNP_PAGE_SECRETS, SNP_PAGE_CPUID};
    struct snp_vm vm;

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        EXPECT_EQ(snp_update(&vm, i * GUEST_PAGE, GUEST_PAGE, types[i]), 0);
        EXPECT_EQ(vm.firmware, 0);
    }
    EXPECT_EQ(snp_update(&vm, 8 * GUEST_PAGE, GUEST_PAGE, SNP_PAGE_VMSA), -EINVAL);
    EXPECT_EQ(snp_update(&vm, 8 * GUEST_PAGE, GUEST_PAGE, 0), -EINVAL);
    EXPECT_EQ(snp_update(&vm, 8 * GUEST_PAGE, GUEST_PAGE, 7), -EINVAL);
    EXPECT_EQ(snp_finish(&vm), 0);
    snp_destroy(&vm);
}

/*
 * A CPUID page with one entry more than it can hold. The kernel takes the page back, and a good one
 * may follow.
 */
static void cpuid_page_refused(void)
{
    struct snp_vm vm;

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    *(uint32_t *)vm.shared = CPUID_ENTRIES + 1;
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_CPUID), -EIO);
    EXPECT_EQ(vm.firmware, INVALID_PARAM);
    *(uint32_t *)vm.shared = 0;
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_CPUID), 0);
    EXPECT_EQ(snp_finish(&vm), 0);
    snp_destroy(&vm);
}

static void large(void)
{
    struct snp_vm vm;
    double start = host_time(), launched;

    snp_launch(&vm, LARGE);
    launched = host_time();
    snp_destroy(&vm);
    printf("# %lu MiB: launch %.2f s, destroy %.2f s\n", LARGE / MIB, launched - start,
           host_time() - launched);
}

/* The host may write pages that the guest has returned. Then the guest gets new private pages
 * there. */
static void convert_both_ways(void)
{
    struct snp_vm vm;

    snp_launch(&vm, 4 * MIB);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t gpa = round * MIB;
        EXPECT_EQ(snp_share(&vm, gpa, 2 * MIB), 0);
        memset(vm.shared + gpa, 0x5a, 2 * MIB);
        EXPECT_EQ(snp_unshare(&vm, gpa, 2 * MIB), 0);
        EXPECT_EQ(snp_populate(&vm, gpa, 2 * MIB), 0);
    }
    EXPECT_EQ(snp_share(&vm, 0, 4 * MIB), 0);
    snp_destroy(&vm);
}

/* A page of a launched guest becomes shared for a moment. */
static void convert_single_pages(void)
{
    struct snp_vm vm;

    snp_launch(&vm, 2 * MIB);
    for (uint64_t gpa = 0; gpa < 2 * MIB; gpa += 16 * GUEST_PAGE) {
        EXPECT_EQ(snp_share(&vm, gpa, GUEST_PAGE), 0);
        vm.shared[gpa] = 1;
        EXPECT_EQ(snp_unshare(&vm, gpa, GUEST_PAGE), 0);
        EXPECT_EQ(snp_populate(&vm, gpa, GUEST_PAGE), 0);
    }
    snp_destroy(&vm);
}

static void several_at_once(void)
{
    static const uint8_t orders[][SEVERAL] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                              {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct snp_vm vms[SEVERAL];

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        for (size_t n = 0; n < SEVERAL; n++)
            snp_launch(&vms[n], SMALL << n);
        for (size_t n = 0; n < SEVERAL; n++)
            snp_destroy(&vms[orders[i][n]]);
    }
}

/* More guests than ASIDs: freed ASIDs can be used again only after a flush. */
static void asids_run_out(void)
{
    enum { MOST = 1100 };
    static struct snp_vm vms[MOST];
    size_t count[2] = {0, 0};

    for (unsigned round = 0; round < 2; round++) {
        int result = 0;
        while (count[round] < MOST && result == 0) {
            sev_create(&vms[count[round]], VM_SNP);
            result = sev_init2(&vms[count[round]++]);
        }
        EXPECT_EQ(result, -EBUSY);
        for (size_t i = 0; i < count[round]; i++)
            snp_destroy(&vms[i]);
    }
    EXPECT_EQ(count[1], count[0]);
    printf("# %zu ASIDs\n", count[0] - 1);
}

static void launch_for_ever(void)
{
    for (;;)
        launch_and_destroy(32 * MIB / GUEST_PAGE);
}

/* Kills a child that launches guests. The pages of its guests must become ordinary memory again. */
static void killed(void)
{
    for (unsigned i = 0; i < KILLS; i++) {
        int status;
        pid_t child = must(fork(), "fork");
        if (child == 0)
            launch_for_ever();
        usleep(50000 + 77000 * i);
        must(kill(child, SIGKILL), "kill");
        must(waitpid(child, &status, 0), "waitpid");
        EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : -1, SIGKILL);
    }
    host_write_free_memory(WRITE_MARGIN);
}

static void hostile_start(void)
{
    struct snp_vm vm;
    struct snp_launch_start flags = {.policy = SNP_POLICY, .flags = 1};

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_NORMAL), -EINVAL);
    EXPECT_EQ(snp_finish(&vm), -EINVAL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY_SMT), -EINVAL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY | 1ul << 63), -EINVAL);
    EXPECT_EQ(sev_command(&vm, SNP_LAUNCH_START, &flags), -EINVAL);
    EXPECT_EQ(sev_command(&vm, SNP_LAUNCH_START, NULL), -EFAULT);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), -EINVAL);
    snp_destroy(&vm);
}

/* Parameters that the kernel passes on and firmware refuses. The VM may then try again. */
static void policy_refused(void)
{
    struct snp_vm vm;

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY | 0xff00), -EIO);
    EXPECT_EQ(vm.firmware, POLICY_FAILURE);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    EXPECT_EQ(vm.firmware, 0);
    EXPECT_EQ(snp_finish(&vm), 0);
    snp_destroy(&vm);
}

static void hostile_update(void)
{
    struct snp_vm vm;
    struct snp_launch_update odd = {.len = GUEST_PAGE, .type = SNP_PAGE_NORMAL};

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    EXPECT_EQ(sev_command(&vm, SNP_LAUNCH_UPDATE, &odd), -EINVAL); /* no source */
    odd.uaddr = (uintptr_t)vm.shared + 1;
    EXPECT_EQ(sev_command(&vm, SNP_LAUNCH_UPDATE, &odd), -EINVAL);
    odd.uaddr = GUEST_PAGE; /* nothing is mapped there */
    EXPECT_EQ(sev_command(&vm, SNP_LAUNCH_UPDATE, &odd), -EIO);
    EXPECT_EQ(snp_update(&vm, 0, 100, SNP_PAGE_NORMAL), -EINVAL);
    EXPECT_EQ(snp_update(&vm, SMALL, GUEST_PAGE, SNP_PAGE_ZERO), -EINVAL);
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_NORMAL), 0);
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_NORMAL), -EIO); /* once is enough */
    EXPECT_EQ(snp_share(&vm, GUEST_PAGE, GUEST_PAGE), 0);
    EXPECT_EQ(snp_update(&vm, GUEST_PAGE, GUEST_PAGE, SNP_PAGE_NORMAL), -EIO);
    EXPECT_EQ(snp_finish(&vm), 0);
    snp_destroy(&vm);
}

static void hostile_after_launch(void)
{
    struct snp_vm vm;
    uint8_t parameters[256] = {0};

    snp_launch(&vm, SMALL - GUEST_PAGE);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), -EINVAL);
    EXPECT_EQ(snp_finish(&vm) < 0, true);
    EXPECT_EQ(sev_init2(&vm), -EPERM);
    EXPECT_EQ(sev_command(&vm, SEV_LAUNCH_START, parameters), -EPERM);
    EXPECT_EQ(sev_command(&vm, SEV_GUEST_STATUS, parameters), -EPERM);
    EXPECT_EQ(sev_command(&vm, 0xffff, parameters), -EINVAL);
    snp_destroy(&vm);
}

static void update_after_finish(void)
{
    struct snp_vm vm;

    snp_create(&vm, SMALL);
    EXPECT_EQ(snp_start(&vm, SNP_POLICY), 0);
    EXPECT_EQ(snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_NORMAL), 0);
    EXPECT_EQ(snp_finish(&vm), 0);
    EXPECT_EQ(snp_update(&vm, GUEST_PAGE, GUEST_PAGE, SNP_PAGE_NORMAL), -EIO);
    EXPECT_EQ(vm.firmware, INVALID_GUEST_STATE);
    snp_destroy(&vm);
}

/* As long as VMRUN of such a guest is not emulated, it must fail and have no other effect. */
static void run_fails(void)
{
    struct snp_vm vm;

    snp_launch(&vm, SMALL);
    for (unsigned i = 0; i < 3; i++) {
        int result = snp_run(&vm);
        if (result >= 0)
            EXPECT_EQ(result, KVM_EXIT_FAIL_ENTRY);
    }
    snp_destroy(&vm);
    launch_and_destroy(1);
}

static void run_before_launch(void)
{
    struct snp_vm vm;
    int result;

    snp_create(&vm, SMALL);
    result = snp_run(&vm);
    if (result >= 0)
        EXPECT_EQ(result, KVM_EXIT_FAIL_ENTRY);
    snp_destroy(&vm);
}

static void init_and_destroy(enum vm_type type, const char *unavailable)
{
    if (!vm_type_offered(type)) {
        skip(unavailable);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        struct snp_vm vm;
        sev_create(&vm, type);
        EXPECT_EQ(sev_init2(&vm), 0);
        EXPECT_EQ(sev_init2(&vm), -EINVAL);
        EXPECT_EQ(snp_start(&vm, SNP_POLICY), -ENOTTY);
        snp_destroy(&vm);
    }
}

static void sev_init(void)
{
    init_and_destroy(VM_SEV, "KVM offers no SEV guests here");
}

static void sev_es_init(void)
{
    init_and_destroy(VM_SEV_ES, "KVM offers no SEV-ES guests here");
}

#define LAUNCH_RULE "SEV-SNP firmware ABI, 8: GCTX_CREATE to LAUNCH_FINISH, DECOMMISSION"
#define REFUSED "a refused command changes nothing"
#define CONVERT_RULE "APM2 15.36.5, 15.36.12: page state change, RMPUPDATE"

#define SNP_CASE(name, rule)                                                                       \
    {                                                                                              \
#name, name, rule, need_snp, expect_quiet_kernel                                           \
    }
#define ANY_CASE(name, rule)                                                                       \
    {                                                                                              \
#name, name, rule, need_nothing, expect_quiet_kernel                                       \
    }

static const struct test_case cases[] = {
    SNP_CASE(lifecycle, LAUNCH_RULE),
    SNP_CASE(unfinished, LAUNCH_RULE),
    SNP_CASE(page_types, "SEV-SNP firmware ABI: LAUNCH_UPDATE, PAGE_TYPE"),
    SNP_CASE(cpuid_page_refused, "SEV-SNP firmware ABI: LAUNCH_UPDATE, PAGE_TYPE_CPUID"),
    SNP_CASE(large, LAUNCH_RULE),
    SNP_CASE(convert_both_ways, CONVERT_RULE),
    SNP_CASE(convert_single_pages, CONVERT_RULE),
    SNP_CASE(several_at_once, LAUNCH_RULE),
    SNP_CASE(asids_run_out, "SEV-SNP firmware ABI: DF_FLUSH before an ASID is used again"),
    SNP_CASE(killed, "a guest whose process is gone leaves no page behind"),
    SNP_CASE(hostile_start, REFUSED),
    SNP_CASE(policy_refused, "SEV-SNP firmware ABI: LAUNCH_START, POLICY; " REFUSED),
    SNP_CASE(hostile_update, REFUSED),
    SNP_CASE(hostile_after_launch, REFUSED),
    SNP_CASE(update_after_finish, "SEV-SNP firmware ABI: guest state machine"),
    SNP_CASE(run_fails, "VMRUN of an SNP guest is not emulated: VMEXIT_INVALID"),
    SNP_CASE(run_before_launch, "APM2 15.35: no VMRUN without a VMSA"),
    ANY_CASE(sev_init, "KVM_SEV_INIT2 of a SEV guest"),
    ANY_CASE(sev_es_init, "KVM_SEV_INIT2 of a SEV-ES guest"),
};

bool run_snp_cases(char *const chosen[])
{
    return run_cases(cases, sizeof(cases) / sizeof(cases[0]), chosen);
}
