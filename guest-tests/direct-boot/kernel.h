/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linux as a bzImage, from fw_cfg, by its 64-bit boot protocol (Documentation/arch/x86/boot.rst).
 */
#ifndef DIRECT_BOOT_KERNEL_H
#define DIRECT_BOOT_KERNEL_H

#include <stdint.h>

struct boot_params;

/* Loads kernel, initrd and command line, and checks their hashes. Returns the entry. */
uint64_t kernel_load(void);
/* Comes after that. Nobody may take memory any more. */
struct boot_params *kernel_parameters(uint64_t acpi_root_pointer);

_Noreturn void start_kernel(uint64_t entry, struct boot_params *parameters);

#endif
