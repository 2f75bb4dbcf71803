// SPDX-License-Identifier: GPL-2.0-or-later
#include "steer.h"

#include "host.h"
#include "kvm_vm.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

enum { PAGEMAP_PFN_BITS = 55, PAGEMAP_PRESENT = 63, REGION_BITS = 30, PAGE_BITS = 12 };
#define HUGE_PAGE (2 * MIB)
#define MARGIN (192 * MIB) /* left for all others while memory is held */
#define IN_A_ROW 1024 /* after so many right pages in a row, no wrong one is left before them */
#define NOWHERE UINT64_MAX

/*
 * Memory that is held: in huge pages, and page by page as far as it has been used. The kernel keeps
 * movable memory (of processes) apart from unmovable memory (its own and that of guests).
 */
static uint8_t *held;
static size_t held_length;
static struct pieces {
    uint8_t *memory;
    size_t length, used;
} movable, unmovable;
static int unmovable_file;
static uint64_t region = NOWHERE; /* the region whose memory has been released */
static size_t region_length;

static uint64_t region_of(int pagemap, const uint8_t *address)
{
    uint64_t entry = 0;
    off_t at = (off_t)((uintptr_t)address / GUEST_PAGE * sizeof(entry));

    must(pread(pagemap, &entry, sizeof(entry), at) == sizeof(entry) ? 0 : -1, "pagemap");
    if (!(entry >> PAGEMAP_PRESENT))
        return NOWHERE;
    return (entry & ((1ul << PAGEMAP_PFN_BITS) - 1)) >> (REGION_BITS - PAGE_BITS);
}

static void stay_on_this_cpu(void)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    must(sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
}

/* Pages of a file on a ramfs are unmovable, like those of guest_memfd. */
static int ramfs_file(void)
{
    char place[] = "/tmp/steer-XXXXXX";
    int file;

    must(mkdtemp(place) ? 0 : -1, place);
    must(mount("none", place, "ramfs", 0, NULL), "mount of a ramfs");
    must(chdir(place), place);
    file = must(open("memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600), "file on a ramfs");
    must(chdir("/"), "/");
    must(umount2(place, MNT_DETACH), "umount");
    must(rmdir(place), place);
    return file;
}

static uint8_t *unmovable_memory(size_t length)
{
    uint8_t *memory;

    unmovable_file = ramfs_file();
    memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, unmovable_file, 0);
    must(memory == MAP_FAILED ? -1 : 0, "mmap");
    return memory;
}

static void hold_free_memory(void)
{
    size_t available = host_free_memory();

    held_length = available > MARGIN ? (available - MARGIN) & -HUGE_PAGE : HUGE_PAGE;
    held = anonymous_memory(held_length, MADV_HUGEPAGE);
    for (size_t at = 0; at < held_length; at += GUEST_PAGE)
        held[at] = 1;
    movable.length = unmovable.length = available & -HUGE_PAGE;
    movable.memory = anonymous_memory(movable.length, MADV_NOHUGEPAGE);
    unmovable.memory = unmovable_memory(unmovable.length);
    movable.used = unmovable.used = 0;
}

/* Releases movable pages only, because no hole can be punched in a file on a ramfs. */
static size_t let_go_pieces(int pagemap, uint64_t gib)
{
    size_t count = 0;

    for (size_t at = 0; at < movable.used; at += GUEST_PAGE) {
        if (region_of(pagemap, movable.memory + at) != gib)
            continue;
        must(madvise(movable.memory + at, GUEST_PAGE, MADV_DONTNEED), "madvise");
        count += GUEST_PAGE;
    }
    return count;
}

static size_t let_go(int pagemap, uint64_t gib)
{
    size_t count = let_go_pieces(pagemap, gib);

    for (size_t at = 0; at < held_length; at += HUGE_PAGE) {
        if (region_of(pagemap, held + at) != gib ||
            region_of(pagemap, held + at + HUGE_PAGE - GUEST_PAGE) != gib)
            continue;
        must(madvise(held + at, HUGE_PAGE, MADV_DONTNEED), "madvise");
        count += HUGE_PAGE;
    }
    return count;
}

/*
 * The kernel would first use small pieces of memory and the rest of the last region, so this takes
 * them. Returns how many of the last pages are in the right region.
 */
static size_t swallow(struct pieces *pieces, int pagemap, uint64_t gib)
{
    size_t right = 0;

    while (pieces->used < pieces->length && right < IN_A_ROW) {
        uint8_t *page = pieces->memory + pieces->used;
        *page = 1;
        right = region_of(pagemap, page) == gib ? right + 1 : 0;
        pieces->used += GUEST_PAGE;
    }
    return right;
}

/* Releases the right pages at the end. The kernel will use them first. */
static void swallow_unmovable(int pagemap, uint64_t gib)
{
    must(ftruncate(unmovable_file, (off_t)unmovable.length), "length of a file");
    unmovable.used -= swallow(&unmovable, pagemap, gib) * GUEST_PAGE;
    must(ftruncate(unmovable_file, (off_t)unmovable.used), "length of a file");
}

static void swallow_movable(int pagemap, uint64_t gib)
{
    swallow(&movable, pagemap, gib);
    let_go_pieces(pagemap, gib);
}

size_t steer_to_region(uint64_t gib)
{
    int pagemap = must(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), "/proc/self/pagemap");

    stay_on_this_cpu();
    if (!held)
        hold_free_memory();
    region_length = let_go(pagemap, gib) + (gib == region ? region_length : 0);
    region = gib;
    if (region_length) {
        swallow_movable(pagemap, gib);
        swallow_unmovable(pagemap, gib);
    }
    close(pagemap);
    return region_length;
}

void steer_end(void)
{
    if (!held)
        return;
    munmap(held, held_length);
    munmap(movable.memory, movable.length);
    munmap(unmovable.memory, unmovable.length);
    close(unmovable_file);
    held = NULL;
    region = NOWHERE;
}
