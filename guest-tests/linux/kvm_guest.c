// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plain guest through /dev/kvm, for the booted host: its writes reach its memory, on one vCPU and
 * on two, and after a memory slot has got other memory. Prints KTAP; a static program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    CODE = 0x1000,
    LOW_BYTES = 0x10000,
    SEGMENT_BYTES = 0x10000, /* each vCPU fills one segment */
    PORT = 0x10,
    MOST_VCPUS = 2,
};
#define AREA 0x10000ul /* guest-physical, after the low memory */
#define AREA_BYTES (MOST_VCPUS * (uint64_t)SEGMENT_BYTES)

/* Real mode: fill the segment in ES with BX, tell its low byte at a port, stop. */
static const uint8_t code[] = {
    0x31, 0xff,       /* xor %di, %di */
    0xb9, 0x00, 0x80, /* mov $0x8000, %cx */
    0x89, 0xd8,       /* mov %bx, %ax */
    0xf3, 0xab,       /* rep stosw */
    0xe6, PORT,       /* out %al, $PORT */
    0xf4,             /* hlt */
};

struct machine {
    int vm, vcpus[MOST_VCPUS];
    struct kvm_run *run[MOST_VCPUS];
    uint8_t *low, *area;
};

static int kvm;

static int request(int fd, unsigned long number, void *argument, const char *what)
{
    int result = ioctl(fd, number, argument);
    if (result < 0) {
        printf("Bail out! %s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}
#define REQUEST(fd, number, argument) request(fd, number, (void *)(uintptr_t)(argument), #number)

static uint8_t *memory(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        printf("Bail out! mmap: %s\n", strerror(errno));
        exit(1);
    }
    return p;
}

static void set_slot(const struct machine *m, unsigned slot, uint64_t gpa, uint8_t *host,
                     uint64_t bytes)
{
    struct kvm_userspace_memory_region region = {.slot = slot,
                                                 .guest_phys_addr = gpa,
                                                 .memory_size = bytes,
                                                 .userspace_addr = (uint64_t)host};
    REQUEST(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static struct machine create(unsigned vcpus)
{
    struct machine m = {.low = memory(LOW_BYTES), .area = memory(AREA_BYTES)};
    int size = REQUEST(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    m.vm = REQUEST(kvm, KVM_CREATE_VM, 0);
    memcpy(m.low + CODE, code, sizeof(code));
    set_slot(&m, 0, 0, m.low, LOW_BYTES);
    set_slot(&m, 1, AREA, m.area, AREA_BYTES);
    for (unsigned i = 0; i < vcpus; i++) {
        m.vcpus[i] = REQUEST(m.vm, KVM_CREATE_VCPU, i);
        m.run[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpus[i], 0);
    }
    return m;
}

/* Start over at the code, with a pattern of its own. */
static void prepare(const struct machine *m, unsigned vcpu, uint16_t pattern)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = CODE, .rbx = pattern, .rflags = 2};

    REQUEST(m->vcpus[vcpu], KVM_GET_SREGS, &sregs);
    sregs.cs.base = sregs.cs.selector = 0;
    sregs.es.base = AREA + vcpu * (uint64_t)SEGMENT_BYTES;
    sregs.es.selector = (uint16_t)(sregs.es.base >> 4);
    REQUEST(m->vcpus[vcpu], KVM_SET_SREGS, &sregs);
    REQUEST(m->vcpus[vcpu], KVM_SET_REGS, &regs);
}

/* True when the guest told its pattern and then stopped. */
static bool run(const struct machine *m, unsigned vcpu, uint16_t pattern)
{
    const struct kvm_run *state = m->run[vcpu];
    bool told;

    prepare(m, vcpu, pattern);
    REQUEST(m->vcpus[vcpu], KVM_RUN, 0);
    told = state->exit_reason == KVM_EXIT_IO && state->io.port == PORT &&
           *((const uint8_t *)state + state->io.data_offset) == (uint8_t)pattern;
    if (!told)
        printf("# exit reason %u instead of port access\n", state->exit_reason);
    REQUEST(m->vcpus[vcpu], KVM_RUN, 0);
    return told && state->exit_reason == KVM_EXIT_HLT;
}

static bool filled(const uint8_t *segment, uint16_t pattern)
{
    for (unsigned i = 0; i < SEGMENT_BYTES; i += 2) {
        uint16_t word;
        memcpy(&word, segment + i, 2);
        if (word != pattern) {
            printf("# word at %#x is %#x instead of %#x\n", i, word, pattern);
            return false;
        }
    }
    return true;
}

static bool one_vcpu(void)
{
    struct machine m = create(1);
    bool ok = true;
    for (uint16_t round = 1; round <= 20; round++)
        ok = run(&m, 0, (uint16_t)(0x5a00 + round)) && filled(m.area, (uint16_t)(0x5a00 + round)) &&
             ok;
    return filled(m.area + SEGMENT_BYTES, 0) && ok;
}

struct thread {
    const struct machine *m;
    unsigned vcpu;
    bool ok;
};

static void *run_in_thread(void *argument)
{
    struct thread *t = argument;
    t->ok = true;
    for (uint16_t round = 1; round <= 20; round++)
        t->ok = run(t->m, t->vcpu, (uint16_t)(0x1100 * (t->vcpu + 1) + round)) && t->ok;
    return NULL;
}

static bool two_vcpus(void)
{
    struct machine m = create(2);
    struct thread threads[] = {{&m, 0, false}, {&m, 1, false}};
    pthread_t id;

    pthread_create(&id, NULL, run_in_thread, &threads[1]);
    run_in_thread(&threads[0]);
    pthread_join(id, NULL);
    return threads[0].ok && threads[1].ok && filled(m.area, 0x1100 + 20) &&
           filled(m.area + SEGMENT_BYTES, 0x2200 + 20);
}

static bool other_memory_in_a_slot(void)
{
    struct machine m = create(1);
    uint8_t *other = memory(AREA_BYTES);
    bool ok = run(&m, 0, 0x1234);

    set_slot(&m, 1, AREA, other, 0);
    set_slot(&m, 1, AREA, other, AREA_BYTES);
    ok = run(&m, 0, 0x4321) && ok;
    return filled(m.area, 0x1234) && filled(other, 0x4321) && ok;
}

static const struct {
    const char *name;
    bool (*check)(void);
} cases[] = {
    {"one_vcpu", one_vcpu},
    {"two_vcpus", two_vcpus},
    {"other_memory_in_a_slot", other_memory_in_a_slot},
};

int main(void)
{
    int failed = 0;

    kvm = open("/dev/kvm", O_RDWR);
    if (kvm < 0) {
        printf("Bail out! /dev/kvm: %s\n", strerror(errno));
        return 1;
    }
    printf("KTAP version 1\n1..%zu\n", sizeof(cases) / sizeof(cases[0]));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool ok = cases[i].check();
        printf("%sok %u %s\n", ok ? "" : "not ", i + 1, cases[i].name);
        failed += !ok;
    }
    return failed != 0;
}
