// SPDX-License-Identifier: GPL-2.0-or-later
#include "acpi.h"

#include <stddef.h>

#include "console.h"
#include "memory.h"

enum {
    RSDP_REVISION = 15,
    RSDP_RSDT = 16,
    RSDP_XSDT = 24,
    HEADER_SIZE = 36,
    MADT_ENTRIES = 44,
    MADT_LOCAL_APIC = 0,
    MADT_LOCAL_X2APIC = 9,
};

static uint32_t read32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t read64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

const void *acpi_table(const char *signature)
{
    const uint8_t *rsdp = (const uint8_t *)acpi_root_pointer();
    const uint8_t *root;
    unsigned width;

    if (!rsdp)
        return NULL;
    width = rsdp[RSDP_REVISION] >= 2 && read64(rsdp + RSDP_XSDT) ? 8 : 4;
    root = (const uint8_t *)(width == 8 ? read64(rsdp + RSDP_XSDT) : read32(rsdp + RSDP_RSDT));
    for (uint32_t offset = HEADER_SIZE; offset + width <= read32(root + 4); offset += width) {
        const uint8_t *slot = root + offset;
        const uint8_t *table = (const uint8_t *)(width == 8 ? read64(slot) : read32(slot));
        if (memcmp(table, signature, 4) == 0)
            return table;
    }
    return NULL;
}

unsigned acpi_apic_ids(uint32_t *ids, unsigned capacity)
{
    const uint8_t *madt = acpi_table("APIC");
    unsigned count = 0;

    if (!madt)
        return 0;
    for (const uint8_t *p = madt + MADT_ENTRIES; p < madt + read32(madt + 4); p += p[1]) {
        if (count == capacity)
            break;
        if (p[0] == MADT_LOCAL_APIC && (p[4] & 1))
            ids[count++] = p[3];
        else if (p[0] == MADT_LOCAL_X2APIC && (read32(p + 8) & 1))
            ids[count++] = read32(p + 4);
    }
    return count;
}
