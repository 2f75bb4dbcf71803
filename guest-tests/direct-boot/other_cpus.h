/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_BOOT_OTHER_CPUS_H
#define DIRECT_BOOT_OTHER_CPUS_H

/*
 * Starts the other CPUs, which halt at once. KVM lets a guest make a new state for a CPU and have
 * it run that, as Linux does, but a CPU that has never been started stays as it is.
 */
void other_cpus_halt(void);

#endif
