/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in the host's memory the next guest's pages come from. Nobody can ask the kernel for that;
 * what can be done is to hold all other memory. For one thread, as root.
 */
#ifndef STEER_H
#define STEER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Holds all free memory but some MiB, then lets go what lies in one GiB of system memory, so that
 * pages come from there. After an earlier steering, what is left of that region is held first. The
 * thread stays on CPU 0, whose lists of free pages are now the right ones. Result: bytes let go; 0
 * if none of that GiB was free.
 */
size_t steer_to_region(uint64_t gib);

/* Gives everything back. The thread stays on CPU 0. */
void steer_end(void);

#endif
