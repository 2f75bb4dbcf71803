// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Plain KVM guests (neither SEV nor SNP) under Linux's own kvm_amd, on a host whose RMP is active.
 * They must run as on any AMD machine, and the RMP must stop their writes to assigned pages.
 * Prints KTAP; exit status 0 if no case failed. Runs on any x86-64 Linux with /dev/kvm.
 */
#include "cases.h"
#include "kvm_vm.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { REMAPS = 16, VCPUS = 2, DONE = 0x600d, SNP_EN = 24 };
#define MSR_SYSCFG 0xc0010010
#define MSR_RMP_BASE 0xc0010132
#define PATTERN 0x9e3779b97f4a7c15ul
#define SLOT_GPA (16 * MIB)
#define COUNTER_GPA 0x1ff000ul

/* RDI: first qword, RSI: how many, RDX: value of the first and distance to each next one. */
GUEST_PROGRAM(fill, "mov %rdx, %rax; 1: mov %rax, (%rdi); add $8, %rdi; add %rdx, %rax;"
                    "dec %rsi; jnz 1b; mov $0x600d, %eax; out %eax, $0x80; hlt");
/* The same, counted at COUNTER_GPA. */
GUEST_PROGRAM(fill_and_count, "mov %rdx, %rax; 1: mov %rax, (%rdi); lock incq 0x1ff000;"
                              "add $8, %rdi; add %rdx, %rax; dec %rsi; jnz 1b;"
                              "mov $0x600d, %eax; out %eax, $0x80; hlt");
/* Tells the word at RDI, stores ESI behind it, and so on. */
GUEST_PROGRAM(load_and_store, "1: mov (%rdi), %eax; out %eax, $0x80; mov %esi, 4(%rdi); jmp 1b");
/* Tells EAX, EBX, ECX, EDX of the leaf in EDI. */
GUEST_PROGRAM(show_cpuid, "mov %edi, %eax; xor %ecx, %ecx; cpuid; out %eax, $0x80;"
                          "mov %ebx, %eax; out %eax, $0x80; mov %ecx, %eax; out %eax, $0x80;"
                          "mov %edx, %eax; out %eax, $0x80; hlt");
/* Tells the word at RDI, overwrites it with ESI, tells it again. */
GUEST_PROGRAM(overwrite, "mov (%rdi), %eax; out %eax, $0x80; mov %esi, (%rdi);"
                         "mov (%rdi), %eax; out %eax, $0x80; hlt");
GUEST_PROGRAM_16(overwrite_16, "mov (%edi), %eax; out %eax, $0x80; mov %esi, (%edi);"
                               "mov (%edi), %eax; out %eax, $0x80; hlt");
/* Where that store is. */
enum { OVERWRITE_STORE = 4, OVERWRITE_16_STORE = 7 };
/* RDI: first word, RSI: how many, RDX: what. */
/* 0x67 is the prefix addr32, which clang does not take in front of REP. */
GUEST_PROGRAM_16(fill_16, "mov %edx, %eax; mov %esi, %ecx; .byte 0x67; rep stosl;"
                          "mov $0x600d, %eax; out %eax, $0x80; hlt");

static void expect_pattern(const struct vm *vm, uint64_t gpa, uint64_t count, uint64_t seed)
{
    const uint64_t *words = (const uint64_t *)(vm->memory + gpa);
    uint64_t value = seed, wrong = 0;

    for (uint64_t i = 0; i < count; i++, value += seed)
        wrong += words[i] != value;
    EXPECT_EQ(wrong, 0);
}

static void expect_zero(const struct vm *vm, uint64_t from, uint64_t to)
{
    uint64_t set = 0;
    for (uint64_t i = from; i < to; i++)
        set += vm->memory[i] != 0;
    EXPECT_EQ(set, 0);
}

static void expect_end(const struct vcpu *cpu)
{
    EXPECT_EQ(vcpu_run(cpu), KVM_EXIT_IO);
    EXPECT_EQ(vcpu_output(cpu), DONE);
    EXPECT_EQ(vcpu_run(cpu), KVM_EXIT_HLT);
}

static void write_all_memory(int advice)
{
    struct vm vm;
    struct vcpu cpu;
    uint64_t count = (VM_MEMORY - GUEST_DATA - GUEST_PAGE) / 8;

    vm_create(&vm, advice);
    vcpu_create(&cpu, &vm, 0);
    for (uint64_t round = 1; round <= 3; round++) {
        vcpu_load(&cpu, &vm, &fill, (uint64_t[]){GUEST_DATA, count, PATTERN * round});
        expect_end(&cpu);
        expect_pattern(&vm, GUEST_DATA, count, PATTERN * round);
    }
    expect_zero(&vm, VM_MEMORY - GUEST_PAGE, VM_MEMORY);
    expect_zero(&vm, GUEST_CODE + GUEST_PAGE, GUEST_DATA);
    vcpu_destroy(&cpu);
    vm_destroy(&vm);
}

static void small_pages(void)
{
    write_all_memory(MADV_NOHUGEPAGE);
}

static void huge_pages(void)
{
    write_all_memory(MADV_HUGEPAGE);
}

static void real_mode(void)
{
    struct vm vm;
    struct vcpu cpu;
    const uint32_t value = (uint32_t)PATTERN, count = MIB / 4;
    uint64_t wrong = 0;

    vm_create(&vm, MADV_NOHUGEPAGE);
    vcpu_create(&cpu, &vm, 0);
    vcpu_load(&cpu, &vm, &fill_16, (uint64_t[]){GUEST_DATA, count, value});
    expect_end(&cpu);
    for (uint32_t i = 0; i < count; i++)
        wrong += ((uint32_t *)(vm.memory + GUEST_DATA))[i] != value;
    EXPECT_EQ(wrong, 0);
    expect_zero(&vm, GUEST_DATA + MIB, VM_MEMORY);
    vcpu_destroy(&cpu);
    vm_destroy(&vm);
}

/* The vCPU belongs to the thread that runs it, so its result is checked only after both have ended.
 */
struct runner {
    struct vcpu cpu;
    pthread_t thread;
    int exits[2];
    uint64_t output;
};

static void *run_to_end(void *argument)
{
    struct runner *runner = argument;
    runner->exits[0] = vcpu_run(&runner->cpu);
    runner->output = vcpu_output(&runner->cpu);
    runner->exits[1] = vcpu_run(&runner->cpu);
    return NULL;
}

static void start_runner(struct runner *runner, const struct vm *vm, unsigned index)
{
    uint64_t count = 2 * MIB / 8, start = GUEST_DATA + index * 2 * MIB;

    vcpu_create(&runner->cpu, vm, index);
    vcpu_load(&runner->cpu, vm, &fill_and_count, (uint64_t[]){start, count, PATTERN + index});
}

static void two_vcpus(void)
{
    struct vm vm;
    struct runner runners[VCPUS] = {0};

    vm_create(&vm, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < VCPUS; i++)
        start_runner(&runners[i], &vm, i);
    for (unsigned i = 0; i < VCPUS; i++)
        must(-pthread_create(&runners[i].thread, NULL, run_to_end, &runners[i]), "pthread_create");
    for (unsigned i = 0; i < VCPUS; i++) {
        pthread_join(runners[i].thread, NULL);
        EXPECT_EQ(runners[i].exits[0], KVM_EXIT_IO);
        EXPECT_EQ(runners[i].output, DONE);
        EXPECT_EQ(runners[i].exits[1], KVM_EXIT_HLT);
        expect_pattern(&vm, GUEST_DATA + i * 2 * MIB, 2 * MIB / 8, PATTERN + i);
        vcpu_destroy(&runners[i].cpu);
    }
    EXPECT_EQ(*(uint64_t *)(vm.memory + COUNTER_GPA), VCPUS * 2 * MIB / 8);
    vm_destroy(&vm);
}

/* Memory that the guest has at SLOT_GPA, page by page, and one vCPU. */
struct remapped {
    struct vm vm;
    struct vcpu cpu;
    uint32_t *pages[2];
};

static void expect_output(const struct vcpu *cpu, uint64_t value)
{
    EXPECT_EQ(vcpu_run(cpu), KVM_EXIT_IO);
    EXPECT_EQ(vcpu_output(cpu), value);
}

static void show_page(const struct remapped *m, unsigned which)
{
    vm_set_slot(&m->vm, 1, SLOT_GPA, NULL, 0);
    vm_set_slot(&m->vm, 1, SLOT_GPA, m->pages[which], GUEST_PAGE);
}

static void create_remapped(struct remapped *m)
{
    vm_create(&m->vm, MADV_NOHUGEPAGE);
    vcpu_create(&m->cpu, &m->vm, 0);
    for (unsigned i = 0; i < 2; i++) {
        m->pages[i] = (uint32_t *)anonymous_memory(GUEST_PAGE, MADV_NOHUGEPAGE);
        m->pages[i][0] = 0xaaa0 + i;
    }
    vm_set_slot(&m->vm, 1, SLOT_GPA, m->pages[0], GUEST_PAGE);
    vcpu_load(&m->cpu, &m->vm, &load_and_store, (uint64_t[]){SLOT_GPA, DONE, 0});
}

static void destroy_remapped(struct remapped *m)
{
    vcpu_destroy(&m->cpu);
    vm_destroy(&m->vm);
    for (unsigned i = 0; i < 2; i++)
        munmap(m->pages[i], GUEST_PAGE);
}

/* The page behind the address is replaced between the load and the store. */
static void new_page_in_slot(void)
{
    struct remapped m;

    create_remapped(&m);
    expect_output(&m.cpu, m.pages[0][0]);
    for (unsigned i = 1; i <= REMAPS; i++) {
        m.pages[0][1] = m.pages[1][1] = 0;
        show_page(&m, i % 2);
        expect_output(&m.cpu, m.pages[i % 2][0]);
        EXPECT_EQ(m.pages[i % 2][1], DONE);
        EXPECT_EQ(m.pages[!(i % 2)][1], 0);
    }
    destroy_remapped(&m);
}

static void no_page_in_slot(void)
{
    struct remapped m;
    struct kvm_run *run;
    const uint32_t value = 0x1234;

    create_remapped(&m);
    run = m.cpu.run;
    expect_output(&m.cpu, m.pages[0][0]);
    vm_set_slot(&m.vm, 1, SLOT_GPA, NULL, 0);
    EXPECT_EQ(vcpu_run(&m.cpu), KVM_EXIT_MMIO);
    EXPECT_EQ(run->mmio.phys_addr, SLOT_GPA + 4);
    EXPECT_EQ(run->mmio.is_write, 1);
    EXPECT_EQ(*(uint32_t *)run->mmio.data, DONE);
    EXPECT_EQ(m.pages[0][1], 0);
    EXPECT_EQ(vcpu_run(&m.cpu), KVM_EXIT_MMIO);
    EXPECT_EQ(run->mmio.phys_addr, SLOT_GPA);
    EXPECT_EQ(run->mmio.is_write, 0);
    memcpy(run->mmio.data, &value, sizeof(value));
    expect_output(&m.cpu, value);
    destroy_remapped(&m);
}

static void expect_leaf(const struct vm *vm, const struct vcpu *cpu,
                        const struct kvm_cpuid_entry2 *leaf)
{
    vcpu_load(cpu, vm, &show_cpuid, (uint64_t[]){leaf->function, 0, 0});
    expect_output(cpu, leaf->eax);
    expect_output(cpu, leaf->ebx);
    expect_output(cpu, leaf->ecx);
    expect_output(cpu, leaf->edx);
    EXPECT_EQ(vcpu_run(cpu), KVM_EXIT_HLT);
}

/* The leaves that differ between an SNP host and QEMU's CPU, and one that does not. */
static void cpuid_is_the_vmms(void)
{
    static const struct kvm_cpuid_entry2 leaves[] = {
        {.function = 0x80000000, .eax = 0x80000025, .ebx = 0xb0, .ecx = 0xc0, .edx = 0xd0},
        {.function = 0x8000000a, .eax = 0xa1, .ebx = 0xb1, .ecx = 0xc1, .edx = 0xd1},
        {.function = 0x8000001f, .eax = 0xa2, .ebx = 0xb2, .ecx = 0xc2, .edx = 0xd2},
        {.function = 0x80000025, .eax = 0xa3, .ebx = 0xb3, .ecx = 0xc3, .edx = 0xd3},
        {.function = 0x80000005, .eax = 0xa4, .ebx = 0xb4, .ecx = 0xc4, .edx = 0xd4},
    };
    const size_t count = sizeof(leaves) / sizeof(leaves[0]);
    struct vm vm;
    struct vcpu cpu;

    vm_create(&vm, MADV_NOHUGEPAGE);
    vcpu_create(&cpu, &vm, 0);
    vcpu_set_cpuid(&cpu, &vm, leaves, count);
    for (size_t i = 0; i < count; i++)
        expect_leaf(&vm, &cpu, &leaves[i]);
    vcpu_destroy(&cpu);
    vm_destroy(&vm);
}

static bool read_msr(uint32_t number, uint64_t *value)
{
    int device = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
    bool done = device >= 0 && pread(device, value, sizeof(*value), number) == sizeof(*value);

    if (device >= 0)
        close(device);
    return done;
}

/*
 * The address of the RMP's first page, which the secure processor has taken. Without SNP it returns
 * 0 and skips the case.
 */
static uint64_t find_assigned_page(void)
{
    uint64_t syscfg, base;

    if (!read_msr(MSR_SYSCFG, &syscfg)) {
        skip("/dev/cpu/0/msr does not tell whether SNP is active: is the module msr loaded?");
        return 0;
    }
    if (!(syscfg >> SNP_EN & 1) || !read_msr(MSR_RMP_BASE, &base)) {
        skip("SNP is not active on this host");
        return 0;
    }
    return base & -GUEST_PAGE;
}

static uint32_t *map_system_page(uint64_t address)
{
    int device = must(open("/dev/mem", O_RDWR | O_CLOEXEC), "/dev/mem");
    void *page = mmap(NULL, GUEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)address);

    must(page == MAP_FAILED ? -1 : 0, "mmap of /dev/mem");
    close(device);
    return page;
}

static void on_alarm(int number)
{
    (void)number; /* only ends KVM_RUN */
}

static void interrupt_every_100ms(bool on)
{
    const struct itimerval period = {{0, on ? 100000 : 0}, {0, on ? 100000 : 0}};
    const struct sigaction action = {.sa_handler = on ? on_alarm : SIG_DFL};

    must(sigaction(SIGALRM, &action, NULL), "sigaction");
    must(setitimer(ITIMER_REAL, &period, NULL), "setitimer");
}

/* KVM does not expect this nested page fault of a plain guest, and lets the guest retry forever. */
static void expect_store_stopped(const struct vcpu *cpu, const volatile uint32_t *page,
                                 uint64_t store)
{
    const uint32_t before = *page;

    expect_output(cpu, before);
    interrupt_every_100ms(true);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_EQ(vcpu_run(cpu), -1);
        EXPECT_EQ(vcpu_rip(cpu), store);
        EXPECT_EQ(*page, before);
    }
    interrupt_every_100ms(false);
}

static void write_to_assigned_page(const struct guest_code *code, unsigned store)
{
    struct vm vm;
    struct vcpu cpu;
    uint64_t address = find_assigned_page();
    uint32_t *page;

    if (!address)
        return;
    page = map_system_page(address);
    vm_create(&vm, MADV_NOHUGEPAGE);
    vcpu_create(&cpu, &vm, 0);
    vm_set_slot(&vm, 1, SLOT_GPA, page, GUEST_PAGE);
    vcpu_load(&cpu, &vm, code, (uint64_t[]){SLOT_GPA, ~*page, 0});
    expect_store_stopped(&cpu, page, GUEST_CODE + store);
    vcpu_destroy(&cpu);
    vm_destroy(&vm);
    munmap(page, GUEST_PAGE);
}

static void assigned_page(void)
{
    write_to_assigned_page(&overwrite, OVERWRITE_STORE);
}

static void assigned_page_real_mode(void)
{
    write_to_assigned_page(&overwrite_16, OVERWRITE_16_STORE);
}

/* The same guests with a page of their own, to show that it is the RMP that stops those above. */
static void write_to_own_page(const struct guest_code *code)
{
    struct remapped m;

    create_remapped(&m);
    vcpu_load(&m.cpu, &m.vm, code, (uint64_t[]){SLOT_GPA, DONE, 0});
    expect_output(&m.cpu, m.pages[0][0]);
    expect_end(&m.cpu);
    EXPECT_EQ(m.pages[0][0], DONE);
    destroy_remapped(&m);
}

static void own_page(void)
{
    write_to_own_page(&overwrite);
    write_to_own_page(&overwrite_16);
}

#define ASSIGNED_RULE "APM2 table 15-39, 15.36.10: write of a non-SNP guest, nested page fault"

static const struct test_case cases[] = {
    {.name = "small_pages",
     .run = small_pages,
     .rule = "APM2 15.25: nested paging, 4 KiB; 15.9: HLT and OUT leave"},
    {.name = "huge_pages", .run = huge_pages, .rule = "APM2 15.25: nested paging, 2 MiB"},
    {.name = "real_mode",
     .run = real_mode,
     .rule = "APM2 15.25: nested paging of a guest without paging; REP STOS"},
    {.name = "two_vcpus",
     .run = two_vcpus,
     .rule = "APM2 15.25: one nested page table, two cores; LOCK is atomic"},
    {.name = "new_page_in_slot",
     .run = new_page_in_slot,
     .rule = "KVM_SET_USER_MEMORY_REGION: old page is out of reach"},
    {.name = "no_page_in_slot",
     .run = no_page_in_slot,
     .rule = "KVM_EXIT_MMIO: no memory behind the address"},
    {.name = "cpuid_is_the_vmms",
     .run = cpuid_is_the_vmms,
     .rule = "APM2 15.9: intercepted CPUID, KVM_SET_CPUID2"},
    {.name = "own_page",
     .run = own_page,
     .rule = "APM2 table 15-39: unassigned page, write allowed"},
    {.name = "assigned_page", .run = assigned_page, .rule = ASSIGNED_RULE},
    {.name = "assigned_page_real_mode", .run = assigned_page_real_mode, .rule = ASSIGNED_RULE},
};

int main(int argc, char *argv[])
{
    (void)argc;
    return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argv + 1) ? EXIT_SUCCESS
                                                                        : EXIT_FAILURE;
}
