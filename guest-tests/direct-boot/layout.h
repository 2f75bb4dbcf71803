/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are in the guest's memory, for assembly, C and the linker. The firmware lives
 * between 512 KiB and 640 KiB: Linux leaves the first MiB alone, so nothing above it is lost.
 */
#ifndef DIRECT_BOOT_LAYOUT_H
#define DIRECT_BOOT_LAYOUT_H

/* Pages that the launch fills and validates. */
#define SECRETS_PAGE 0x80000
#define CPUID_PAGE 0x81000
#define HASHES_PAGE 0x82000
/* Pages that it validates: the firmware's code, data, stack and page tables. */
#define WORK 0x83000

/*
 * Two large pages whose mappings are shared until the kernel starts: the buffer for fw_cfg's DMA,
 * and one of which the GHCB has the first page.
 */
#define BUFFER 0x200000
#define BUFFER_BYTES LARGE_PAGE_BYTES
#define GHCB_PAGE 0x400000
#define SHARED_START BUFFER
#define SHARED_END (GHCB_PAGE + LARGE_PAGE_BYTES)

#define FIRMWARE_START SECRETS_PAGE
#define LOW_MEMORY_END 0xa0000
#define SHADOW_MEMORY 0xc0000 /* memory in the place of ROMs; between, devices may be */
#define HIGH_MEMORY 0x100000

#define ROM 0xffff0000
#define ROM_BYTES 0x10000
#define RESET_PAGE 0xfffff000

#define STACK_BYTES 0x4000
#define PAGE_BYTES 0x1000
#define LARGE_PAGE_BYTES 0x200000

/* For the page at CPUID_PAGE: a count in 16 bytes, then entries. */
#define CPUID_HEADER_BYTES 16
#define CPUID_ENTRY_BYTES 48
#define CPUID_ENTRY_EAX 24
#define CPUID_ENTRY_EBX 28
#define CPUID_MOST_ENTRIES 64
#define CPUID_ENCRYPTION 0x8000001f /* EBX[5:0]: the position of the C-bit */

#endif
