/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_CLOCK_H
#define RUNTIME_CLOCK_H

#include <stdint.h>

/*
 * Milliseconds of real time since the first call. Only one CPU may call it, and at least every 4
 * seconds, because the ACPI timer has only 24 bits.
 */
uint64_t clock_ms(void);

#endif
