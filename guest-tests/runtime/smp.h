/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All the machine's CPUs. Number 0 is the boot CPU; only it hands out work. */
#ifndef RUNTIME_SMP_H
#define RUNTIME_SMP_H

#include "trap.h"

/* Prepare the calling (boot) CPU. Must come before anything that can fault. */
void smp_init_boot_cpu(void);

/* Start every other enabled CPU that the ACPI tables list. */
void smp_start_others(void);

/* INIT and SIPI for a CPU other than the boot CPU; returns when it waits for work again. */
void restart_cpu(unsigned index);

unsigned cpu_count(void);
struct cpu *cpu_at(unsigned index);

/* A CPU on the same core (an SMT sibling) or on another one; -1 if the machine has none. */
int sibling_of(unsigned index);
int cpu_on_other_core(unsigned index);

/* Run function(argument) there and wait for its end. */
void run_on_cpu(unsigned index, void (*function)(void *), void *argument);
void run_on_all_cpus(void (*function)(void *), void *argument);

/* The same in two halves, to have several CPUs busy at once. Not for CPU 0. */
void start_on_cpu(unsigned index, void (*function)(void *), void *argument);
void wait_for_cpu(unsigned index);

_Noreturn void application_main(void);

#endif
