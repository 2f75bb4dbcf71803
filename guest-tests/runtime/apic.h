/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC of the calling CPU (xAPIC mode). */
#ifndef RUNTIME_APIC_H
#define RUNTIME_APIC_H

#include <stdint.h>

/* Commands for send_interrupt(), to be combined with a vector. */
enum {
    APIC_FIXED = 0x4000,
    APIC_INIT = 0x4500,
    APIC_STARTUP = 0x4600, /* the vector is the number of the page with the start-up code */
};

/* Find the APIC and mask the legacy interrupt controllers. To be called once, on the boot CPU. */
void apic_init(void);

/* Let the calling CPU take interrupts. */
void apic_enable(void);

uint32_t apic_id(void);

/* Send an interrupt to another CPU. Returns when the APIC has sent it. */
void send_interrupt(uint32_t to_apic_id, uint32_t command);

/* Send an interrupt to the calling CPU itself, which takes it as soon as RFLAGS.IF allows. */
void interrupt_this_cpu(uint32_t vector);

void acknowledge_interrupt(void);

/* Interrupt the calling CPU with VECTOR_WAKE again and again, about every so many nanoseconds; 0
 * ends it. */
void interrupt_regularly(uint32_t nanoseconds);

#endif
