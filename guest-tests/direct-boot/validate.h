/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_BOOT_VALIDATE_H
#define DIRECT_BOOT_VALIDATE_H

#include <stdint.h>

/* Validates all pages of a range, each of which must be private, and not be validated yet. */
void validate(uint64_t start, uint64_t end);

#endif
