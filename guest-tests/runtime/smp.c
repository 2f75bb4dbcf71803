// SPDX-License-Identifier: GPL-2.0-or-later
#include "smp.h"

#include "acpi.h"
#include "apic.h"
#include "console.h"
#include "layout.h"
#include "memory.h"
#include "x86.h"

enum { STACK_SIZE = 32768 };

extern const char trampoline_begin[], trampoline_end[];
extern uint32_t application_stack;

static struct cpu cpus[MAX_CPUS];
static unsigned count = 1;
static unsigned starting; /* the CPU to which INIT and SIPI were sent */

/* The number of low bits of the APIC ID that tell the threads of a core apart, from leaf 0Bh. */
static uint32_t core_number(uint32_t id)
{
    if (cpuid(0, 0).eax < 0xb)
        return id;
    return id >> (cpuid(0xb, 0).eax & 31);
}

static void init_this_cpu(struct cpu *cpu)
{
    trap_init_cpu(cpu);
    apic_enable();
    cpu->core = core_number(cpu->apic_id);
}

void smp_init_boot_cpu(void)
{
    apic_init();
    cpus[0].apic_id = apic_id();
    init_this_cpu(&cpus[0]);
    cpus[0].online = 1;
}

_Noreturn void application_main(void)
{
    struct cpu *cpu = &cpus[starting];

    init_this_cpu(cpu);
    __atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
    for (;;) {
        __asm__ volatile("cli");
        if (!__atomic_load_n(&cpu->busy, __ATOMIC_ACQUIRE)) {
            __asm__ volatile("sti; hlt" ::: "memory");
            continue;
        }
        flush_tlb();
        cpu->job(cpu->job_argument);
        __atomic_store_n(&cpu->busy, 0, __ATOMIC_RELEASE);
    }
}

void restart_cpu(unsigned index)
{
    struct cpu *cpu = &cpus[index];

    starting = index;
    application_stack = (uint32_t)cpu->stack_top;
    __atomic_store_n(&cpu->online, 0, __ATOMIC_RELEASE);
    send_interrupt(cpu->apic_id, APIC_INIT);
    send_interrupt(cpu->apic_id, APIC_STARTUP | TRAMPOLINE_ADDRESS / PAGE_4K);
    while (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
        cpu_relax();
}

static void start_cpu(uint32_t id)
{
    struct cpu *cpu = &cpus[count];

    cpu->index = count;
    cpu->apic_id = id;
    cpu->stack_top = allocate_or_fail(STACK_SIZE, PAGE_4K) + STACK_SIZE;
    restart_cpu(count);
    count++;
}

void smp_start_others(void)
{
    uint32_t ids[MAX_CPUS];
    unsigned found = acpi_apic_ids(ids, MAX_CPUS);

    memcpy((void *)(uint64_t)TRAMPOLINE_ADDRESS, trampoline_begin,
           (size_t)(trampoline_end - trampoline_begin));
    for (unsigned i = 0; i < found; i++) {
        if (ids[i] != cpus[0].apic_id)
            start_cpu(ids[i]);
    }
}

unsigned cpu_count(void)
{
    return count;
}

struct cpu *cpu_at(unsigned index)
{
    return &cpus[index];
}

static int find_cpu(unsigned index, bool same_core)
{
    for (unsigned i = 0; i < count; i++) {
        if (i != index && (cpus[i].core == cpus[index].core) == same_core)
            return (int)i;
    }
    return -1;
}

int sibling_of(unsigned index)
{
    return find_cpu(index, true);
}

int cpu_on_other_core(unsigned index)
{
    return find_cpu(index, false);
}

void start_on_cpu(unsigned index, void (*function)(void *), void *argument)
{
    struct cpu *cpu = &cpus[index];

    cpu->job = function;
    cpu->job_argument = argument;
    __atomic_store_n(&cpu->busy, 1, __ATOMIC_RELEASE);
    send_interrupt(cpu->apic_id, APIC_FIXED | VECTOR_WAKE);
}

void wait_for_cpu(unsigned index)
{
    while (__atomic_load_n(&cpus[index].busy, __ATOMIC_ACQUIRE))
        cpu_relax();
}

void run_on_cpu(unsigned index, void (*function)(void *), void *argument)
{
    if (index == 0) {
        function(argument);
        return;
    }
    start_on_cpu(index, function, argument);
    wait_for_cpu(index);
}

void run_on_all_cpus(void (*function)(void *), void *argument)
{
    for (unsigned i = 0; i < count; i++)
        run_on_cpu(i, function, argument);
}
