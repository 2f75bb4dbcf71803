// SPDX-License-Identifier: GPL-2.0-or-later
#include "fail.h"

#include "hypervisor.h"

enum { SERIAL_PORT = 0x3f8 };

static void print(const char *text)
{
    for (; *text; text++)
        port_out(SERIAL_PORT, 1, (unsigned char)*text);
}

void fail(enum reason reason, const char *message)
{
    static bool failing;

    if (hypervisor_is_open() && !failing) {
        failing = true; /* printing may fail as well */
        print("direct boot: ");
        print(message);
        print("\r\n");
    }
    hypervisor_terminate(TERMINATION_SET, reason);
}
