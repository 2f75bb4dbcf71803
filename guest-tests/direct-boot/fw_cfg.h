/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration interface, by DMA through the shared buffer. Everything that comes
 * from it is the hypervisor's word. It is copied to private memory before anybody looks at it, so
 * that it cannot change any more.
 */
#ifndef DIRECT_BOOT_FW_CFG_H
#define DIRECT_BOOT_FW_CFG_H

#include <stdbool.h>
#include <stdint.h>

enum fw_cfg_item {
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_KERNEL = 0x11,
    FW_CFG_INITRD = 0x12,
    FW_CFG_COMMAND_LINE_SIZE = 0x14,
    FW_CFG_COMMAND_LINE = 0x15,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP = 0x18,
    FW_CFG_DIRECTORY = 0x19
};

enum { FW_CFG_NAME_BYTES = 56 };

struct fw_cfg_file {
    uint32_t size;
    uint16_t item;
};

/* Whether the field holds this name, with its end: what a hypervisor wrote may have none. */
static inline bool fw_cfg_is_name(const char *field, const char *name)
{
    for (unsigned i = 0; i < FW_CFG_NAME_BYTES; i++) {
        if (field[i] != name[i])
            return false;
        if (!name[i])
            return true;
    }
    return false;
}

/* Reads the directory of files. Comes before the others. */
void fw_cfg_init(void);

/* The file of this name, which there must be. */
struct fw_cfg_file fw_cfg_find(const char *name);

void fw_cfg_select(uint16_t item);
/* Reads on in the selected item; beyond its end there are zeros. */
void fw_cfg_read(void *to, uint64_t bytes);
uint32_t fw_cfg_number(enum fw_cfg_item item);

#endif
