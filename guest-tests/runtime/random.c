// SPDX-License-Identifier: GPL-2.0-or-later
#include "random.h"

#include "memory.h"

static uint64_t state;

void random_start(void)
{
    state = (option_number("seed", 1) + 1) * 0x9e3779b97f4a7c15;
}

/* xorshift64 */
uint64_t random_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
