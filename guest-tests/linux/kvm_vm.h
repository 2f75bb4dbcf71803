/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A minimal virtual machine behind /dev/kvm: memory and vCPUs, nothing else. If KVM refuses a
 * request, the program ends ("Bail out!" in KTAP). A VM and its vCPUs must be created by one
 * thread; the vCPUs may then run in threads of their own.
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
 * Guest-physical layout. The page tables map the first GiB one to one by pages of 2 MiB. Memory
 * extends from 0 to VM_MEMORY; the addresses above are free for vm_set_slot().
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

/* Returns the result of a system call. If it failed, ends the program with a line about `what`. */
int must(int result, const char *what);

/* Allocates `length` bytes of zeroed memory, aligned to 2 MiB. `advice`: as for madvise(2). */
uint8_t *anonymous_memory(size_t length, int advice);

void vm_create(struct vm *vm, int advice);
void vm_destroy(struct vm *vm);
/* Sets memory slot `slot`, a number from 1 on. A length of 0 removes the slot. */
void vm_set_slot(const struct vm *vm, unsigned slot, uint64_t gpa, void *memory, size_t length);

/* Creates a vCPU with KVM's own CPUID. */
void vcpu_create(struct vcpu *cpu, const struct vm *vm, unsigned index);
/* Copies the code to GUEST_CODE and sets the vCPU's RIP to it, with RDI, RSI and RDX loaded. */
void vcpu_load(const struct vcpu *cpu, const struct vm *vm, const struct guest_code *code,
               const uint64_t arguments[3]);
void vcpu_destroy(struct vcpu *cpu);
/* Adds or replaces a CPUID leaf. To be called before the vCPU first runs. */
void vcpu_set_cpuid(const struct vcpu *cpu, const struct vm *vm,
                    const struct kvm_cpuid_entry2 *leaves, size_t count);
uint64_t vcpu_rip(const struct vcpu *cpu);

/* Runs the vCPU until its next exit to user space. Returns KVM_EXIT_*, or -1 if a signal came
 * first. */
int vcpu_run(const struct vcpu *cpu);
/* The 32 bits that the guest wrote to port 80h; UINT64_MAX if it stopped for another reason. */
uint64_t vcpu_output(const struct vcpu *cpu);

#endif
