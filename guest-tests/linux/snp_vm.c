// SPDX-License-Identifier: GPL-2.0-or-later
#include "snp_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct memory_region2 {
    uint32_t slot, flags;
    uint64_t guest_phys_addr, memory_size, userspace_addr, guest_memfd_offset;
    uint32_t guest_memfd, padding;
    uint64_t reserved[14];
};

struct memory_attributes {
    uint64_t address, size, attributes, flags;
};

struct guest_memfd {
    uint64_t size, flags, reserved[6];
};

struct pre_fault_memory {
    uint64_t gpa, size, flags, reserved[5];
};

#define SET_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct memory_region2)
#define SET_MEMORY_ATTRIBUTES _IOW(KVMIO, 0xd2, struct memory_attributes)
#define CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct guest_memfd)
#define PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct pre_fault_memory)
enum { CAP_VM_TYPES = 235, REGION_GUEST_MEMFD = 4, ATTRIBUTE_PRIVATE = 8 };

static int result_of(int result)
{
    return result < 0 ? -errno : result;
}

bool vm_type_offered(enum vm_type type)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), types;

    if (kvm < 0)
        return false;
    types = ioctl(kvm, KVM_CHECK_EXTENSION, CAP_VM_TYPES);
    close(kvm);
    return types > 0 && (types >> type & 1);
}

void sev_create(struct snp_vm *vm, enum vm_type type)
{
    *vm = (struct snp_vm){.guest_memory = -1, .cpu.fd = -1};
    vm->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    vm->sev = must(open("/dev/sev", O_RDWR | O_CLOEXEC), "/dev/sev");
    vm->fd = must(ioctl(vm->kvm, KVM_CREATE_VM, type), "KVM_CREATE_VM");
}

int sev_command(struct snp_vm *vm, unsigned command, void *parameters)
{
    struct kvm_sev_cmd request = {
        .id = command, .data = (uintptr_t)parameters, .sev_fd = (uint32_t)vm->sev};
    int result = result_of(ioctl(vm->fd, KVM_MEMORY_ENCRYPT_OP, &request));

    vm->firmware = request.error;
    return result;
}

int sev_init2(struct snp_vm *vm)
{
    struct sev_init2 parameters = {0};
    return sev_command(vm, SEV_INIT2, &parameters);
}

static void add_memory(struct snp_vm *vm, size_t length)
{
    struct guest_memfd create = {.size = length};
    struct memory_region2 region = {.flags = REGION_GUEST_MEMFD, .memory_size = length};

    vm->length = length;
    vm->shared = anonymous_memory(length, MADV_NOHUGEPAGE);
    vm->guest_memory = must(ioctl(vm->fd, CREATE_GUEST_MEMFD, &create), "KVM_CREATE_GUEST_MEMFD");
    region.userspace_addr = (uintptr_t)vm->shared;
    region.guest_memfd = (uint32_t)vm->guest_memory;
    must(ioctl(vm->fd, SET_MEMORY_REGION2, &region), "KVM_SET_USER_MEMORY_REGION2");
    must(snp_unshare(vm, 0, length), "KVM_SET_MEMORY_ATTRIBUTES");
}

static void add_vcpu(struct snp_vm *vm)
{
    const struct vm plain = {.kvm = vm->kvm, .fd = vm->fd};
    vcpu_create(&vm->cpu, &plain, 0);
}

static void create_memory_alone(struct snp_vm *vm, size_t length)
{
    sev_create(vm, VM_SNP);
    must(sev_init2(vm), "KVM_SEV_INIT2");
    must(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    add_memory(vm, length);
}

void snp_create(struct snp_vm *vm, size_t length)
{
    create_memory_alone(vm, length);
    add_vcpu(vm);
}

void snp_destroy(struct snp_vm *vm)
{
    if (vm->cpu.fd >= 0)
        vcpu_destroy(&vm->cpu);
    if (vm->guest_memory >= 0)
        close(vm->guest_memory);
    close(vm->fd);
    close(vm->sev);
    close(vm->kvm);
    if (vm->shared)
        munmap(vm->shared, vm->length);
}

int snp_start(struct snp_vm *vm, uint64_t policy)
{
    struct snp_launch_start parameters = {.policy = policy};
    return sev_command(vm, SNP_LAUNCH_START, &parameters);
}

/* The kernel updates the parameters to show how far it got. */
int snp_update(struct snp_vm *vm, uint64_t gpa, size_t length, enum snp_page_type type)
{
    struct snp_launch_update parameters = {.gfn_start = gpa / GUEST_PAGE,
                                           .uaddr = (uintptr_t)(vm->shared + gpa),
                                           .len = length,
                                           .type = (uint8_t)type};
    int result;

    do {
        result = sev_command(vm, SNP_LAUNCH_UPDATE, &parameters);
    } while (result == 0 && parameters.len);
    return result;
}

int snp_finish(struct snp_vm *vm)
{
    struct snp_launch_finish parameters = {0};
    return sev_command(vm, SNP_LAUNCH_FINISH, &parameters);
}

static void must_succeed(const struct snp_vm *vm, int result, const char *what)
{
    errno = -result;
    if (result < 0 && vm->firmware)
        printf("# firmware status %#x\n", vm->firmware);
    must(result, what);
}

static void launch(struct snp_vm *vm)
{
    must_succeed(vm, snp_start(vm, SNP_POLICY), "SNP_LAUNCH_START");
    must_succeed(vm, snp_update(vm, 0, vm->length, SNP_PAGE_NORMAL), "SNP_LAUNCH_UPDATE");
    must_succeed(vm, snp_finish(vm), "SNP_LAUNCH_FINISH");
}

void snp_launch(struct snp_vm *vm, size_t length)
{
    snp_create(vm, length);
    launch(vm);
}

void snp_launch_memory(struct snp_vm *vm, size_t length)
{
    create_memory_alone(vm, length);
    launch(vm);
}

static int set_attributes(const struct snp_vm *vm, uint64_t gpa, size_t length, uint64_t value)
{
    struct memory_attributes change = {.address = gpa, .size = length, .attributes = value};
    return result_of(ioctl(vm->fd, SET_MEMORY_ATTRIBUTES, &change));
}

int snp_share(struct snp_vm *vm, uint64_t gpa, size_t length)
{
    int result = set_attributes(vm, gpa, length, 0);

    if (result < 0)
        return result;
    return result_of(fallocate(vm->guest_memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)gpa, (off_t)length));
}

int snp_unshare(struct snp_vm *vm, uint64_t gpa, size_t length)
{
    return set_attributes(vm, gpa, length, ATTRIBUTE_PRIVATE);
}

int snp_populate(struct snp_vm *vm, uint64_t gpa, size_t length)
{
    struct pre_fault_memory range = {.gpa = gpa, .size = length};
    int result;

    do {
        result = result_of(ioctl(vm->cpu.fd, PRE_FAULT_MEMORY, &range));
    } while ((result == 0 && range.size) || result == -EINTR || result == -EAGAIN);
    return result;
}

int snp_run(struct snp_vm *vm)
{
    int result = result_of(ioctl(vm->cpu.fd, KVM_RUN, 0));
    return result < 0 ? result : (int)vm->cpu.run->exit_reason;
}
