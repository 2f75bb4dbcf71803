// SPDX-License-Identifier: GPL-2.0-or-later
/* The order of a boot. */
#include "acpi_tables.h"
#include "fw_cfg.h"
#include "hypervisor.h"
#include "kernel.h"
#include "mapping.h"
#include "memory.h"
#include "other_cpus.h"
#include "q35.h"

_Noreturn void boot(uint64_t encryption_mask);

void boot(uint64_t encryption_mask)
{
    struct boot_params *parameters;
    uint64_t acpi_root_pointer, entry;

    mapping_init(encryption_mask);
    hypervisor_open(encryption_mask);
    fw_cfg_init();
    q35_init();
    memory_init();
    acpi_root_pointer = acpi_tables_load();
    entry = kernel_load();
    parameters = kernel_parameters(acpi_root_pointer);
    other_cpus_halt();
    hypervisor_close();
    memory_accept_shared();
    start_kernel(entry, parameters);
}
