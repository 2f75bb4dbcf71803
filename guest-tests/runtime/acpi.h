/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_ACPI_H
#define RUNTIME_ACPI_H

#include <stdint.h>

/* A table by its four-letter signature, NULL if the firmware has none. */
const void *acpi_table(const char *signature);

/* APIC ids of the enabled CPUs in the MADT; returns how many. */
unsigned acpi_apic_ids(uint32_t *ids, unsigned capacity);

#endif
