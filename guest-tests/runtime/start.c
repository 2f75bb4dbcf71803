// SPDX-License-Identifier: GPL-2.0-or-later
/* The entry from assembly: prepares the machine and runs the suite of this image. */
#include "console.h"
#include "ktap.h"
#include "memory.h"
#include "smp.h"
#include "snp.h"

_Noreturn void runtime_start(uint32_t start_info);

_Noreturn void runtime_start(uint32_t start_info)
{
    console_init();
    smp_init_boot_cpu();
    memory_init(start_info);
    rmp_discover();
    smp_start_others();
    memory_begin_tests();
    exit_run(run_suite(&test_suite));
}
