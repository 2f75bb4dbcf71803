// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The parts of direct-boot/ that judge what comes from the hypervisor, run as a process: its fw_cfg
 * is a table here, its memory is mapped where a guest would have it, and a failure is an exit code.
 * Each case has a process of its own, because the parts remember what they have read.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acpi_tables.h"
#include "fail.h"
#include "fw_cfg.h"
#include "hashes.h"
#include "hypervisor.h"
#include "kernel.h"
#include "layout.h"
#include "mapping.h"
#include "memory.h"
#include "validate.h"

#define MIB (1ul << 20)
#define MEMORY_BYTES (64 * MIB)
#define WORK_END 0x90000ul /* as the linker is told */
#define LIMIT (1ul << 51)
enum { MOST_ITEMS = 16, MOST_RANGES = 64, PASSED = 0, WRONG = 99 };

static struct item {
    const char *name;
    uint16_t number;
    const void *content;
    uint32_t size, claimed;
} items[MOST_ITEMS];
static unsigned item_count, selected, offset;
static struct range {
    uint64_t start, end;
} validated[MOST_RANGES];
static unsigned validated_count;

static void give_file(const char *name, const void *content, uint32_t size)
{
    items[item_count] = (struct item){name, (uint16_t)(0x20 + item_count), content, size, size};
    item_count++;
}

static void give_item(enum fw_cfg_item number, const void *content, uint32_t size)
{
    items[item_count++] = (struct item){"", (uint16_t)number, content, size, size};
}

void fail(enum reason reason, const char *message)
{
    (void)message;
    _exit((int)reason);
}

struct fw_cfg_file fw_cfg_find(const char *name)
{
    for (unsigned i = 0; i < item_count; i++) {
        if (strcmp(items[i].name, name) == 0)
            return (struct fw_cfg_file){items[i].claimed, items[i].number};
    }
    fail(REASON_FW_CFG, name);
}

void fw_cfg_select(uint16_t number)
{
    for (selected = 0; selected < item_count && items[selected].number != number;)
        selected++;
    offset = 0;
}

void fw_cfg_read(void *to, uint64_t bytes)
{
    const struct item *item = &items[selected];
    uint64_t there = selected < item_count && offset < item->size ? item->size - offset : 0;

    memset(to, 0, bytes);
    memcpy(to, (const char *)item->content + offset, bytes < there ? bytes : there);
    offset += (unsigned)bytes;
}

uint32_t fw_cfg_number(enum fw_cfg_item item)
{
    uint32_t value;

    fw_cfg_select((uint16_t)item);
    fw_cfg_read(&value, sizeof(value));
    return value;
}

void request_private(uint64_t start, uint64_t end)
{
    (void)start;
    (void)end;
}

void validate(uint64_t start, uint64_t end)
{
    if (start < end)
        validated[validated_count++] = (struct range){start, end};
}

uint64_t address_limit(void)
{
    return LIMIT;
}

static void expect(bool is_right)
{
    if (!is_right)
        _exit(WRONG);
}

/* The memory map. */
static const struct memory_entry usual_map[] = {{0xfeffc000, 0x4000, MEMORY_RESERVED},
                                                {0, MEMORY_BYTES, MEMORY_RAM},
                                                {4096 * MIB, 16 * MIB, MEMORY_RAM}};

static void read_map(const struct memory_entry *map, size_t bytes)
{
    give_file("etc/e820", map, (uint32_t)bytes);
    memory_reserve(0xe0000000, 256 * MIB);
    memory_init();
}

static void read_usual_map(void)
{
    read_map(usual_map, sizeof(usual_map));
}

static void map_is_divided(void)
{
    static const struct range expected[] = {{0, FIRMWARE_START},
                                            {WORK_END, LOW_MEMORY_END},
                                            {SHADOW_MEMORY, SHARED_START},
                                            {SHARED_END, MEMORY_BYTES},
                                            {4096 * MIB, 4112 * MIB}};
    static const struct memory_entry for_linux[] = {
        {0xe0000000, 256 * MIB, MEMORY_RESERVED},
        {0xfeffc000, 0x4000, MEMORY_RESERVED},
        {0, FIRMWARE_START, MEMORY_RAM},
        {FIRMWARE_START, LOW_MEMORY_END - FIRMWARE_START, MEMORY_RESERVED},
        {HIGH_MEMORY, MEMORY_BYTES - HIGH_MEMORY - 0x1000, MEMORY_RAM},
        {MEMORY_BYTES - 0x1000, 0x1000, MEMORY_ACPI},
        {4096 * MIB, 16 * MIB, MEMORY_RAM}};
    struct memory_entry found[16];

    read_usual_map();
    expect(validated_count == sizeof(expected) / sizeof(*expected));
    expect(memcmp(validated, expected, sizeof(expected)) == 0);
    memory_take(8, 4096 * MIB);
    memory_taken_is_acpi();
    memory_take(8, 4096 * MIB);
    expect(memory_describe(found, 16) == sizeof(for_linux) / sizeof(*for_linux));
    expect(memcmp(found, for_linux, sizeof(for_linux)) == 0);
}

#define BAD_MAP(name, ...)                                                                         \
    static void name(void)                                                                         \
    {                                                                                              \
        static const struct memory_entry map[] = {__VA_ARGS__};                                    \
        read_map(map, sizeof(map));                                                                \
    }
#define LOW                                                                                        \
    {                                                                                              \
        0, MEMORY_BYTES, MEMORY_RAM                                                                \
    }
BAD_MAP(map_without_low_memory, {MIB, MEMORY_BYTES, MEMORY_RAM})
BAD_MAP(map_of_little_memory, {0, SHARED_END - 0x1000, MEMORY_RAM})
BAD_MAP(map_that_overlaps, LOW, {FIRMWARE_START, 0x10000, MEMORY_RAM})
BAD_MAP(map_that_overlaps_devices, LOW, {0xe0000000, 0x1000, MEMORY_RAM})
BAD_MAP(map_that_wraps, LOW, {~0xffful, 0x2000, MEMORY_RAM})
BAD_MAP(map_of_an_empty_range, LOW, {0xfeffc000, 0, MEMORY_RAM})
BAD_MAP(map_beyond_the_limit, LOW, {LIMIT, 0x1000, MEMORY_RAM})
BAD_MAP(map_of_half_a_page, LOW, {0x100000000, 0x800, MEMORY_RAM})

static void map_that_is_not_whole(void)
{
    read_map(usual_map, sizeof(usual_map) - 1);
}

static void map_that_is_long(void)
{
    static struct memory_entry map[33];

    for (unsigned i = 0; i < 33; i++)
        map[i] = (struct memory_entry){i * 4096 * MIB, 16 * MIB, MEMORY_RAM};
    read_map(map, sizeof(map));
}

/* ACPI tables. */
struct __attribute__((packed)) command {
    uint32_t kind;
    char file[FW_CFG_NAME_BYTES];
    union {
        struct __attribute__((packed)) {
            char to[FW_CFG_NAME_BYTES];
            uint32_t offset;
            uint8_t bytes;
        } pointer;
        struct __attribute__((packed)) {
            uint32_t offset, start, length;
        } checksum;
        uint32_t alignment;
        uint8_t padding[68];
    };
};
_Static_assert(sizeof(struct command) == 128, "QEMU's bios-linker-loader");
#define RSDP "etc/acpi/rsdp"
#define TABLES "etc/acpi/tables"
#define ALLOCATE(name)                                                                             \
    {                                                                                              \
        .kind = 1, .file = name, .alignment = 64                                                   \
    }
#define POINTER(in, where, size, target)                                                           \
    {                                                                                              \
        .kind = 2, .file = in, .pointer = {.to = target, .offset = where, .bytes = size }          \
    }
#define CHECKSUM(name, where, from, count)                                                         \
    {                                                                                              \
        .kind = 3, .file = name, .checksum = {.offset = where, .start = from, .length = count }    \
    }

static uint64_t load_tables(const struct command *commands, size_t bytes)
{
    static const uint8_t rsdp[24] = {[16] = 0x10}, tables[64] = {1, 2, 3};

    read_usual_map();
    give_file("etc/table-loader", commands, (uint32_t)bytes);
    give_file(RSDP, rsdp, sizeof(rsdp));
    give_file(TABLES, tables, sizeof(tables));
    return acpi_tables_load();
}

static void tables_are_linked(void)
{
    static const struct command commands[] = {ALLOCATE(RSDP),
                                              ALLOCATE(TABLES),
                                              POINTER(RSDP, 16, 4, TABLES),
                                              CHECKSUM(TABLES, 8, 0, 64),
                                              {.kind = 4}};
    const uint8_t *root = (const uint8_t *)load_tables(commands, sizeof(commands));
    uint32_t pointer;
    const uint8_t *tables;

    memcpy(&pointer, root + 16, sizeof(pointer));
    tables = (const uint8_t *)(uint64_t)(pointer - 0x10);
    expect(tables[0] == 1 && tables[2] == 3 && tables[8] == 256 - 6);
}

#define BAD_TABLES(name, ...)                                                                      \
    static void name(void)                                                                         \
    {                                                                                              \
        static const struct command commands[] = {ALLOCATE(RSDP), __VA_ARGS__};                    \
        load_tables(commands, sizeof(commands));                                                   \
    }
BAD_TABLES(tables_twice, ALLOCATE(RSDP))
BAD_TABLES(tables_without_end_of_name, {.kind = 1, .file = {[0 ... 55] = 'x'}})
BAD_TABLES(tables_not_loaded, CHECKSUM(TABLES, 0, 0, 8))
BAD_TABLES(tables_of_an_odd_alignment, {.kind = 1, .file = TABLES, .alignment = 8192})
BAD_TABLES(pointer_behind_the_end, POINTER(RSDP, 21, 4, RSDP))
BAD_TABLES(pointer_far_behind_the_end, POINTER(RSDP, 0xfffffffe, 4, RSDP))
BAD_TABLES(pointer_of_an_odd_size, POINTER(RSDP, 0, 3, RSDP))
BAD_TABLES(pointer_to_behind_the_end, ALLOCATE(TABLES), POINTER(TABLES, 0, 4, RSDP))
BAD_TABLES(checksum_behind_the_end, CHECKSUM(RSDP, 24, 0, 8))
BAD_TABLES(checksum_of_too_much, CHECKSUM(RSDP, 0, 20, 5))
BAD_TABLES(checksum_that_wraps, CHECKSUM(RSDP, 0, 8, 0xffffffff))

static void commands_that_are_not_whole(void)
{
    static const struct command commands[] = {ALLOCATE(RSDP)};

    load_tables(commands, sizeof(commands) - 1);
}

static void tables_that_are_large(void)
{
    static const struct command commands[] = {ALLOCATE(RSDP), ALLOCATE("large")};

    give_file("large", "", 1);
    items[0].claimed = 3 << 20;
    load_tables(commands, sizeof(commands));
}

/* The kernel. Its header's fields are at their places in boot.rst. */
static uint8_t setup[1024], kernel[4096];
static uint32_t sizes[4] = {sizeof(setup), sizeof(kernel), 6, 8};

static void put(unsigned at, uint64_t value, unsigned bytes)
{
    memcpy(setup + at, &value, bytes);
}

static void prepare_kernel(void)
{
    read_usual_map();
    put(0x201, 0x6a, 1);
    put(0x202, 0x53726448, 4);
    put(0x206, 0x20f, 2);
    put(0x22c, 0x7fffffff, 4);
    put(0x230, 2 * MIB, 4);
    put(0x234, 1, 1);
    put(0x236, 1, 2);
    put(0x238, 2047, 4);
    put(0x258, 16 * MIB, 8);
    put(0x260, 8 * MIB, 4);
    give_item(FW_CFG_SETUP, setup, sizeof(setup));
    give_item(FW_CFG_SETUP_SIZE, &sizes[0], 4);
    give_item(FW_CFG_KERNEL, kernel, sizeof(kernel));
    give_item(FW_CFG_KERNEL_SIZE, &sizes[1], 4);
    give_item(FW_CFG_INITRD, "initrd", 6);
    give_item(FW_CFG_INITRD_SIZE, &sizes[2], 4);
    give_item(FW_CFG_COMMAND_LINE, "console", 8);
    give_item(FW_CFG_COMMAND_LINE_SIZE, &sizes[3], 4);
}

static void kernel_is_put_where_it_wants_to_be(void)
{
    prepare_kernel();
    expect(kernel_load() == 16 * MIB + 0x200);
}

/* Its fields are at their places in zero-page.rst. */
static void parameters_lead_to_the_cc_blob(void)
{
    const uint8_t *parameters;
    uint64_t root, setup_data;
    uint32_t type;

    prepare_kernel();
    kernel_load();
    parameters = (const uint8_t *)kernel_parameters(0x1234);
    memcpy(&root, parameters + 0x70, sizeof(root));
    memcpy(&setup_data, parameters + 0x250, sizeof(setup_data));
    expect(root == 0x1234 && parameters[0x1e8] == 6);
    expect(setup_data >= 24 * MIB && setup_data < MEMORY_BYTES); /* memory, and not the kernel's */
    memcpy(&type, (const uint8_t *)setup_data + 8, sizeof(type));
    expect(type == 7);
}

#define BAD_KERNEL(name, at, value, bytes)                                                         \
    static void name(void)                                                                         \
    {                                                                                              \
        prepare_kernel();                                                                          \
        put(at, value, bytes);                                                                     \
        kernel_load();                                                                             \
    }
BAD_KERNEL(kernel_without_magic, 0x202, 0, 4)
BAD_KERNEL(kernel_that_is_old, 0x206, 0x20b, 2)
BAD_KERNEL(kernel_that_is_fixed, 0x234, 0, 1)
BAD_KERNEL(kernel_of_32_bit, 0x236, 0, 2)
BAD_KERNEL(kernel_of_an_odd_alignment, 0x230, 3 * MIB, 4)
BAD_KERNEL(kernel_of_short_lines, 0x238, 3, 4)
BAD_KERNEL(kernel_above_memory, 0x258, MEMORY_BYTES, 8)
BAD_KERNEL(kernel_far_above_memory, 0x258, ~0ul, 8)
BAD_KERNEL(kernel_that_needs_much, 0x260, MEMORY_BYTES, 4)
BAD_KERNEL(kernel_of_low_initrds, 0x22c, SHARED_END, 4)

#define BAD_SIZE(name, which, value)                                                               \
    static void name(void)                                                                         \
    {                                                                                              \
        prepare_kernel();                                                                          \
        sizes[which] = value;                                                                      \
        kernel_load();                                                                             \
    }
BAD_SIZE(setup_that_is_short, 0, 0x200)
BAD_SIZE(setup_that_is_long, 0, 0x20001)
BAD_SIZE(kernel_that_is_short, 1, 0x200)
BAD_SIZE(kernel_that_is_long, 1, 0xffffffff)
BAD_SIZE(initrd_that_is_long, 2, 0xffffffff)
BAD_SIZE(no_command_line, 3, 0)
BAD_SIZE(command_line_that_is_long, 3, 4097)

/* Measured hashes: the table for the kernel above, made with sha256sum. */
static const struct {
    uint8_t name[16], length[2];
    struct {
        uint8_t name[16], length[2], digest[32];
    } entries[3];
} measured = {{0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11,
               0xfd, 0x21},
              {168, 0},
              {{{0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36,
                 0xab, 0x2a},
                {50, 0},
                {0x77, 0xb4, 0x93, 0x43, 0x66, 0xec, 0xb9, 0x1b, 0x4b, 0xa1, 0xad,
                 0x57, 0xe8, 0x73, 0x19, 0xd3, 0x3a, 0xc5, 0x58, 0x87, 0x6a, 0xc0,
                 0xf9, 0x6d, 0x46, 0xf3, 0xf9, 0xd9, 0xb7, 0x01, 0xc8, 0xf7}},
               {{0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69,
                 0x78, 0x1d},
                {50, 0},
                {0x09, 0xe6, 0xc0, 0x18, 0xd2, 0xc8, 0xc4, 0x90, 0x33, 0x08, 0x61,
                 0x3d, 0xd1, 0xb7, 0x24, 0x84, 0xd5, 0x7e, 0xad, 0xf1, 0x2e, 0xc5,
                 0x0d, 0xdc, 0x8f, 0x52, 0xe5, 0xac, 0xcc, 0xe4, 0x70, 0xf2}},
               {{0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2,
                 0x04, 0x5b},
                {50, 0},
                {0xf3, 0x3c, 0x37, 0xbc, 0x70, 0x76, 0xec, 0x07, 0x90, 0x52, 0xfa,
                 0xab, 0x46, 0x5d, 0xe0, 0x9c, 0x9f, 0xbf, 0x4f, 0x33, 0x22, 0xdc,
                 0x4c, 0x22, 0xc4, 0x1a, 0xfb, 0x5d, 0xbb, 0x84, 0x6d, 0xe4}}}};
enum { HASHES_NAME = 0, LENGTH = 16, ENTRIES = 18, ENTRY_BYTES = 50, DIGEST = 18 };

/* With one byte of the table changed; none if it is behind the end of the page. */
static void load_measured(unsigned changed)
{
    prepare_kernel();
    memcpy((void *)HASHES_PAGE, &measured, sizeof(measured));
    if (changed < PAGE_BYTES)
        ((uint8_t *)HASHES_PAGE)[changed] ^= 1;
    kernel_load();
}

static void measured_kernel(void)
{
    load_measured(PAGE_BYTES);
}

#define BAD_HASH(name, at)                                                                         \
    static void name(void)                                                                         \
    {                                                                                              \
        load_measured(at);                                                                         \
    }
BAD_HASH(other_table, HASHES_NAME)
BAD_HASH(other_length, LENGTH)
BAD_HASH(other_entry, ENTRIES + ENTRY_BYTES)
BAD_HASH(other_command_line, ENTRIES + DIGEST)
BAD_HASH(other_initrd, ENTRIES + ENTRY_BYTES + DIGEST + 31)
BAD_HASH(other_kernel, ENTRIES + 2 * ENTRY_BYTES + DIGEST)

static void no_table_but_something(void)
{
    prepare_kernel();
    ((uint8_t *)HASHES_PAGE)[PAGE_BYTES - 1] = 1;
    kernel_load();
}

static void hash_of_pieces(void)
{
    static const uint8_t expected[SHA256_BYTES] = {0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92,
                                                   0x81, 0xa1, 0xc7, 0xe2, 0x84, 0xd7, 0x3e, 0x67,
                                                   0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97, 0x20, 0x0e,
                                                   0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0};
    static char text[1000000];
    uint8_t found[SHA256_BYTES];
    struct sha256 hash;

    memset(text, 'a', sizeof(text));
    sha256_begin(&hash);
    for (unsigned at = 0, part = 1; at < sizeof(text); at += part, part = part * 3 % 211) {
        if (part > sizeof(text) - at)
            part = sizeof(text) - at;
        sha256_add(&hash, text + at, part);
    }
    sha256_end(&hash, found);
    expect(memcmp(found, expected, sizeof(found)) == 0);
}

#define CASE(function, reason)                                                                     \
    {                                                                                              \
#function, function, reason                                                                \
    }
static const struct {
    const char *name;
    void (*run)(void);
    int expected;
} cases[] = {
    CASE(hash_of_pieces, PASSED),
    CASE(map_is_divided, PASSED),
    CASE(map_without_low_memory, REASON_MEMORY),
    CASE(map_of_little_memory, REASON_MEMORY),
    CASE(map_that_overlaps, REASON_MEMORY),
    CASE(map_that_overlaps_devices, REASON_MEMORY),
    CASE(map_that_wraps, REASON_MEMORY),
    CASE(map_of_an_empty_range, REASON_MEMORY),
    CASE(map_beyond_the_limit, REASON_MEMORY),
    CASE(map_of_half_a_page, REASON_MEMORY),
    CASE(map_that_is_not_whole, REASON_MEMORY),
    CASE(map_that_is_long, REASON_MEMORY),
    CASE(tables_are_linked, PASSED),
    CASE(tables_twice, REASON_ACPI),
    CASE(tables_without_end_of_name, REASON_ACPI),
    CASE(tables_not_loaded, REASON_ACPI),
    CASE(tables_of_an_odd_alignment, REASON_ACPI),
    CASE(pointer_behind_the_end, REASON_ACPI),
    CASE(pointer_far_behind_the_end, REASON_ACPI),
    CASE(pointer_of_an_odd_size, REASON_ACPI),
    CASE(pointer_to_behind_the_end, REASON_ACPI),
    CASE(checksum_behind_the_end, REASON_ACPI),
    CASE(checksum_of_too_much, REASON_ACPI),
    CASE(checksum_that_wraps, REASON_ACPI),
    CASE(commands_that_are_not_whole, REASON_ACPI),
    CASE(tables_that_are_large, REASON_ACPI),
    CASE(kernel_is_put_where_it_wants_to_be, PASSED),
    CASE(parameters_lead_to_the_cc_blob, PASSED),
    CASE(kernel_without_magic, REASON_KERNEL),
    CASE(kernel_that_is_old, REASON_KERNEL),
    CASE(kernel_that_is_fixed, REASON_KERNEL),
    CASE(kernel_of_32_bit, REASON_KERNEL),
    CASE(kernel_of_an_odd_alignment, REASON_KERNEL),
    CASE(kernel_of_short_lines, REASON_KERNEL),
    CASE(kernel_above_memory, REASON_MEMORY),
    CASE(kernel_far_above_memory, REASON_MEMORY),
    CASE(kernel_that_needs_much, REASON_MEMORY),
    CASE(kernel_of_low_initrds, REASON_MEMORY),
    CASE(setup_that_is_short, REASON_KERNEL),
    CASE(setup_that_is_long, REASON_KERNEL),
    CASE(kernel_that_is_short, REASON_KERNEL),
    CASE(kernel_that_is_long, REASON_MEMORY),
    CASE(initrd_that_is_long, REASON_MEMORY),
    CASE(no_command_line, REASON_KERNEL),
    CASE(command_line_that_is_long, REASON_KERNEL),
    CASE(measured_kernel, PASSED),
    CASE(other_table, REASON_HASH),
    CASE(other_length, REASON_HASH),
    CASE(other_entry, REASON_HASH),
    CASE(other_command_line, REASON_HASH),
    CASE(other_initrd, REASON_HASH),
    CASE(other_kernel, REASON_HASH),
    CASE(no_table_but_something, REASON_HASH),
};

static int status_of(void (*run)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        run();
        _exit(PASSED);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    unsigned failed = 0, count = sizeof(cases) / sizeof(*cases);
    void *memory =
        mmap((void *)FIRMWARE_START, MEMORY_BYTES - FIRMWARE_START, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (memory != (void *)FIRMWARE_START) {
        perror("the guest's memory cannot be mapped");
        return EXIT_FAILURE;
    }
    printf("1..%u\n", count);
    for (unsigned i = 0; i < count; i++) {
        int status = status_of(cases[i].run);
        bool is_right = status == cases[i].expected;

        failed += !is_right;
        printf("%s %u %s\n", is_right ? "ok" : "not ok", i + 1, cases[i].name);
        if (!is_right)
            printf("# status %d, expected %d\n", status, cases[i].expected);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
