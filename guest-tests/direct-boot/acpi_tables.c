// SPDX-License-Identifier: GPL-2.0-or-later
#include "acpi_tables.h"

#include <stdbool.h>

#include "bytes.h"
#include "fail.h"
#include "fw_cfg.h"
#include "layout.h"
#include "memory.h"

enum {
    MOST_FILES = 16,
    MOST_BYTES = 2 << 20, /* of one file; QEMU makes none larger */
    COMMAND_ALLOCATE = 1,
    COMMAND_ADD_POINTER = 2,
    COMMAND_ADD_CHECKSUM = 3
};

struct __attribute__((packed)) command {
    uint32_t kind;
    union {
        struct __attribute__((packed)) {
            char file[FW_CFG_NAME_BYTES];
            uint32_t alignment;
            uint8_t zone;
        } allocate;
        struct __attribute__((packed)) {
            char in[FW_CFG_NAME_BYTES], to[FW_CFG_NAME_BYTES];
            uint32_t offset;
            uint8_t bytes;
        } pointer;
        struct __attribute__((packed)) {
            char file[FW_CFG_NAME_BYTES];
            uint32_t offset, start, length;
        } checksum;
        uint8_t padding[124];
    };
};
_Static_assert(sizeof(struct command) == 128, "QEMU's bios-linker-loader");

struct file {
    const char *name;
    uint8_t *content;
    uint32_t size;
};

static struct file files[MOST_FILES];
static unsigned file_count;

static struct file *find(const char *name)
{
    for (unsigned i = 0; i < file_count; i++) {
        if (fw_cfg_is_name(files[i].name, name))
            return &files[i];
    }
    return 0;
}

/* What it is, after the name has been found to end. */
static struct file *named(const char name[FW_CFG_NAME_BYTES])
{
    struct file *file = name[FW_CFG_NAME_BYTES - 1] ? 0 : find(name);

    if (!file)
        fail(REASON_ACPI, "a command for ACPI tables names a file that is not loaded");
    return file;
}

static void *load(const char *name, uint32_t *size)
{
    struct fw_cfg_file file = fw_cfg_find(name);
    void *content;

    if (file.size > MOST_BYTES)
        fail(REASON_ACPI, "an ACPI table is too large");
    content = memory_take(file.size, FOUR_GIB);
    fw_cfg_select(file.item);
    fw_cfg_read(content, file.size);
    *size = file.size;
    return content;
}

/* The zone is not looked at: Linux is told where the root pointer is, and does not search. */
static void allocate(const struct command *command)
{
    const char *name = command->allocate.file;
    struct file *file = &files[file_count];

    if (name[FW_CFG_NAME_BYTES - 1] || find(name) || file_count == MOST_FILES ||
        command->allocate.alignment > PAGE_BYTES)
        fail(REASON_ACPI, "an ACPI table cannot be allocated");
    file->content = load(name, &file->size);
    file->name = name;
    file_count++;
}

/* The field holds an offset into the other file, and becomes a pointer. */
static void add_pointer(const struct command *command)
{
    const struct file *in = named(command->pointer.in), *to = named(command->pointer.to);
    uint32_t offset = command->pointer.offset, bytes = command->pointer.bytes;
    uint64_t value = 0;

    if ((bytes != 4 && bytes != 8) || offset > in->size || bytes > in->size - offset)
        fail(REASON_ACPI, "a pointer is outside of its ACPI table");
    memcpy(&value, in->content + offset, bytes);
    if (value >= to->size)
        fail(REASON_ACPI, "an ACPI table points behind the end of another");
    value += (uint64_t)to->content;
    memcpy(in->content + offset, &value, bytes);
}

static void add_checksum(const struct command *command)
{
    const struct file *file = named(command->checksum.file);
    uint32_t start = command->checksum.start, length = command->checksum.length;
    uint8_t sum = 0;

    if (command->checksum.offset >= file->size || start > file->size || length > file->size - start)
        fail(REASON_ACPI, "a checksum is outside of its ACPI table");
    for (uint32_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + file->content[start + i]);
    file->content[command->checksum.offset] =
        (uint8_t)(file->content[command->checksum.offset] - sum);
}

/*
 * Other commands ask for something that a private guest cannot give: an address to which the
 * hypervisor writes.
 */
static void execute(const struct command *command)
{
    if (command->kind == COMMAND_ALLOCATE)
        allocate(command);
    else if (command->kind == COMMAND_ADD_POINTER)
        add_pointer(command);
    else if (command->kind == COMMAND_ADD_CHECKSUM)
        add_checksum(command);
}

uint64_t acpi_tables_load(void)
{
    uint32_t size;
    const struct command *commands = load("etc/table-loader", &size);

    if (size % sizeof(*commands))
        fail(REASON_ACPI, "the commands for ACPI tables are not whole");
    for (uint32_t i = 0; i < size / sizeof(*commands); i++)
        execute(&commands[i]);
    memory_taken_is_acpi();
    return (uint64_t)named((char[FW_CFG_NAME_BYTES]){"etc/acpi/rsdp"})->content;
}
