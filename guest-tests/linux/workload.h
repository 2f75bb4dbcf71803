/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of work for a running Linux, to be measured from outside. How much is done depends on the
 * size and the number of CPUs alone, never on time. What the system refuses ends the program with
 * one line on stderr and status 1. For one thread; runs as root.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_KIB ((size_t)1 << 10)
#define WORKLOAD_MIB ((size_t)1 << 20)
#define WORKLOAD_PAGE (4 * WORKLOAD_KIB)

enum { WORKLOAD_AMOUNTS = 3 };

/* What one process did, in the units that the workload names. */
struct workload_amounts {
    uint64_t of[WORKLOAD_AMOUNTS];
};

struct workload {
    const char *name, *what;
    const char *unit;                     /* of the size: "bytes", or what is counted */
    size_t smallest;                      /* size for one process */
    size_t (*fit)(size_t free_memory);    /* the size to take when none is given */
    unsigned (*processes)(unsigned cpus); /* NULL: one for each CPU */
    /* One process's share of the work, in an empty directory on a tmpfs that all share. */
    void (*work)(unsigned process, size_t share, struct workload_amounts *done);
    const char *amounts[WORKLOAD_AMOUNTS]; /* their names, NULL: unused */
};

extern const struct workload files_workload, memcpy_workload, pagecache_workload, forks_workload,
    network_workload, age_workload, idle_workload, boot_workload;

/* The result of a system call that must not fail; `what` goes into the message. */
long workload_must(long result, const char *what);
/* Ends the program: data that is not what was written. */
void workload_wrong(const char *what);

/* 16 bytes at a time, in a loop of our own: the C library's choice of instructions depends on the
 * CPU. Both at addresses that 16 divides, as the length. */
void workload_copy(void *to, const void *from, size_t length);
void workload_fill(void *to, uint64_t value, size_t length);

/* `value`, or the bound that is nearer. */
size_t workload_between(size_t value, size_t least, size_t most);

/* The same on each machine and in each run. */
uint32_t workload_random(uint32_t *state);

/* Whole reads and writes. */
void workload_write(int file, const void *from, size_t length);
size_t workload_read(int file, void *to, size_t length);

#endif
