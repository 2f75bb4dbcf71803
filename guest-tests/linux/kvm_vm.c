// SPDX-License-Identifier: GPL-2.0-or-later
#include "kvm_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_LARGE = 0x80, ENTRIES = 512, OUTPUT_PORT = 0x80 };
enum { CODE_SELECTOR = 8, DATA_SELECTOR = 16, TYPE_CODE = 11, TYPE_DATA = 3 };
enum { MOST_LEAVES = 256, FLAGS_FIXED = 2, STACK_SIZE = 0x800 };
#define CR0_ET 0x10ul
#define CR0_PE_MP_ET_NE_WP_PG 0x80010033ul
#define CR4_PAE (1ul << 5)
#define EFER_LME_LMA ((1ul << 8) | (1ul << 10))

int must(int result, const char *what)
{
    if (result < 0) {
        printf("Bail out! %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return result;
}

static void *must_map(void *memory, const char *what)
{
    must(memory == MAP_FAILED ? -1 : 0, what);
    return memory;
}

uint8_t *anonymous_memory(size_t length, int advice)
{
    size_t whole = length + 2 * MIB;
    uint8_t *memory = must_map(mmap(NULL, whole, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                               "mmap of guest memory");
    uint8_t *aligned = memory + (-(uintptr_t)memory & (2 * MIB - 1));

    if (aligned != memory)
        must(munmap(memory, (size_t)(aligned - memory)), "munmap");
    must(munmap(aligned + length, (size_t)(memory + whole - aligned - length)), "munmap");
    must(madvise(aligned, length, advice), "madvise");
    return aligned;
}

static void fill_page_tables(uint8_t *memory)
{
    uint64_t *level4 = (uint64_t *)(memory + GUEST_TABLES), *level3 = level4 + ENTRIES,
             *level2 = level3 + ENTRIES;

    *level4 = (GUEST_TABLES + GUEST_PAGE) | PTE_PRESENT | PTE_WRITE;
    *level3 = (GUEST_TABLES + 2 * GUEST_PAGE) | PTE_PRESENT | PTE_WRITE;
    for (uint64_t i = 0; i < ENTRIES; i++)
        level2[i] = (i * 2 * MIB) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
}

void vm_set_slot(const struct vm *vm, unsigned slot, uint64_t gpa, void *memory, size_t length)
{
    struct kvm_userspace_memory_region region = {.slot = slot,
                                                 .guest_phys_addr = gpa,
                                                 .memory_size = length,
                                                 .userspace_addr = (uintptr_t)memory};
    must(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

void vm_create(struct vm *vm, int advice)
{
    vm->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    vm->fd = must(ioctl(vm->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    vm->memory = anonymous_memory(VM_MEMORY, advice);
    fill_page_tables(vm->memory);
    vm_set_slot(vm, 0, 0, vm->memory, VM_MEMORY);
}

void vm_destroy(struct vm *vm)
{
    close(vm->fd);
    close(vm->kvm);
    munmap(vm->memory, VM_MEMORY);
}

void vcpu_create(struct vcpu *cpu, const struct vm *vm, unsigned index)
{
    cpu->fd = must(ioctl(vm->fd, KVM_CREATE_VCPU, index), "KVM_CREATE_VCPU");
    cpu->run_size = (size_t)must(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "vCPU's mmap size");
    cpu->run = must_map(mmap(NULL, cpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0),
                        "mmap of vCPU");
    vcpu_set_cpuid(cpu, vm, NULL, 0);
}

void vcpu_destroy(struct vcpu *cpu)
{
    munmap(cpu->run, cpu->run_size);
    close(cpu->fd);
}

static void put_leaf(struct kvm_cpuid2 *all, const struct kvm_cpuid_entry2 *leaf)
{
    for (unsigned i = 0; i < all->nent; i++) {
        if (all->entries[i].function == leaf->function && all->entries[i].index == leaf->index) {
            all->entries[i] = *leaf;
            return;
        }
    }
    all->entries[all->nent++] = *leaf;
}

void vcpu_set_cpuid(const struct vcpu *cpu, const struct vm *vm,
                    const struct kvm_cpuid_entry2 *leaves, size_t count)
{
    struct kvm_cpuid2 *all =
        calloc(1, sizeof(*all) + (MOST_LEAVES + count) * sizeof(all->entries[0]));

    must(all ? 0 : -1, "calloc");
    all->nent = MOST_LEAVES;
    must(ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, all), "KVM_GET_SUPPORTED_CPUID");
    for (size_t i = 0; i < count; i++)
        put_leaf(all, &leaves[i]);
    must(ioctl(cpu->fd, KVM_SET_CPUID2, all), "KVM_SET_CPUID2");
    free(all);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool real_mode)
{
    return (struct kvm_segment){.limit = UINT32_MAX,
                                .selector = selector,
                                .type = type,
                                .present = 1,
                                .s = 1,
                                .g = 1,
                                .l = type == TYPE_CODE && !real_mode,
                                .db = type != TYPE_CODE && !real_mode};
}

static void enter_mode(const struct vcpu *cpu, bool real)
{
    struct kvm_sregs sregs;

    must(ioctl(cpu->fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs = flat_segment(real ? 0 : CODE_SELECTOR, TYPE_CODE, real);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss =
        flat_segment(real ? 0 : DATA_SELECTOR, TYPE_DATA, real);
    sregs.cr0 = real ? CR0_ET : CR0_PE_MP_ET_NE_WP_PG;
    sregs.cr3 = GUEST_TABLES;
    sregs.cr4 = real ? 0 : CR4_PAE;
    sregs.efer = real ? 0 : EFER_LME_LMA;
    must(ioctl(cpu->fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

void vcpu_load(const struct vcpu *cpu, const struct vm *vm, const struct guest_code *code,
               const uint64_t arguments[3])
{
    struct kvm_regs regs = {.rip = GUEST_CODE,
                            .rsp = GUEST_CODE - STACK_SIZE,
                            .rdi = arguments[0],
                            .rsi = arguments[1],
                            .rdx = arguments[2],
                            .rflags = FLAGS_FIXED};

    memcpy(vm->memory + GUEST_CODE, code->start, (size_t)(code->end - code->start));
    enter_mode(cpu, code->real_mode);
    must(ioctl(cpu->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

uint64_t vcpu_rip(const struct vcpu *cpu)
{
    struct kvm_regs regs;
    must(ioctl(cpu->fd, KVM_GET_REGS, &regs), "KVM_GET_REGS");
    return regs.rip;
}

int vcpu_run(const struct vcpu *cpu)
{
    int result = ioctl(cpu->fd, KVM_RUN, 0);
    if (result < 0 && errno == EINTR)
        return -1;
    must(result, "KVM_RUN");
    return (int)cpu->run->exit_reason;
}

uint64_t vcpu_output(const struct vcpu *cpu)
{
    const struct kvm_run *run = cpu->run;
    uint32_t value;

    if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
        run->io.port != OUTPUT_PORT || run->io.size != sizeof(value) || run->io.count != 1)
        return UINT64_MAX;
    memcpy(&value, (const uint8_t *)run + run->io.data_offset, sizeof(value));
    return value;
}
