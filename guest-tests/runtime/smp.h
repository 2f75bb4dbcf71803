/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs code on all CPUs of the machine. CPU 0 is the boot CPU, and the only one that hands out
 * jobs. */
#ifndef RUNTIME_SMP_H
#define RUNTIME_SMP_H

#include "trap.h"

/* Prepare the calling CPU, which is the boot CPU. Must come before anything that can fault. */
void smp_init_boot_cpu(void);

/* Start all other enabled CPUs that the ACPI tables list. */
void smp_start_others(void);

/* Send INIT and SIPI to a CPU other than the boot CPU. Returns when it waits for a job again. */
void restart_cpu(unsigned index);

unsigned cpu_count(void);
struct cpu *cpu_at(unsigned index);

/* A CPU on the same core (an SMT sibling) or on another one; -1 if the machine has none. */
int sibling_of(unsigned index);
int cpu_on_other_core(unsigned index);

/* Run function(argument) on a CPU and wait until it has returned. */
void run_on_cpu(unsigned index, void (*function)(void *), void *argument);
void run_on_all_cpus(void (*function)(void *), void *argument);

/* The same in two steps, to keep several CPUs busy at once. Not for CPU 0. */
void start_on_cpu(unsigned index, void (*function)(void *), void *argument);
void wait_for_cpu(unsigned index);

_Noreturn void application_main(void);

#endif
