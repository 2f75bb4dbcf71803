// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does a known amount of one kind of work, with a process for each CPU, and prints how much it was:
 * "files: processes 4, files 1024, KiB written 16384, seconds 1.234". Exit status 0, 1 if the work
 * could not be done, 2 for bad arguments.
 */
#include "workload.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { USAGE = 2, WORD_LENGTH = 16 };

static const struct workload *const workloads[] = {
    &boot_workload,    &files_workload, &memcpy_workload, &pagecache_workload, &forks_workload,
    &network_workload, &age_workload,   &idle_workload,   &patches_workload,
};
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

static void usage(const char *what)
{
    fprintf(stderr, "workload: %s\nusage: workload NAME [SIZE]\n", what);
    for (size_t i = 0; i < WORKLOADS; i++)
        fprintf(stderr, "  %-10s %s; SIZE in %s\n", workloads[i]->name, workloads[i]->what,
                workloads[i]->unit);
    fprintf(stderr, "SIZE may end in K, M or G; without one it fits the free memory\n");
    exit(USAGE);
}

long workload_must(long result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return result;
}

void workload_wrong(const char *what)
{
    fprintf(stderr, "workload: %s: not what was written\n", what);
    exit(EXIT_FAILURE);
}

typedef uint64_t pair __attribute__((vector_size(2 * sizeof(uint64_t))));

void workload_copy(void *to, const void *from, size_t length)
{
    volatile pair *target = to;
    const volatile pair *source = from;

    for (size_t i = 0; i < length / sizeof(pair); i++)
        target[i] = source[i];
}

void workload_fill(void *to, uint64_t value, size_t length)
{
    volatile pair *target = to;
    const pair both = {value, value};

    for (size_t i = 0; i < length / sizeof(pair); i++)
        target[i] = both;
}

size_t workload_between(size_t value, size_t least, size_t most)
{
    return value < least ? least : value > most ? most : value;
}

uint32_t workload_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

void workload_write(int file, const void *from, size_t length)
{
    for (size_t at = 0; at < length;)
        at += (size_t)workload_must(write(file, (const uint8_t *)from + at, length - at), "write");
}

size_t workload_read(int file, void *to, size_t length)
{
    size_t at = 0;
    long got = 1;

    while (at < length && got > 0) {
        got = workload_must(read(file, (uint8_t *)to + at, length - at), "read");
        at += (size_t)got;
    }
    return at;
}

static const struct workload *find(const char *name)
{
    for (size_t i = 0; i < WORKLOADS; i++)
        if (!strcmp(workloads[i]->name, name))
            return workloads[i];
    return NULL;
}

static size_t parse_size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    size_t value, shift;
    const char *unit;

    errno = 0;
    value = strtoul(text, &end, 10);
    unit = *end ? strchr(units, *end) : NULL;
    if (!isdigit((unsigned char)text[0]) || errno || (*end && (!unit || end[1])))
        usage("a size is a number such as 64M");
    shift = unit ? 10 * (size_t)(unit - units + 1) : 0;
    if (value << shift >> shift != value)
        usage("this size is too large");
    return value << shift;
}

static size_t free_memory(void)
{
    struct sysinfo info;

    workload_must(sysinfo(&info), "sysinfo");
    return info.freeram * info.mem_unit;
}

static unsigned count_processes(const struct workload *load, size_t size)
{
    unsigned cpus = (unsigned)workload_must(sysconf(_SC_NPROCESSORS_ONLN), "number of CPUs");
    unsigned wanted = load->processes ? load->processes(cpus) : cpus;

    while (wanted > 1 && size / wanted < load->smallest)
        wanted--;
    return wanted;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Mounts a tmpfs of our own and changes to it. */
static void enter_directory(char *place)
{
    workload_must(mkdtemp(place) ? 0 : -1, place);
    workload_must(mount("none", place, "tmpfs", 0, "size=0,huge=never"), "mount of a tmpfs");
    workload_must(chdir(place), place);
}

static void leave_directory(const char *place)
{
    workload_must(chdir("/"), "/");
    workload_must(umount(place), "umount");
    workload_must(rmdir(place), place);
}

static bool run_processes(const struct workload *load, unsigned count, size_t size,
                          struct workload_amounts *done)
{
    bool good = true;
    int status;

    for (unsigned i = 0; i < count; i++) {
        if (workload_must(fork(), "fork") == 0) {
            load->work(i, size / count, &done[i]);
            exit(EXIT_SUCCESS);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        workload_must(wait(&status), "wait");
        good &= WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    }
    return good;
}

static void print(const struct workload *load, unsigned count, const struct workload_amounts *done,
                  double took)
{
    printf("%s: processes %u, ", load->name, count);
    for (size_t which = 0; which < WORKLOAD_AMOUNTS && load->amounts[which]; which++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < count; i++)
            sum += done[i].of[which];
        printf("%s %lu, ", load->amounts[which], sum);
    }
    printf("seconds %.3f\n", took);
}

static bool perform(const struct workload *load, size_t size)
{
    char place[] = "/tmp/workload-XXXXXX";
    unsigned count = count_processes(load, size);
    struct workload_amounts *done = mmap(NULL, count * sizeof(*done), PROT_READ | PROT_WRITE,
                                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double took;
    bool good;

    workload_must(done == MAP_FAILED ? -1 : 0, "mmap");
    enter_directory(place);
    took = -seconds();
    good = run_processes(load, count, size, done);
    took += seconds();
    leave_directory(place);
    if (good)
        print(load, count, done, took);
    return good;
}

int main(int argc, char *argv[])
{
    const struct workload *load = argc > 1 ? find(argv[1]) : NULL;
    size_t size;

    if (argc == 2 && !strcmp(argv[1], "nothing")) /* what the fork storm executes */
        return EXIT_SUCCESS;
    if (argc < 2 || argc > 3)
        usage("which work?");
    if (!load)
        usage("no such work");
    size = argc > 2 ? parse_size(argv[2]) : load->fit(free_memory());
    if (size < load->smallest)
        usage("this size is too small");
    return perform(load, size) ? EXIT_SUCCESS : EXIT_FAILURE;
}
