/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two devices that write to memory by themselves: QEMU's firmware configuration interface, which
 * does it while the CPU waits, and QEMU's educational PCI device (-device edu), a thread of its
 * own.
 */
#ifndef RUNTIME_DMA_H
#define RUNTIME_DMA_H

#include <stdbool.h>
#include <stdint.h>

enum { EDU_BUFFER_SIZE = 4096 };

/* What the device reads: everything in big-endian order. */
struct __attribute__((packed, aligned(8))) fw_cfg_command {
    uint32_t control, length;
    uint64_t address;
};
enum { FW_CFG_FILE_DIRECTORY = 0x19 };

bool fw_cfg_has_dma(void);
/* Fill in a command that reads length bytes of an item to spa; past its end it has zeros. */
void fw_cfg_fill_read(struct fw_cfg_command *command, uint16_t item, uint64_t spa, uint32_t length);
/* Let the device execute the command at this SPA. It is done when this returns. */
void fw_cfg_execute(uint64_t command_spa);

/* Find the device and let it master the bus; false if there is none. Needed before the others. */
bool edu_init(void);
/* Copy between memory and the device's buffer; returns when the device says that it is done. */
void edu_write_memory(uint64_t spa, unsigned buffer_offset, unsigned length);
void edu_read_memory(uint64_t spa, unsigned buffer_offset, unsigned length);

#endif
