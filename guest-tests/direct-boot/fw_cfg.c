// SPDX-License-Identifier: GPL-2.0-or-later
#include "fw_cfg.h"

#include "bytes.h"
#include "fail.h"
#include "hypervisor.h"
#include "layout.h"

enum {
    PORT_ADDRESS_HIGH = 0x514,
    PORT_ADDRESS_LOW = 0x518, /* starts the transfer */
    CONTROL_READ = 1 << 1,
    CONTROL_SELECT = 1 << 3,
    MOST_FILES = 64
};
#define TRANSFER BUFFER /* the command; the data are in the pages behind it */
#define DATA (BUFFER + PAGE_BYTES)
#define DATA_BYTES (BUFFER_BYTES - PAGE_BYTES)

/* Numbers in fw_cfg are big-endian, but for those in items that are numbers. */
struct transfer {
    uint32_t control, length;
    uint64_t address;
};

struct directory_entry {
    uint32_t size;
    uint16_t item, reserved;
    char name[FW_CFG_NAME_BYTES];
};

static struct directory_entry files[MOST_FILES];
static unsigned file_count;

static void transfer(uint32_t control, uint32_t bytes)
{
    volatile struct transfer *command = (volatile struct transfer *)TRANSFER;

    command->control = __builtin_bswap32(control);
    command->length = __builtin_bswap32(bytes);
    command->address = __builtin_bswap64(DATA);
    port_out(PORT_ADDRESS_HIGH, 4, 0);
    port_out(PORT_ADDRESS_LOW, 4, __builtin_bswap32(TRANSFER));
    if (command->control)
        fail(REASON_FW_CFG, "fw_cfg has no DMA, or it failed");
}

void fw_cfg_select(uint16_t item)
{
    transfer((uint32_t)item << 16 | CONTROL_SELECT, 0);
}

void fw_cfg_read(void *to, uint64_t bytes)
{
    for (char *next = to; bytes;) {
        uint32_t part = bytes < DATA_BYTES ? (uint32_t)bytes : DATA_BYTES;

        transfer(CONTROL_READ, part);
        memcpy(next, (const void *)DATA, part);
        next += part;
        bytes -= part;
    }
}

uint32_t fw_cfg_number(enum fw_cfg_item item)
{
    uint32_t value;

    fw_cfg_select((uint16_t)item);
    fw_cfg_read(&value, sizeof(value));
    return value;
}

void fw_cfg_init(void)
{
    uint32_t count = __builtin_bswap32(fw_cfg_number(FW_CFG_DIRECTORY));

    if (count > MOST_FILES)
        fail(REASON_FW_CFG, "fw_cfg has too many files");
    file_count = count;
    fw_cfg_read(files, count * sizeof(*files));
}

struct fw_cfg_file fw_cfg_find(const char *name)
{
    for (unsigned i = 0; i < file_count; i++) {
        if (fw_cfg_is_name(files[i].name, name))
            return (struct fw_cfg_file){__builtin_bswap32(files[i].size),
                                        __builtin_bswap16(files[i].item)};
    }
    fail(REASON_FW_CFG, "fw_cfg lacks a file");
}
