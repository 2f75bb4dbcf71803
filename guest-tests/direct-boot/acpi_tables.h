/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables that QEMU has made: it gives files, and commands that put them into memory. */
#ifndef DIRECT_BOOT_ACPI_TABLES_H
#define DIRECT_BOOT_ACPI_TABLES_H

#include <stdint.h>

/* Returns the address of the root pointer. */
uint64_t acpi_tables_load(void);

#endif
