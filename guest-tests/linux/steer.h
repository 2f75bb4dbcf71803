/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chooses where in the host's memory the next guest's pages come from. The kernel has no interface
 * for that, so all other memory is held. For one thread, as root.
 */
#ifndef STEER_H
#define STEER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Holds all free memory but some MiB, then releases the memory in one GiB of system memory, so that
 * pages come from there. If it was called before, the rest of that earlier region is held first.
 * The thread stays on CPU 0, whose lists of free pages are now the right ones. Returns the number
 * of bytes released; 0 if none of that GiB was free.
 */
size_t steer_to_region(uint64_t gib);

/* Releases everything. The thread stays on CPU 0. */
void steer_end(void);

#endif
