/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two devices that write to memory: QEMU's firmware configuration interface, which does so while
 * the CPU waits, and QEMU's educational PCI device (-device edu), which has a thread of its own.
 */
#ifndef RUNTIME_DMA_H
#define RUNTIME_DMA_H

#include <stdbool.h>
#include <stdint.h>

enum { EDU_BUFFER_SIZE = 4096 };

/* The command as the device reads it, all in big-endian order. */
struct __attribute__((packed, aligned(8))) fw_cfg_command {
    uint32_t control, length;
    uint64_t address;
};
enum { FW_CFG_FILE_DIRECTORY = 0x19 };

bool fw_cfg_has_dma(void);
/* Prepare a command that reads length bytes of an item to spa. Beyond the item's end it reads
 * zeros. */
void fw_cfg_fill_read(struct fw_cfg_command *command, uint16_t item, uint64_t spa, uint32_t length);
/* Let the device execute the command at this SPA. Returns when it is done. */
void fw_cfg_execute(uint64_t command_spa);

/* Find the device and enable bus mastering. False if there is none. Must come before the others. */
bool edu_init(void);
/* Copy between memory and the device's buffer. Returns when the device reports that it is done. */
void edu_write_memory(uint64_t spa, unsigned buffer_offset, unsigned length);
void edu_read_memory(uint64_t spa, unsigned buffer_offset, unsigned length);

#endif
