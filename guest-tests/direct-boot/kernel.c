// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel.h"

#include "bytes.h"
#include "fail.h"
#include "fw_cfg.h"
#include "hashes.h"
#include "layout.h"
#include "memory.h"

enum {
    SECTOR = 512,
    MOST_SETUP_BYTES = 256 * SECTOR,
    HEADER = 0x1f1,
    HEADER_MAGIC = 0x53726448, /* "HdrS" */
    LEAST_VERSION = 0x20c,
    LOADED_BY_OTHER = 0xff,
    CAN_START_IN_64_BIT = 1 << 0,
    ENTRY_64_BIT = 0x200,
    NORMAL_VIDEO_MODE = 0xffff,
    MOST_E820 = 128,
    MOST_COMMAND_LINE = 4096,
    SETUP_DATA_CC_BLOB = 7,
    CC_BLOB_MAGIC = 0x45444d41 /* "AMDE" */
};

struct __attribute__((packed)) setup_header {
    uint8_t setup_sectors;
    uint16_t root_flags;
    uint32_t system_size;
    uint16_t ram_size, video_mode, root_device, boot_flag;
    uint8_t jump, jump_offset; /* the header ends that many bytes behind 0x202 */
    uint32_t magic;
    uint16_t version;
    uint32_t real_mode_switch;
    uint16_t start_system, kernel_version;
    uint8_t loader, load_flags;
    uint16_t setup_move_size;
    uint32_t code32_start, initrd, initrd_size, bootsect_kludge;
    uint16_t heap_end;
    uint8_t extended_loader_version, extended_loader_type;
    uint32_t command_line, highest_initrd, alignment;
    uint8_t is_relocatable, least_alignment;
    uint16_t extended_load_flags;
    uint32_t most_command_line, hardware;
    uint64_t hardware_data;
    uint32_t payload_offset, payload_length;
    uint64_t setup_data, preferred_address;
    uint32_t memory_needed, handover_offset, kernel_info;
};
_Static_assert(offsetof(struct setup_header, kernel_info) == 0x268 - HEADER, "boot.rst");

struct __attribute__((packed)) boot_params {
    uint8_t reserved_000[0x70];
    uint64_t acpi_root_pointer;
    uint8_t reserved_078[0x1e8 - 0x78];
    uint8_t e820_entries;
    uint8_t reserved_1e9[HEADER - 0x1e9];
    struct setup_header header;
    uint8_t reserved_26c[0x2d0 - HEADER - sizeof(struct setup_header)];
    struct memory_entry e820[MOST_E820];
    uint8_t reserved_cd0[PAGE_BYTES - 0xcd0];
};
_Static_assert(sizeof(struct boot_params) == PAGE_BYTES, "zero-page.rst");

struct cc_blob {
    uint32_t magic;
    uint16_t version, reserved;
    uint64_t secrets;
    uint32_t secrets_bytes, reserved_2;
    uint64_t cpuid;
    uint32_t cpuid_bytes, reserved_3;
};

struct setup_data {
    uint64_t next;
    uint32_t type, bytes, cc_blob;
};

/* What Linux reads early is in the firmware's own pages, which stay reserved. */
static struct boot_params parameters __attribute__((aligned(PAGE_BYTES)));
static char command_line[MOST_COMMAND_LINE];
static const struct cc_blob blob = {.magic = CC_BLOB_MAGIC,
                                    .version = 1,
                                    .secrets = SECRETS_PAGE,
                                    .secrets_bytes = PAGE_BYTES,
                                    .cpuid = CPUID_PAGE,
                                    .cpuid_bytes = PAGE_BYTES};

static void read_hashed(enum fw_cfg_item item, void *to, uint64_t bytes, struct sha256 *hash)
{
    fw_cfg_select((uint16_t)item);
    fw_cfg_read(to, bytes);
    sha256_add(hash, to, bytes);
}

static void load_command_line(void)
{
    uint32_t bytes = fw_cfg_number(FW_CFG_COMMAND_LINE_SIZE); /* with the 0 at its end */
    struct sha256 hash;

    if (!bytes || bytes > sizeof(command_line))
        fail(REASON_KERNEL, "the command line is too long");
    sha256_begin(&hash);
    read_hashed(FW_CFG_COMMAND_LINE, command_line, bytes, &hash);
    hashes_check(HASHED_COMMAND_LINE, &hash);
    command_line[bytes - 1] = 0;
    if (bytes - 1 > parameters.header.most_command_line)
        fail(REASON_KERNEL, "the command line is too long for this kernel");
    parameters.header.command_line = (uint32_t)(uint64_t)command_line;
}

static void load_initrd(void)
{
    uint32_t bytes = fw_cfg_number(FW_CFG_INITRD_SIZE);
    struct sha256 hash;
    void *initrd = memory_take(bytes, parameters.header.highest_initrd + 1ul);

    sha256_begin(&hash);
    read_hashed(FW_CFG_INITRD, initrd, bytes, &hash);
    hashes_check(HASHED_INITRD, &hash);
    parameters.header.initrd = bytes ? (uint32_t)(uint64_t)initrd : 0;
    parameters.header.initrd_size = bytes;
}

static void take_header(const uint8_t *setup, uint32_t setup_bytes)
{
    struct setup_header *header = &parameters.header;
    uint32_t end;

    if (setup_bytes < HEADER + sizeof(*header))
        fail(REASON_KERNEL, "this is no bzImage");
    memcpy(header, setup + HEADER, sizeof(*header));
    end = 0x202 + header->jump_offset;
    if (header->magic != HEADER_MAGIC || header->version < LEAST_VERSION || end <= HEADER)
        fail(REASON_KERNEL, "this is no bzImage, or one that is too old");
    if (end < HEADER + sizeof(*header))
        memset((uint8_t *)header + (end - HEADER), 0, HEADER + sizeof(*header) - end);
    if (!(header->extended_load_flags & CAN_START_IN_64_BIT) || !header->is_relocatable ||
        !header->alignment || (header->alignment & (header->alignment - 1)))
        fail(REASON_KERNEL, "this kernel is not relocatable, or has no 64-bit entry");
}

uint64_t kernel_load(void)
{
    uint32_t setup_bytes = fw_cfg_number(FW_CFG_SETUP_SIZE);
    uint32_t bytes = fw_cfg_number(FW_CFG_KERNEL_SIZE);
    struct setup_header *header = &parameters.header;
    struct sha256 hash;
    uint8_t *setup;
    void *kernel;

    if (setup_bytes > MOST_SETUP_BYTES || bytes <= ENTRY_64_BIT)
        fail(REASON_KERNEL, "there is no kernel: give QEMU's -kernel a bzImage");
    setup = memory_take(setup_bytes, FOUR_GIB);
    sha256_begin(&hash);
    read_hashed(FW_CFG_SETUP, setup, setup_bytes, &hash);
    take_header(setup, setup_bytes);
    load_initrd();
    kernel = memory_at(header->preferred_address, header->alignment,
                       bytes < header->memory_needed ? header->memory_needed : bytes);
    read_hashed(FW_CFG_KERNEL, kernel, bytes, &hash);
    hashes_check(HASHED_KERNEL, &hash);
    load_command_line();
    return (uint64_t)kernel + ENTRY_64_BIT;
}

struct boot_params *kernel_parameters(uint64_t acpi_root_pointer)
{
    struct setup_header *header = &parameters.header;
    /* In ordinary memory, because Linux later maps what is reserved as shared. */
    struct setup_data *encryption = memory_take(sizeof(*encryption), FOUR_GIB);

    *encryption = (struct setup_data){.type = SETUP_DATA_CC_BLOB,
                                      .bytes = sizeof(encryption->cc_blob),
                                      .cc_blob = (uint32_t)(uint64_t)&blob};
    header->setup_data = (uint64_t)encryption;
    header->loader = LOADED_BY_OTHER;
    header->video_mode = NORMAL_VIDEO_MODE;
    parameters.acpi_root_pointer = acpi_root_pointer;
    parameters.e820_entries = (uint8_t)memory_describe(parameters.e820, MOST_E820);
    return &parameters;
}
