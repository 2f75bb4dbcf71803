/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_USER_H
#define RUNTIME_USER_H

#include <stddef.h>

#include "trap.h"

/*
 * Run machine code at CPL 3 with the registers of *state (RIP, RSP and segments are set here) until
 * it raises an exception, which *state then holds. INT3 follows the code. Returns the address of
 * the code.
 */
uint64_t run_user(const void *code, size_t size, struct trap *state);

/* The same in compatibility mode. */
uint64_t run_user32(const void *code, size_t size, struct trap *state);

#endif
