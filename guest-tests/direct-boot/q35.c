// SPDX-License-Identifier: GPL-2.0-or-later
#include "q35.h"

#include "fail.h"
#include "hypervisor.h"
#include "memory.h"

enum {
    PCI_ADDRESS = 0xcf8,
    PCI_DATA = 0xcfc,

    HOST_BRIDGE = 0,
    HOST_BRIDGE_ID = 0x29c08086,
    PCIEXBAR = 0x60,
    PCIEXBAR_ENABLE = 1, /* 256 MiB */
    PAM = 0x90,          /* what is between 768 KiB and 1 MiB: 2 of 4 bits for each part */

    ISA_BRIDGE = 31,
    PM_BASE = 0x40,
    PM_PORTS = 0x600,
    PM_BASE_IS_IO = 1,
    ACPI_CONTROL = 0x44,
    ACPI_ENABLE = 0x80,
    PIRQ_A_TO_D = 0x60,
    PIRQ_E_TO_H = 0x68,
    INTERRUPTS_10_11 = 0x0b0b0a0a, /* where SeaBIOS routes them */
    LEVEL_TRIGGERED_8_TO_15 = 0x4d1,

    MTRR_DEFAULT_TYPE = 0x2ff,
    MTRR_ENABLE = 1 << 11,
    WRITE_BACK = 6
};
#define PAM_0_TO_3_MEMORY 0x33333330u
#define PAM_4_TO_6_MEMORY 0x00333333u
#define PCI_EXPRESS_SPACE 0xe0000000u
#define PCI_EXPRESS_SPACE_BYTES 0x10000000u

/* The device is on bus 0, and its function 0. */
static void select(unsigned device, unsigned offset)
{
    port_out(PCI_ADDRESS, 4, 1u << 31 | device << 11 | offset);
}

static void set(unsigned device, unsigned offset, uint32_t value)
{
    select(device, offset);
    port_out(PCI_DATA, 4, value);
}

void q35_init(void)
{
    select(HOST_BRIDGE, 0);
    if (port_in(PCI_DATA, 4) != HOST_BRIDGE_ID)
        fail(REASON_HYPERVISOR, "this machine is no q35");
    set(HOST_BRIDGE, PCIEXBAR + 4, 0);
    set(HOST_BRIDGE, PCIEXBAR, PCI_EXPRESS_SPACE | PCIEXBAR_ENABLE);
    memory_reserve(PCI_EXPRESS_SPACE, PCI_EXPRESS_SPACE_BYTES);
    set(HOST_BRIDGE, PAM, PAM_0_TO_3_MEMORY);
    set(HOST_BRIDGE, PAM + 4, PAM_4_TO_6_MEMORY);

    set(ISA_BRIDGE, PM_BASE, PM_PORTS | PM_BASE_IS_IO);
    set(ISA_BRIDGE, ACPI_CONTROL, ACPI_ENABLE);
    set(ISA_BRIDGE, PIRQ_A_TO_D, INTERRUPTS_10_11);
    set(ISA_BRIDGE, PIRQ_E_TO_H, INTERRUPTS_10_11);
    port_out(LEVEL_TRIGGERED_8_TO_15, 1, 1 << (10 - 8) | 1 << (11 - 8));

    write_msr(MTRR_DEFAULT_TYPE, MTRR_ENABLE | WRITE_BACK);
}
