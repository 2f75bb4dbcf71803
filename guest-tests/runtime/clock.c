// SPDX-License-Identifier: GPL-2.0-or-later
#include "clock.h"

#include "acpi.h"
#include "console.h"
#include "x86.h"

enum {
    FADT_TIMER_PORT = 76,
    TIMER_MASK = 0xffffff,
    TICKS_PER_SECOND = 3579545,
};

static uint16_t timer_port(void)
{
    static uint16_t port;
    if (!port) {
        const uint8_t *fadt = acpi_table("FACP");
        if (!fadt) {
            print("Bail out! no ACPI timer\n");
            exit_run(false);
        }
        memcpy(&port, fadt + FADT_TIMER_PORT, sizeof(port));
    }
    return port;
}

uint64_t clock_ms(void)
{
    static uint64_t ticks;
    static uint32_t last;
    static bool started;
    uint32_t now = in32(timer_port()) & TIMER_MASK;

    if (started)
        ticks += (now - last) & TIMER_MASK;
    started = true;
    last = now;
    return ticks * 1000 / TICKS_PER_SECOND;
}
