/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers that are the same in each run with one seed: --append seed=N, or else 1. */
#ifndef RUNTIME_RANDOM_H
#define RUNTIME_RANDOM_H

#include <stdint.h>

/* Begin anew with the run's seed. */
void random_start(void);

/* Any 64 bits; for the boot CPU only. */
uint64_t random_number(void);

#endif
