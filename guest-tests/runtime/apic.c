// SPDX-License-Identifier: GPL-2.0-or-later
#include "apic.h"

#include "layout.h"
#include "x86.h"

enum {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_ICR_LOW = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_TIMER = 0x320,
    APIC_TIMER_COUNT = 0x380,
    APIC_TIMER_DIVISOR = 0x3e0,
    TIMER_PERIODIC = 0x20000,
    TIMER_MASKED = 0x10000,
    TIMER_UNDIVIDED = 0xb, /* QEMU's clock is 1 GHz */
    SPURIOUS_ENABLE = 0x100,
    ICR_PENDING = 0x1000,
    ICR_TO_SELF = 0x40000,
    PIC1_DATA = 0x21,
    PIC2_DATA = 0xa1,
};
#define APIC_BASE_ADDRESS 0xffffff000ul

static uint64_t apic;

static uint32_t apic_read(unsigned offset)
{
    return *(volatile uint32_t *)(apic + offset);
}

static void apic_write(unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(apic + offset) = value;
}

void apic_init(void)
{
    out8(PIC1_DATA, 0xff);
    out8(PIC2_DATA, 0xff);
    apic = rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
}

void apic_enable(void)
{
    apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
}

uint32_t apic_id(void)
{
    return apic_read(APIC_ID) >> 24;
}

void send_interrupt(uint32_t to_apic_id, uint32_t command)
{
    apic_write(APIC_ICR_HIGH, to_apic_id << 24);
    apic_write(APIC_ICR_LOW, command);
    while (apic_read(APIC_ICR_LOW) & ICR_PENDING)
        cpu_relax();
}

void interrupt_this_cpu(uint32_t vector)
{
    apic_write(APIC_ICR_LOW, ICR_TO_SELF | APIC_FIXED | vector);
}

void acknowledge_interrupt(void)
{
    apic_write(APIC_EOI, 0);
}

void interrupt_regularly(uint32_t nanoseconds)
{
    apic_write(APIC_TIMER_DIVISOR, TIMER_UNDIVIDED);
    apic_write(APIC_TIMER, VECTOR_WAKE | (nanoseconds ? TIMER_PERIODIC : TIMER_MASKED));
    apic_write(APIC_TIMER_COUNT, nanoseconds);
}
