/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hashes of kernel, initrd and command line that the launch has measured (QEMU's
 * kernel-hashes=on). Without them anything is accepted; the launch digest then says so.
 */
#ifndef DIRECT_BOOT_HASHES_H
#define DIRECT_BOOT_HASHES_H

#include "sha256.h"

enum hashed { HASHED_COMMAND_LINE, HASHED_INITRD, HASHED_KERNEL, HASHED };

/* Ends the guest if the launch has measured something else. */
void hashes_check(enum hashed what, struct sha256 *hash);

#endif
