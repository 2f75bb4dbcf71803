/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads for a running Linux, to be measured from outside. How much work is done depends only on
 * the size and the number of CPUs, never on time. If the system refuses something, the program ends
 * with one line on stderr and status 1. Not thread-safe; runs as root.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_KIB ((size_t)1 << 10)
#define WORKLOAD_MIB ((size_t)1 << 20)
#define WORKLOAD_PAGE (4 * WORKLOAD_KIB)

enum { WORKLOAD_AMOUNTS = 3 };

/* The amounts of work that one process did, in the units that the workload names. */
struct workload_amounts {
    uint64_t of[WORKLOAD_AMOUNTS];
};

struct workload {
    const char *name, *what;
    const char *unit;                     /* of the size: "bytes", or the things counted */
    size_t smallest;                      /* size for one process */
    size_t (*fit)(size_t free_memory);    /* the size to take when none is given */
    unsigned (*processes)(unsigned cpus); /* NULL: one for each CPU */
    /* One process's share of the work, in an empty directory on a tmpfs that all share. */
    void (*work)(unsigned process, size_t share, struct workload_amounts *done);
    const char *amounts[WORKLOAD_AMOUNTS]; /* names of the amounts; NULL: unused */
};

extern const struct workload files_workload, memcpy_workload, pagecache_workload, forks_workload,
    network_workload, age_workload, idle_workload, boot_workload, patches_workload;

/* Returns the result of a system call. If it failed, ends the program with a line about `what`. */
long workload_must(long result, const char *what);
/* Ends the program because data differs from what was written. */
void workload_wrong(const char *what);

/*
 * Copy and fill 16 bytes at a time, in loops of our own, because the C library chooses its
 * instructions by CPU. Addresses and lengths must be multiples of 16.
 */
void workload_copy(void *to, const void *from, size_t length);
void workload_fill(void *to, uint64_t value, size_t length);

/* `value`, limited to the bounds. */
size_t workload_between(size_t value, size_t least, size_t most);

/* A random number; the sequence is the same on each machine and in each run. */
uint32_t workload_random(uint32_t *state);

/* Write all bytes, and read as many as there are up to `length`. */
void workload_write(int file, const void *from, size_t length);
size_t workload_read(int file, void *to, size_t length);

#endif
