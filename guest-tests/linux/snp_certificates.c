// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Preloaded into a QEMU that has no option for it: gives SNP guests certificates with their
 * attestation reports. KVM asks for them (KVM_EXIT_SNP_REQ_CERTS, Linux 7.3) once it has been told
 * that somebody answers. They are the content of the file that SNP_CERTIFICATES names, in the
 * format of the extended guest request (AMD 56421). Thread-safe, as QEMU's calls are.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What headers older than those of Linux 7.3 lack. */
enum {
    EXIT_SNP_REQ_CERTS = 43,
    SEV_INIT2 = 22,
    SEV_SNP_ENABLE_REQ_CERTS = 103,
    SET_USER_MEMORY_REGION2_NUMBER = 0x49,
};
struct certificate_request {
    __u64 gpa, npages, ret;
};

enum { PAGE = 4096, LARGEST_BLOB = 16 * PAGE, SLOTS = 512, OTHER_ADDRESS_SPACES = 16 };

static char blob[LARGEST_BLOB];
static size_t blob_size;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kvm_userspace_memory_region slots[SLOTS]; /* without memory_size: unused */

__attribute__((constructor)) static void load(void)
{
    const char *name = getenv("SNP_CERTIFICATES");
    FILE *file = name ? fopen(name, "rb") : NULL;

    if (!file)
        return;
    blob_size = fread(blob, 1, sizeof(blob), file);
    if (blob_size == sizeof(blob)) /* perhaps not all of it */
        blob_size = 0;
    fclose(file);
}

/* Both versions of the region begin with the same fields. A size of 0 removes it. */
static void note_slot(const struct kvm_userspace_memory_region *region)
{
    struct kvm_userspace_memory_region *place = NULL;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].memory_size && slots[i].slot == region->slot) {
            place = &slots[i];
            break;
        }
        if (!slots[i].memory_size && !place)
            place = &slots[i];
    }
    if (place)
        *place = *region;
    pthread_mutex_unlock(&lock);
}

/* Copies the certificates to where the guest wants them. */
static bool give(__u64 gpa)
{
    bool found = false;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SLOTS && !found; i++) {
        const struct kvm_userspace_memory_region *slot = &slots[i];
        const __u64 offset = gpa - slot->guest_phys_addr;

        found = !(slot->slot >> OTHER_ADDRESS_SPACES) && gpa >= slot->guest_phys_addr &&
                blob_size <= slot->memory_size && offset <= slot->memory_size - blob_size;
        if (found)
            memcpy((char *)(unsigned long)slot->userspace_addr + offset, blob, blob_size);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static void answer(struct certificate_request *request)
{
    const __u64 needed = (blob_size + PAGE - 1) / PAGE;

    if (request->npages < needed) {
        request->npages = needed;
        request->ret = ENOSPC;
    } else {
        request->ret = give(request->gpa) ? 0 : EIO;
    }
}

/* The vCPU's, which QEMU has mapped as well. A thread runs one vCPU. */
static struct kvm_run *run_of(int vcpu)
{
    static __thread struct kvm_run *run;
    static __thread int owner = -1;

    if (owner != vcpu) {
        void *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

        run = mapped == MAP_FAILED ? NULL : mapped;
        owner = vcpu;
    }
    return run;
}

/* Tells KVM, as long as there is no vCPU yet. A KVM that does not know it asks for nothing. */
static void offer(int vm, const struct kvm_sev_cmd *init)
{
    struct kvm_sev_cmd command = {.id = SEV_SNP_ENABLE_REQ_CERTS, .sev_fd = init->sev_fd};

    if (blob_size)
        syscall(SYS_ioctl, vm, KVM_MEMORY_ENCRYPT_OP, &command);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;
    long result;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    result = syscall(SYS_ioctl, fd, request, argument);
    if (result)
        return result;

    if (request == KVM_RUN) {
        struct kvm_run *run = run_of(fd);

        while (!result && run && run->exit_reason == EXIT_SNP_REQ_CERTS) {
            answer((struct certificate_request *)&run->hw);
            result = syscall(SYS_ioctl, fd, request, argument);
        }
    } else if (_IOC_TYPE(request) == KVMIO && (_IOC_NR(request) == SET_USER_MEMORY_REGION2_NUMBER ||
                                               request == KVM_SET_USER_MEMORY_REGION)) {
        note_slot(argument);
    } else if (request == KVM_MEMORY_ENCRYPT_OP && argument &&
               ((struct kvm_sev_cmd *)argument)->id == SEV_INIT2) {
        offer(fd, argument);
    }
    return result;
}
