// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes the kernel's code while other CPUs execute it: whenever the first event that counts page
 * faults is opened and the last one closed, the kernel patches its page-fault path (a static key).
 */
#include "workload.h"

#include <linux/perf_event.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAULTED_PAGES = 256, FAULTS_PER_EVENT = 64, FEWEST_EVENTS = 2, FIT_EVENTS = 2000 };

static void stay_on_cpu(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    workload_must(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void open_and_close_events(size_t count, struct workload_amounts *done)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_PAGE_FAULTS,
    };

    for (; done->of[0] < count; done->of[0]++) {
        long event =
            workload_must(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0L), "perf_event_open");
        workload_must(close((int)event), "close");
    }
}

static void touch_pages(size_t count, struct workload_amounts *done)
{
    const size_t length = FAULTED_PAGES * WORKLOAD_PAGE;
    volatile uint8_t *pages =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    workload_must(pages == MAP_FAILED ? -1 : 0, "mmap");
    while (done->of[1] < count) {
        for (size_t i = 0; i < length; i += WORKLOAD_PAGE)
            pages[i] = 1;
        workload_must(madvise((void *)pages, length, MADV_DONTNEED), "madvise");
        done->of[1] += FAULTED_PAGES;
    }
    munmap((void *)pages, length);
}

static void work_patches(unsigned process, size_t share, struct workload_amounts *done)
{
    stay_on_cpu(process);
    if (process == 0)
        open_and_close_events(share, done);
    else
        touch_pages(share * FAULTS_PER_EVENT, done);
}

static size_t fit_patches(size_t free_memory)
{
    (void)free_memory;
    return FIT_EVENTS;
}

const struct workload patches_workload = {
    .name = "patches",
    .what = "has the kernel change its page-fault path while other CPUs fault",
    .unit = "events opened and closed",
    .smallest = FEWEST_EVENTS,
    .fit = fit_patches,
    .work = work_patches,
    .amounts = {"events", "pages touched"},
};
