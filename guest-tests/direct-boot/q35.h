/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Linux expects firmware to have set up in a q35, beyond what it does itself. */
#ifndef DIRECT_BOOT_Q35_H
#define DIRECT_BOOT_Q35_H

/*
 * Comes before memory is validated, because there is more of it then, and before the ACPI tables
 * are read: QEMU writes into them what is set up here.
 */
void q35_init(void);

#endif
