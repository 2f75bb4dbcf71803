// SPDX-License-Identifier: GPL-2.0-or-later
#include "other_cpus.h"

#include "hypervisor.h"

enum { TO_ALL_OTHERS = 3 << 18, ASSERT = 1 << 14, INIT = 5 << 8, START_UP = 6 << 8 };
#define APIC_INTERRUPT_COMMAND 0xfee00300ul

/* The vector of the start-up IPI means nothing: an encrypted CPU starts as it was launched. */
void other_cpus_halt(void)
{
    mmio_out(APIC_INTERRUPT_COMMAND, TO_ALL_OTHERS | ASSERT | INIT);
    mmio_out(APIC_INTERRUPT_COMMAND, TO_ALL_OTHERS | ASSERT | START_UP);
}
