/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include <stdint.h>

/*
 * Milliseconds of real time since the first call. Only one CPU may ask, at least every 4 seconds:
 * the ACPI timer behind it has 24 bits.
 */
uint64_t clock_ms(void);

#endif
