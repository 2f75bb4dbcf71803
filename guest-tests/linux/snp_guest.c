// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SNP guests under Linux's own kvm_amd, launched and destroyed but not run: see README.md. Without
 * arguments it runs its tests and prints KTAP; otherwise it executes its arguments one after the
 * other. Exit status 0 on success, 2 for bad arguments.
 */
#include "host.h"
#include "snp_cases.h"
#include "snp_vm.h"
#include "steer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USAGE = 2, MOST_PLACED = 64 };

static void usage(const char *what)
{
    fprintf(
        stderr,
        "snp-guest: %s\n"
        "usage: snp-guest [case NAME...] | WORDS...\n"
        "  launch SIZE         launch a guest, destroy it, print how long it took\n"
        "  hold SIZE SECONDS   the same, but keep it for a while\n"
        "  slow-exit SIZE      launch a guest, destroy it and then its memory when stdin ends\n"
        "  cycle N SIZE        N guests, one after the other\n"
        "  psp-latency N       N times SNP_PLATFORM_STATUS, and PLATFORM_STATUS\n"
        "  region N            from now on guests get memory from GiB N of the host\n"
        "  place SIZE N[,N]... launch a guest in GiB N of the host for each N, destroy them when\n"
        "                      stdin ends\n"
        "  sleep SECONDS\n"
        "SIZE in bytes, or with K, M or G\n",
        what);
    exit(USAGE);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoul(text, &end, 10);

    if (end == text || *end)
        usage(text);
    return value;
}

static size_t size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    size_t value = strtoul(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (end == text || (*end && (!unit || end[1])))
        usage(text);
    if (unit)
        value <<= 10 * (unit - units + 1);
    if (!value || value % GUEST_PAGE)
        usage("a size must be a multiple of 4K");
    return value;
}

struct times {
    double launch, destroy;
};

/* Launches one guest, keeps it for some seconds, and destroys it. */
static struct times live(size_t length, unsigned seconds)
{
    struct snp_vm vm;
    struct times took = {.launch = -host_time()};

    snp_launch(&vm, length);
    took.launch += host_time();
    if (seconds) {
        printf("# launched %zu KiB in %.3f s\n", length / KIB, took.launch);
        sleep(seconds);
    }
    took.destroy = -host_time();
    snp_destroy(&vm);
    took.destroy += host_time();
    return took;
}

static void word_launch(char *const arguments[])
{
    size_t length = size(arguments[0]);
    struct times took = live(length, 0);

    printf("# %zu KiB: launch %.3f s, destroy %.3f s\n", length / KIB, took.launch, took.destroy);
}

static void word_hold(char *const arguments[])
{
    struct times took = live(size(arguments[0]), (unsigned)number(arguments[1]));

    printf("# destroyed in %.3f s\n", took.destroy);
}

/* Returns when stdin ends. */
static void wait_for_end(void)
{
    char ignored;

    while (read(STDIN_FILENO, &ignored, 1) > 0)
        ;
}

/*
 * Destroys the guest, once stdin ends, with its memory closed last. The kernel then decommissions
 * the guest first and takes its pages back afterwards, which takes the longer the more there are.
 */
static void word_slow_exit(char *const arguments[])
{
    struct snp_vm vm;
    size_t length = size(arguments[0]);
    int memory;
    double took;

    snp_create(&vm, length);
    if (snp_start(&vm, SNP_POLICY) < 0 || snp_update(&vm, 0, GUEST_PAGE, SNP_PAGE_NORMAL) < 0 ||
        snp_finish(&vm) < 0 || snp_populate(&vm, 0, length) < 0) {
        printf("Bail out! no guest with %zu KiB\n", length / KIB);
        exit(EXIT_FAILURE);
    }
    printf("# launched %zu KiB\n", length / KIB);
    wait_for_end();
    memory = vm.guest_memory;
    vm.guest_memory = -1;
    took = -host_time();
    snp_destroy(&vm);
    close(memory);
    took += host_time();
    printf("# destroyed in %.3f s\n", took);
}

static void word_sleep(char *const arguments[])
{
    sleep((unsigned)number(arguments[0]));
}

static void steer(uint64_t gib)
{
    size_t length = steer_to_region(gib);

    if (!length) {
        printf("Bail out! nothing is free in region %lu\n", gib);
        exit(EXIT_FAILURE);
    }
    printf("# %zu KiB of region %lu are free for guests\n", length / KIB, gib);
}

static void word_region(char *const arguments[])
{
    steer_end();
    steer(number(arguments[0]));
}

/* The region after this one in a list "5,6,6". */
static char *next_region(char *list, uint64_t *gib)
{
    char *comma = strchr(list, ',');

    if (comma)
        *comma = '\0';
    *gib = number(list);
    return comma ? comma + 1 : NULL;
}

static void word_place(char *const arguments[])
{
    static struct snp_vm guests[MOST_PLACED];
    size_t length = size(arguments[0]), count = 0;
    uint64_t gib;

    for (char *list = arguments[1]; list;) {
        if (count == MOST_PLACED)
            usage("place takes at most 64 regions");
        list = next_region(list, &gib);
        steer(gib);
        snp_launch_memory(&guests[count++], length);
    }
    steer_end();
    printf("# placed %zu guests of %zu KiB\n", count, length / KIB);
    wait_for_end();
    for (size_t i = 0; i < count; i++)
        snp_destroy(&guests[i]);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values, in us, and prints their median, 99th percentile and maximum. */
static void print_percentiles(const char *what, double *seconds, size_t count)
{
    qsort(seconds, count, sizeof(*seconds), compare);
    printf("# %s: p50 %.1f us, p99 %.1f us, max %.1f us\n", what, seconds[count / 2] * 1e6,
           seconds[count * 99 / 100] * 1e6, seconds[count - 1] * 1e6);
}

static double *times_of(size_t count)
{
    double *times = count ? calloc(count, sizeof(*times)) : NULL;

    if (!times)
        usage("a count must be at least 1");
    return times;
}

static void word_cycle(char *const arguments[])
{
    size_t count = number(arguments[0]), length = size(arguments[1]);
    double *launches = times_of(count), *destroys = times_of(count);

    for (size_t i = 0; i < count; i++) {
        struct times took = live(length, 0);
        launches[i] = took.launch;
        destroys[i] = took.destroy;
        if ((i + 1) % 100 == 0)
            printf("# %zu of %zu guests, %zu KiB free\n", i + 1, count, host_free_memory() / KIB);
    }
    print_percentiles("launch", launches, count);
    print_percentiles("destroy", destroys, count);
    free(launches);
    free(destroys);
}

/* As in <linux/psp-sev.h>, whose version in distributions has no SNP. */
struct sev_request {
    uint32_t command;
    uint64_t data;
    uint32_t error;
} __attribute__((packed));
#define ISSUE_CMD _IOWR('S', 0x0, struct sev_request)
enum { PLATFORM_STATUS = 1, SNP_PLATFORM_STATUS = 9 };

static void measure_command(uint32_t command, const char *name, size_t count)
{
    uint8_t status[64];
    struct sev_request request = {.command = command, .data = (uintptr_t)status};
    int device = must(open("/dev/sev", O_RDWR | O_CLOEXEC), "/dev/sev");
    double *times = times_of(count);

    for (size_t i = 0; i < count; i++) {
        times[i] = -host_time();
        must(ioctl(device, ISSUE_CMD, &request), name);
        times[i] += host_time();
    }
    close(device);
    print_percentiles(name, times, count);
    free(times);
}

static void word_psp_latency(char *const arguments[])
{
    measure_command(SNP_PLATFORM_STATUS, "SNP_PLATFORM_STATUS", number(arguments[0]));
    measure_command(PLATFORM_STATUS, "PLATFORM_STATUS", number(arguments[0]));
}

static const struct word {
    const char *name;
    int arguments;
    void (*run)(char *const arguments[]);
} words[] = {
    {"launch", 1, word_launch},           {"hold", 2, word_hold},   {"cycle", 2, word_cycle},
    {"psp-latency", 1, word_psp_latency}, {"sleep", 1, word_sleep}, {"region", 1, word_region},
    {"slow-exit", 1, word_slow_exit},     {"place", 2, word_place},
};

static const struct word *find_word(const char *name)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(words[i].name, name))
            return &words[i];
    usage(name);
    return NULL;
}

static void run_words(int count, char *const argv[])
{
    const char *reason;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!host_has_snp(&reason))
        printf("# %s\n", reason);
    for (int at = 0; at < count;) {
        const struct word *word = find_word(argv[at++]);
        if (at + word->arguments > count)
            usage(word->name);
        word->run(argv + at);
        at += word->arguments;
    }
}

int main(int argc, char *argv[])
{
    bool passed = true;

    if (argc == 1)
        passed = run_snp_cases(argv + 1);
    else if (!strcmp(argv[1], "case"))
        passed = run_snp_cases(argv + 2);
    else
        run_words(argc - 1, argv + 1);
    return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}
