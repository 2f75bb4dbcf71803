/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An SNP virtual machine behind /dev/kvm: memory from guest_memfd at guest-physical 0, in-kernel
 * interrupt controllers, one vCPU. Addresses and lengths are in bytes and multiples of
 * GUEST_PAGE. Functions that return int return 0 or -errno; the others end the program if KVM
 * refuses ("Bail out!" in KTAP). A VM must be used by one thread only.
 */
#ifndef SNP_VM_H
#define SNP_VM_H

#include "kvm_vm.h"

/* Distribution headers are older than SNP: what we use of the interface is defined here. */
enum vm_type { VM_DEFAULT = 0, VM_SEV = 2, VM_SEV_ES = 3, VM_SNP = 4 };
enum sev_command {
    SEV_INIT2 = 22,
    SNP_LAUNCH_START = 100,
    SNP_LAUNCH_UPDATE = 101,
    SNP_LAUNCH_FINISH = 102,
};
enum snp_page_type {
    SNP_PAGE_NORMAL = 1,
    SNP_PAGE_VMSA = 2, /* only KVM itself may launch one */
    SNP_PAGE_ZERO = 3,
    SNP_PAGE_UNMEASURED = 4,
    SNP_PAGE_SECRETS = 5,
    SNP_PAGE_CPUID = 6,
};
#define SNP_POLICY_SMT (1ul << 16)
#define SNP_POLICY_ONE (1ul << 17) /* always set */
#define SNP_POLICY (SNP_POLICY_SMT | SNP_POLICY_ONE)

/* Parameters of the commands. Layout: Documentation/virt/kvm/x86/amd-memory-encryption.rst. */
struct sev_init2 {
    uint64_t vmsa_features;
    uint32_t flags;
    uint16_t ghcb_version, padding;
    uint32_t reserved[8];
};

struct snp_launch_start {
    uint64_t policy;
    uint8_t gosvw[16];
    uint16_t flags;
    uint8_t padding[6];
    uint64_t reserved[4];
};

struct snp_launch_update {
    uint64_t gfn_start, uaddr, len;
    uint8_t type, padding;
    uint16_t flags;
    uint32_t padding2;
    uint64_t reserved[4];
};

struct snp_launch_finish {
    uint64_t id_block_uaddr, id_auth_uaddr;
    uint8_t id_block_en, auth_key_en, vcek_disabled, host_data[32], padding[3];
    uint16_t flags;
    uint64_t reserved[4];
};

struct snp_vm {
    int kvm, sev, fd, guest_memory;
    size_t length;     /* of its memory */
    uint8_t *shared;   /* its memory where pages are not private; source of launched pages */
    struct vcpu cpu;   /* .fd < 0: none */
    uint32_t firmware; /* status of the secure processor for the last command, 0: success */
};

/* True if KVM offers VMs of this type. */
bool vm_type_offered(enum vm_type type);

/* Creates a VM of any type, without memory. `sev` must be open. */
void sev_create(struct snp_vm *vm, enum vm_type type);
/* KVM_MEMORY_ENCRYPT_OP; sets vm->firmware. */
int sev_command(struct snp_vm *vm, unsigned command, void *parameters);
int sev_init2(struct snp_vm *vm);

/* Creates an initialised SNP VM with a vCPU and memory, all of it private. Does not launch it. */
void snp_create(struct snp_vm *vm, size_t length);
/* Destroys any VM of this file. The kernel takes its pages back. */
void snp_destroy(struct snp_vm *vm);

int snp_start(struct snp_vm *vm, uint64_t policy);
/* Launches pages with the content of vm->shared at the same address. */
int snp_update(struct snp_vm *vm, uint64_t gpa, size_t length, enum snp_page_type type);
int snp_finish(struct snp_vm *vm);
/* Creates an SNP VM and launches it with normal pages from 0 to `length`. */
void snp_launch(struct snp_vm *vm, size_t length);
/*
 * The same without a vCPU, and so without a VMSA, whose page the kernel would allocate in any
 * region.
 */
void snp_launch_memory(struct snp_vm *vm, size_t length);

/* Makes pages shared: changes the attribute and returns the pages to the host. */
int snp_share(struct snp_vm *vm, uint64_t gpa, size_t length);
/* Makes pages private: changes the attribute only. Pages come when they are launched or populated.
 */
int snp_unshare(struct snp_vm *vm, uint64_t gpa, size_t length);
/* Adds private pages after the launch, as the guest's first access to each page would. */
int snp_populate(struct snp_vm *vm, uint64_t gpa, size_t length);

/* KVM_RUN: KVM_EXIT_*, or -errno. */
int snp_run(struct snp_vm *vm);

#endif
