// SPDX-License-Identifier: GPL-2.0-or-later
#include "dma.h"

#include "console.h"
#include "x86.h"

enum {
    FW_CFG_SELECTOR = 0x510,
    FW_CFG_DATA = 0x511,
    FW_CFG_DMA_HIGH = 0x514,
    FW_CFG_DMA_LOW = 0x518,
    FW_CFG_ID = 1,
    FW_CFG_ID_DMA = 1 << 1,
    FW_CFG_READ = 1 << 1,
    FW_CFG_SELECT = 1 << 3,

    PCI_ADDRESS = 0xcf8,
    PCI_DATA = 0xcfc,
    PCI_COMMAND = 4,
    PCI_COMMAND_MEMORY_AND_MASTER = 6,
    PCI_BAR0 = 0x10,
    EDU_PCI_ID = 0x11e81234,

    EDU_SOURCE = 0x80,
    EDU_DESTINATION = 0x88,
    EDU_COUNT = 0x90,
    EDU_COMMAND = 0x98,
    EDU_START = 1 << 0,
    EDU_TO_MEMORY = 1 << 1,
    EDU_BUFFER = 0x40000,
};

static uint64_t edu_registers;

bool fw_cfg_has_dma(void)
{
    __asm__ volatile("outw %0, %1" : : "a"((uint16_t)FW_CFG_ID), "Nd"((uint16_t)FW_CFG_SELECTOR));
    return in8(FW_CFG_DATA) & FW_CFG_ID_DMA;
}

void fw_cfg_fill_read(struct fw_cfg_command *command, uint16_t item, uint64_t spa, uint32_t length)
{
    command->control = __builtin_bswap32((uint32_t)item << 16 | FW_CFG_SELECT | FW_CFG_READ);
    command->length = __builtin_bswap32(length);
    command->address = __builtin_bswap64(spa);
}

void fw_cfg_execute(uint64_t command_spa)
{
    __asm__ volatile("" ::: "memory");
    out32(FW_CFG_DMA_HIGH, __builtin_bswap32((uint32_t)(command_spa >> 32)));
    out32(FW_CFG_DMA_LOW, __builtin_bswap32((uint32_t)command_spa));
    __asm__ volatile("" ::: "memory");
}

static void select_config(unsigned device, unsigned offset)
{
    out32(PCI_ADDRESS, 1u << 31 | device << 11 | offset);
}

static uint32_t read_config(unsigned device, unsigned offset)
{
    select_config(device, offset);
    return in32(PCI_DATA);
}

static void write_config(unsigned device, unsigned offset, uint32_t value)
{
    select_config(device, offset);
    out32(PCI_DATA, value);
}

bool edu_init(void)
{
    for (unsigned device = 0; device < 32; device++) {
        if (read_config(device, 0) != EDU_PCI_ID)
            continue;
        write_config(device, PCI_COMMAND, PCI_COMMAND_MEMORY_AND_MASTER);
        edu_registers = read_config(device, PCI_BAR0) & ~15u;
        return edu_registers != 0;
    }
    return false;
}

static volatile uint64_t *edu_register(unsigned offset)
{
    return (volatile uint64_t *)(edu_registers + offset);
}

static void edu_copy(uint64_t source, uint64_t destination, unsigned length, unsigned direction)
{
    *edu_register(EDU_SOURCE) = source;
    *edu_register(EDU_DESTINATION) = destination;
    *edu_register(EDU_COUNT) = length;
    *edu_register(EDU_COMMAND) = EDU_START | direction;
    while (*edu_register(EDU_COMMAND) & EDU_START)
        cpu_relax();
    __asm__ volatile("" ::: "memory");
}

void edu_write_memory(uint64_t spa, unsigned buffer_offset, unsigned length)
{
    edu_copy(EDU_BUFFER + buffer_offset, spa, length, EDU_TO_MEMORY);
}

void edu_read_memory(uint64_t spa, unsigned buffer_offset, unsigned length)
{
    edu_copy(spa, EDU_BUFFER + buffer_offset, length, 0);
}
