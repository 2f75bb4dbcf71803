// SPDX-License-Identifier: GPL-2.0-or-later
/* Work on memory: copies that use all free memory, and a file in the page cache. */
#include "workload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPARE (64 * WORKLOAD_MIB) /* left for all others while memory is in use */
#define BLOCK (64 * WORKLOAD_KIB)
#define LARGEST_FILES (512 * WORKLOAD_MIB)
#define CHUNK (2 * WORKLOAD_MIB)
#define SEED 0x9e3779b97f4a7c15ul

static size_t most_of(size_t free_memory)
{
    size_t spare = free_memory / 8 > SPARE ? free_memory / 8 : SPARE;

    return free_memory > 2 * spare ? free_memory - spare : free_memory / 2;
}

static void *map(int file, size_t length)
{
    int kind = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, kind, file, 0);

    workload_must(memory == MAP_FAILED ? -1 : 0, "mmap");
    return memory;
}

/* Fills one half of the memory and copies it to the other. */
static void work_memcpy(unsigned process, size_t share, struct workload_amounts *done)
{
    size_t half = share / 2 & -WORKLOAD_PAGE;
    uint8_t *memory = map(-1, 2 * half);
    uint64_t value = SEED * (process + 1);

    for (size_t at = 0; at < half; at += BLOCK)
        workload_fill(memory + at, value + at, at + BLOCK < half ? BLOCK : half - at);
    workload_copy(memory + half, memory, half);
    for (size_t at = 0; at < half; at += BLOCK)
        if (*(uint64_t *)(memory + half + at) != value + at)
            workload_wrong("memory");
    done->of[0] = 2 * half / WORKLOAD_KIB;
    munmap(memory, 2 * half);
}

const struct workload memcpy_workload = {
    .name = "memcpy",
    .what = "fills one half of all free memory and copies it to the other",
    .unit = "bytes",
    .smallest = 4 * BLOCK,
    .fit = most_of,
    .work = work_memcpy,
    .amounts = {"KiB written"},
};

/*
 * Right after boot the allocator hands out memory from one end. This shuffles the free memory, so
 * that it is handed out as after days of work.
 */
static void work_age(unsigned process, size_t share, struct workload_amounts *done)
{
    size_t count = share / CHUNK;
    uint8_t *memory = map(-1, share);
    uint32_t *order = calloc(count, sizeof(*order)), random = process + 1;

    workload_must(order ? 0 : -1, "calloc");
    for (size_t at = 0; at < share; at += WORKLOAD_PAGE)
        memory[at] = 1;
    for (size_t i = 0; i < count; i++) {
        size_t other = workload_random(&random) % (i + 1);
        order[i] = order[other];
        order[other] = (uint32_t)i;
    }
    for (size_t i = 0; i < count; i++)
        workload_must(madvise(memory + order[i] * CHUNK, CHUNK, MADV_DONTNEED), "madvise");
    done->of[0] = count * CHUNK / WORKLOAD_KIB;
}

static unsigned one(unsigned cpus)
{
    (void)cpus;
    return 1;
}

const struct workload age_workload = {
    .name = "age",
    .what = "takes all free memory and gives it back in a random order",
    .unit = "bytes",
    .smallest = CHUNK,
    .fit = most_of,
    .processes = one,
    .work = work_age,
    .amounts = {"KiB"},
};

static size_t an_eighth(size_t free_memory)
{
    return workload_between(free_memory / 8, BLOCK, LARGEST_FILES);
}

static void write_file(int file, size_t length, uint64_t value)
{
    static uint8_t block[BLOCK] __attribute__((aligned(16)));

    for (size_t at = 0; at < length; at += BLOCK) {
        workload_fill(block, value + at, BLOCK);
        workload_write(file, block, BLOCK);
    }
}

static void read_file(int file, size_t length, uint64_t value)
{
    static uint8_t block[BLOCK] __attribute__((aligned(16)));

    workload_must(lseek(file, 0, SEEK_SET), "lseek");
    for (size_t at = 0; at < length; at += BLOCK)
        if (workload_read(file, block, BLOCK) != BLOCK || *(uint64_t *)block != value + at)
            workload_wrong("file");
}

/* Writes each cache line of each page through a mapping. */
static void change_file(int file, size_t length)
{
    enum { LINE = 64 };
    volatile uint8_t *memory = map(file, length);

    for (size_t at = 0; at < length; at += LINE)
        memory[at + LINE - 1] = (uint8_t)at;
    munmap((void *)memory, length);
}

static void work_pagecache(unsigned process, size_t share, struct workload_amounts *done)
{
    char name[32];
    size_t length = share & -BLOCK;
    uint64_t value = SEED * (process + 1);
    int file;

    snprintf(name, sizeof(name), "file-%u", process);
    file = (int)workload_must(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), name);
    write_file(file, length, value);
    read_file(file, length, value);
    change_file(file, length);
    read_file(file, length, value);
    close(file);
    workload_must(unlink(name), name);
    done->of[0] = length / WORKLOAD_KIB;
    done->of[1] = 2 * length / WORKLOAD_KIB;
}

const struct workload pagecache_workload = {
    .name = "pagecache",
    .what = "writes, reads and maps a file in memory for each CPU",
    .unit = "bytes",
    .smallest = BLOCK,
    .fit = an_eighth,
    .work = work_pagecache,
    .amounts = {"KiB written", "KiB read"},
};
