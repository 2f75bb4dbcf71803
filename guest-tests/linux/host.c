// SPDX-License-Identifier: GPL-2.0-or-later
#include "host.h"

#include "kvm_vm.h"
#include "snp_vm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LOG_RECORD = 8192 };
#define HUGE_PAGE (2 * MIB)

bool host_has_snp(const char **reason)
{
    if (access("/dev/kvm", F_OK))
        *reason = "there is no /dev/kvm";
    else if (access("/dev/sev", F_OK))
        *reason = "there is no /dev/sev";
    else if (!vm_type_offered(VM_SNP))
        *reason = "SNP is not active on this host";
    else
        return true;
    return false;
}

static int log_device = -1;

void host_log_mark(void)
{
    if (log_device < 0)
        log_device = must(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), "/dev/kmsg");
    must((int)lseek(log_device, 0, SEEK_END), "seek in /dev/kmsg");
}

/* The next line since the mark; NULL if there is none. */
static const char *next_line(void)
{
    static char record[LOG_RECORD];
    ssize_t length = read(log_device, record, sizeof(record) - 1);
    char *text;

    if (length < 0)
        return NULL;
    record[length] = '\0';
    text = strchr(record, ';');
    return text ? text + 1 : record;
}

unsigned host_log_complaints(void)
{
    static const char *const signs[] = {
        "Leaking", "WARNING", "BUG", "RMPUPDATE failed", "Unexpected RMP fault",
        "Oops",    "rcu_",    "hung"};
    unsigned count = 0;
    const char *line;

    while ((line = next_line())) {
        bool bad = false;
        for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
            bad |= strstr(line, signs[i]) != NULL;
        if (bad)
            printf("# kernel: %s", line);
        count += bad;
    }
    return count;
}

size_t host_free_memory(void)
{
    FILE *info = fopen("/proc/meminfo", "re");
    char line[128];
    size_t kib = 0;

    must(info ? 0 : -1, "/proc/meminfo");
    while (fgets(line, sizeof(line), info))
        if (sscanf(line, "MemFree: %zu kB", &kib) == 1)
            break;
    fclose(info);
    return kib * KIB;
}

void host_write_free_memory(size_t margin)
{
    size_t available = host_free_memory(), length;
    uint8_t *memory;

    if (available <= margin)
        return;
    length = (available - margin) & -HUGE_PAGE;
    memory = anonymous_memory(length, MADV_HUGEPAGE);
    for (size_t at = 0; at < length; at += GUEST_PAGE)
        memory[at] = (uint8_t)~memory[at];
    munmap(memory, length);
}

double host_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
