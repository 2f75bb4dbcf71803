/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_BOOT_FAIL_H
#define DIRECT_BOOT_FAIL_H

/* The code of the termination request; its set is TERMINATION_SET. */
enum reason {
    REASON_HYPERVISOR = 1, /* it cannot do what is needed, or answers nonsense */
    REASON_MEMORY = 2,     /* a page that is not as it has to be, or a senseless memory map */
    REASON_FW_CFG = 3,     /* fw_cfg lacks something, or contradicts itself */
    REASON_HASH = 4,       /* kernel, initrd or command line is not what was measured */
    REASON_KERNEL = 5,     /* no kernel that this firmware can start */
    REASON_ACPI = 6        /* commands for ACPI tables that break their rules */
};
enum { TERMINATION_SET = 0xd };

/* Tells why on the first serial port, if the hypervisor can be reached, and ends the guest. */
_Noreturn void fail(enum reason reason, const char *message);

#endif
