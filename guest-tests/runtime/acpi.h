/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_ACPI_H
#define RUNTIME_ACPI_H

#include <stdint.h>

/* The table with this four-letter signature; NULL if the firmware has none. */
const void *acpi_table(const char *signature);

/* Gets the APIC IDs of the enabled CPUs in the MADT. Returns their number. */
unsigned acpi_apic_ids(uint32_t *ids, unsigned capacity);

#endif
