// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The operations of lifecycle.sh that busybox lacks: see usage. Exit status 0 on success; otherwise
 * one line on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/kvm.h>
#include <linux/psp-sev.h>
#include <linux/reboot.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
enum { VM_TYPE_SNP = 4, SEV_INIT2 = 22 };

struct sev_init2 {
    uint64_t vmsa_features;
    uint32_t flags;
    uint16_t ghcb_version;
    uint16_t reserved1;
    uint32_t reserved2[8];
};

#define MSR_VM_HSAVE_PA 0xc0010117

static const char usage[] =
    "usage: snp-lifecycle sev-init            firmware: SNP and SEV initialised\n"
    "       snp-lifecycle sev-init-again      the same, after a shutdown that has left SNP_EN set\n"
    "       snp-lifecycle shut-down           firmware: neither initialised\n"
    "       snp-lifecycle msr CPU INDEX       value of an MSR, in hex\n"
    "       snp-lifecycle load KERNEL INITRD COMMAND-LINE        for kexec\n"
    "       snp-lifecycle load-crash KERNEL INITRD COMMAND-LINE  for a panic\n"
    "       snp-lifecycle kexec\n";

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return EXIT_FAILURE;
}

static int open_msr(const char *cpu, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/cpu/%s/msr", cpu);
    return open(path, flags);
}

/*
 * SNP_INIT_EX requires VM_HSAVE_PA to be 0 on all CPUs. Linux clears it only when it sets SNP_EN
 * itself. No vCPU may run from now on.
 */
static int clear_host_save_areas(void)
{
    const uint64_t none = 0;
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    for (long n = 0; n < cpus; n++) {
        char cpu[24];
        snprintf(cpu, sizeof cpu, "%ld", n);
        const int fd = open_msr(cpu, O_WRONLY);
        if (fd < 0 || pwrite(fd, &none, sizeof none, MSR_VM_HSAVE_PA) != sizeof none)
            return failed("VM_HSAVE_PA");
        close(fd);
    }
    return EXIT_SUCCESS;
}

/* Creating a guest makes the driver initialise SEV and SNP if they are not initialised. */
static int sev_init(bool again)
{
    struct sev_init2 init = {0};
    struct kvm_sev_cmd command = {.id = SEV_INIT2, .data = (uintptr_t)&init};
    const int kvm = open("/dev/kvm", O_RDWR);
    if (kvm < 0)
        return failed("/dev/kvm");
    const int sev = open("/dev/sev", O_RDWR);
    if (sev < 0)
        return failed("/dev/sev");
    const int vm = ioctl(kvm, KVM_CREATE_VM, VM_TYPE_SNP);
    if (vm < 0)
        return failed("KVM_CREATE_VM of an SNP guest");
    if (again && clear_host_save_areas() != EXIT_SUCCESS)
        return EXIT_FAILURE;
    command.sev_fd = (uint32_t)sev;
    if (ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command) != 0) {
        fprintf(stderr, "firmware error %#x, ", command.error);
        return failed("KVM_SEV_INIT2");
    }
    return EXIT_SUCCESS;
}

/*
 * An SEV command that needs INIT initialises SEV if necessary, and then shuts down all of SEV and
 * SNP afterwards. It does not matter here whether the command itself succeeds.
 */
static int shut_down(void)
{
    const int sev = open("/dev/sev", O_RDWR);
    if (sev < 0)
        return failed("/dev/sev");
    struct sev_issue_cmd reset = {.cmd = SEV_FACTORY_RESET}, generate = {.cmd = SEV_PDH_GEN};
    ioctl(sev, SEV_ISSUE_CMD, &reset); /* leaves SEV uninitialised */
    ioctl(sev, SEV_ISSUE_CMD, &generate);
    return EXIT_SUCCESS;
}

static int show_msr(const char *cpu, const char *index)
{
    uint64_t value = 0;
    const int fd = open_msr(cpu, O_RDONLY);
    if (fd < 0)
        return failed(cpu);
    if (pread(fd, &value, sizeof value, (off_t)strtoul(index, NULL, 16)) != sizeof value)
        return failed(index);
    printf("%lx\n", value);
    return EXIT_SUCCESS;
}

static int load_kernel(unsigned long flags, char **files)
{
    const int kernel = open(files[0], O_RDONLY);
    if (kernel < 0)
        return failed(files[0]);
    const int initrd = open(files[1], O_RDONLY);
    if (initrd < 0)
        return failed(files[1]);
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(files[2]) + 1, files[2], flags) != 0)
        return failed("kexec_file_load");
    return EXIT_SUCCESS;
}

static int start_loaded_kernel(void)
{
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    return failed("kexec");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sev-init") == 0)
        return sev_init(false);
    if (strcmp(what, "sev-init-again") == 0)
        return sev_init(true);
    if (strcmp(what, "shut-down") == 0)
        return shut_down();
    if (strcmp(what, "msr") == 0 && argc == 4)
        return show_msr(argv[2], argv[3]);
    if (strcmp(what, "load") == 0 && argc == 5)
        return load_kernel(0, argv + 2);
    if (strcmp(what, "load-crash") == 0 && argc == 5)
        return load_kernel(KEXEC_FILE_ON_CRASH, argv + 2);
    if (strcmp(what, "kexec") == 0)
        return start_loaded_kernel();
    fputs(usage, stderr);
    return EXIT_FAILURE;
}
