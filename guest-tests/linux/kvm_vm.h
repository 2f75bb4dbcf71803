/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine behind /dev/kvm, as small as one can be: memory and vCPUs, nothing else. What
 * KVM refuses ends the program ("Bail out!" in KTAP). A vm and its vCPUs may be created by one
 * thread only; vCPUs may then run in threads of their own.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB (1ul << 10)
#define MIB (1ul << 20)
#define GUEST_PAGE (4 * KIB)

/*
 * Guest-physical layout. Page tables map the first GiB one to one in pages of 2 MiB; memory goes
 * from 0 to VM_MEMORY, and what lies above is free for vm_set_slot().
 */
enum { GUEST_TABLES = 0x1000, GUEST_CODE = 0x4000 };
#define GUEST_DATA (2 * MIB)
#define VM_MEMORY (8 * MIB)

struct vm {
    int kvm, fd;
    uint8_t *memory; /* VM_MEMORY bytes at guest-physical 0 */
};

struct vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_size;
};

/* Machine code of a guest, position independent. */
struct guest_code {
    const uint8_t *start, *end;
    bool real_mode; /* 16-bit code, flat segments of 4 GiB, no paging; else 64-bit code */
};

/* Guest code from assembler text: GUEST_PROGRAM(name, "mov ...; hlt"). */
#define GUEST_PROGRAM_OF(name, bits, text)                                                         \
    extern const uint8_t name##_start[], name##_end[];                                             \
    __asm__(".pushsection .rodata\n.code" #bits "\n" #name "_start: " text "\n" #name              \
            "_end:\n.code64\n.popsection");                                                        \
    static const struct guest_code name = {name##_start, name##_end, (bits) == 16}
#define GUEST_PROGRAM(name, text) GUEST_PROGRAM_OF(name, 64, text)
#define GUEST_PROGRAM_16(name, text) GUEST_PROGRAM_OF(name, 16, text)

/* The result of a system call that must not fail; `what` is what bails out. */
int must(int result, const char *what);

/* `length` bytes of zeroed memory at an address that 2 MiB divides; `advice` as for madvise(2). */
uint8_t *anonymous_memory(size_t length, int advice);

void vm_create(struct vm *vm, int advice);
void vm_destroy(struct vm *vm);
/* Slots from 1 on; a length of 0 removes the slot. */
void vm_set_slot(const struct vm *vm, unsigned slot, uint64_t gpa, void *memory, size_t length);

/* A vCPU with KVM's own CPUID. */
void vcpu_create(struct vcpu *cpu, const struct vm *vm, unsigned index);
/* Copies the code to GUEST_CODE; the vCPU stands there with RDI, RSI and RDX loaded. */
void vcpu_load(const struct vcpu *cpu, const struct vm *vm, const struct guest_code *code,
               const uint64_t arguments[3]);
void vcpu_destroy(struct vcpu *cpu);
/* Adds the leaf or replaces it. Before the vCPU first runs. */
void vcpu_set_cpuid(const struct vcpu *cpu, const struct vm *vm,
                    const struct kvm_cpuid_entry2 *leaves, size_t count);
uint64_t vcpu_rip(const struct vcpu *cpu);

/* Runs until the next exit to us: KVM_EXIT_*, or -1 when a signal came first. */
int vcpu_run(const struct vcpu *cpu);
/* What the guest has written to port 80h, 32 bits; UINT64_MAX if that is not why it stopped. */
uint64_t vcpu_output(const struct vcpu *cpu);

#endif
