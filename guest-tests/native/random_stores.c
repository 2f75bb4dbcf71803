// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the programs of the guest test random_stores in an ordinary process, where no page is
 * protected, and prints the hash of their final states. The machine's own processor is the
 * reference. Usage: random-stores-native SEED PROGRAMS on|off
 */
#include <asm/prctl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store_program.h"

enum { GS_PREFIX = 0x65 };

static void map_at(uint64_t address, uint64_t size, int protection)
{
    void *wanted = (void *)address;
    void *got =
        mmap(wanted, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted) {
        perror("mmap at a fixed address");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct store_program program = {.code = (uint8_t *)STORE_CODE,
                                           .segment_prefix = GS_PREFIX};
    uint64_t seed, programs, hash = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: %s SEED PROGRAMS on|off\n", argv[0]);
        return 2;
    }
    seed = strtoull(argv[1], NULL, 0);
    programs = strtoull(argv[2], NULL, 0);
    program.crossing = strcmp(argv[3], "on") == 0;
    map_at(STORE_WINDOW, STORE_WINDOW_SIZE, PROT_READ | PROT_WRITE);
    map_at(STORE_CODE, STORE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    syscall(SYS_arch_prctl, ARCH_SET_GS, STORE_SEGMENT_BASE);
    store_registers_init(seed);
    store_window_init(seed);
    for (uint64_t i = 0; i < programs; i++) {
        store_program_generate(&program, seed, i);
        store_program_run();
        hash = store_hash_run(hash, &program);
        if ((i + 1) % 1000 == 0)
            fprintf(stderr, "after %" PRIu64 ": %#" PRIx64 "\n", i + 1, hash);
    }
    printf("0x%" PRIx64 "\n", store_hash_window(hash));
    return 0;
}
