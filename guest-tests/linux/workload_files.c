// SPDX-License-Identifier: GPL-2.0-or-later
/* Many small files, as in a kernel build: sources, headers that all of them read, objects, a link.
 */
#include "workload.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADERS = 8, INCLUDED = 4, NAME_LENGTH = 64 };
#define LARGEST (16 * WORKLOAD_KIB)
#define SMALLEST WORKLOAD_KIB
#define MOST (64 * WORKLOAD_MIB)
#define HEADER_SIZE (2 * WORKLOAD_KIB)

static uint8_t content[2 * LARGEST] __attribute__((aligned(16)));

struct directory {
    unsigned process;
    struct workload_amounts *done;
};

static const char *path(const struct directory *in, const char *kind, unsigned number)
{
    static char names[2][NAME_LENGTH]; /* two, because rename takes two names */
    static unsigned turn;
    char *name = names[turn++ % 2];

    snprintf(name, NAME_LENGTH, "%u/%s-%u", in->process, kind, number);
    return name;
}

static void put(const struct directory *in, const char *name, int flags, size_t length)
{
    int file = (int)workload_must(open(name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600), name);

    workload_write(file, content, length);
    close(file);
    in->done->of[1] += length;
}

static size_t get(const struct directory *in, const char *name)
{
    struct stat status;
    int file = (int)workload_must(open(name, O_RDONLY | O_CLOEXEC), name);
    size_t length;

    workload_must(fstat(file, &status), name);
    length = workload_read(file, content, sizeof(content));
    if (length != (size_t)status.st_size)
        workload_wrong(name);
    close(file);
    in->done->of[2] += length;
    return length;
}

static void write_headers(const struct directory *in)
{
    for (unsigned i = 0; i < HEADERS; i++)
        put(in, path(in, "header", i), O_EXCL, HEADER_SIZE);
}

/*
 * Reads a source and its headers; writes the list of dependencies and the object, which gets its
 * own name last.
 */
static void compile(const struct directory *in, unsigned number)
{
    size_t length = get(in, path(in, "source", number));

    for (unsigned i = 0; i < INCLUDED; i++)
        get(in, path(in, "header", (number + i) % HEADERS));
    put(in, path(in, "depends", number), O_EXCL, SMALLEST / 4);
    put(in, path(in, "depends", number), O_APPEND, SMALLEST / 4);
    put(in, path(in, "temporary", number), O_EXCL, 2 * length);
    workload_must(rename(path(in, "temporary", number), path(in, "object", number)), "rename");
}

static void link_objects(const struct directory *in, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put(in, path(in, "linked", 0), O_APPEND, get(in, path(in, "object", i)));
}

static void clean(const struct directory *in, unsigned count)
{
    static const char *const kinds[] = {"source", "depends", "object"};

    for (unsigned i = 0; i < count; i++) {
        for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
            const char *name = path(in, kinds[kind], i);
            workload_must(unlink(name), name);
        }
    }
    workload_must(unlink(path(in, "linked", 0)), "unlink");
}

/* Writes sources of `length` bytes or a little more in all. Returns their number. */
static unsigned write_sources(const struct directory *in, size_t length)
{
    uint32_t random = in->process + 1;
    unsigned count = 0;

    for (size_t written = 0; written < length; count++) {
        size_t next = SMALLEST + workload_random(&random) % (LARGEST - SMALLEST);
        put(in, path(in, "source", count), O_EXCL, next);
        written += next;
    }
    return count;
}

static void work_files(unsigned process, size_t share, struct workload_amounts *done)
{
    const struct directory here = {process, done};
    char name[NAME_LENGTH];
    unsigned count;

    snprintf(name, sizeof(name), "%u", process);
    workload_must(mkdir(name, 0700), name);
    workload_fill(content, process, sizeof(content));
    write_headers(&here);
    count = write_sources(&here, share);
    for (unsigned i = 0; i < count; i++)
        compile(&here, i);
    link_objects(&here, count);
    clean(&here, count);
    done->of[0] = 3ul * count + HEADERS + 1;
    done->of[1] /= WORKLOAD_KIB;
    done->of[2] /= WORKLOAD_KIB;
}

static size_t a_part(size_t free_memory)
{
    return workload_between(free_memory / 64, LARGEST, MOST);
}

const struct workload files_workload = {
    .name = "files",
    .what = "writes, reads, appends to, renames and removes small files, as a build does",
    .unit = "bytes of sources",
    .smallest = LARGEST,
    .fit = a_part,
    .work = work_files,
    .amounts = {"files", "KiB written", "KiB read"},
};
