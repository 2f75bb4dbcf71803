/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controls the plugin's measurement from inside the guest, by a NOP whose bytes spell "RMPO". On
 * any other machine, real or emulated, it does nothing. It works in 64-bit mode at any privilege
 * level and changes no register, flag or memory, but for the answer to RMPOPT_MARK_DUE.
 * Thread-safe.
 */
#ifndef RMPOPT_MARK_H
#define RMPOPT_MARK_H

#include <stddef.h>
#include <stdint.h>

enum rmpopt_mark_function {
    RMPOPT_MARK_PHASE = 0x4b52414d,  /* "MARK" in EAX, address of the name in RDI, length in RDX */
    RMPOPT_MARK_ON = 0x4f4e4d45,     /* interval in RDX, 0: each store */
    RMPOPT_MARK_ON_TLB = 0x4d424c54, /* "TLBM": each store, and TLBs are modelled */
    RMPOPT_MARK_OFF = 0x46464f4d,
    RMPOPT_MARK_POINTS = 0x53544e50, /* "PNTS", RDX 1: count, 0: no longer */
    RMPOPT_MARK_END = 0x21444e45,    /* "END!" */
    RMPOPT_MARK_DUE = 0x3f455544,    /* "DUE?", answer in RAX */
};

enum { RMPOPT_MARK_LONGEST = 63 }; /* bytes of a name */

/* nopl 0x4f504d52(%rax,%rax,1) */
static inline uint64_t rmpopt_mark_call(enum rmpopt_mark_function function, const void *address,
                                        uint64_t value)
{
    uint64_t rax = function;

    __asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x52, 0x4d, 0x50, 0x4f"
                     : "+a"(rax)
                     : "D"(address), "d"(value)
                     : "memory");
    return rax;
}

/*
 * Ends the current phase and begins one with this name, unless the name is empty. The memory of the
 * name must be mapped, as it is after the program has read or written it.
 */
static inline void rmpopt_mark_phase(const char *name, size_t length)
{
    rmpopt_mark_call(RMPOPT_MARK_PHASE, name, length);
}

/* Measures every store (interval 0), or the stores of one in `interval` blocks on average. */
static inline void rmpopt_mark_on(uint64_t interval)
{
    rmpopt_mark_call(RMPOPT_MARK_ON, NULL, interval);
}

static inline void rmpopt_mark_on_tlb(void)
{
    rmpopt_mark_call(RMPOPT_MARK_ON_TLB, NULL, 0);
}

static inline void rmpopt_mark_off(void)
{
    rmpopt_mark_call(RMPOPT_MARK_OFF, NULL, 0);
}

/* Points at which CPUs may stall are counted from here on, or no longer. */
static inline void rmpopt_mark_points(int on)
{
    rmpopt_mark_call(RMPOPT_MARK_POINTS, NULL, on ? 1 : 0);
}

/* The run is over: a deterministic machine (`--seed`) powers off here. */
static inline void rmpopt_mark_end(void)
{
    rmpopt_mark_call(RMPOPT_MARK_END, NULL, 0);
}

/* 1 if a pass is to be expected, since RMPOPT is enabled and has never been executed, or a finding
 * of the watch, unless something changes. */
static inline int rmpopt_mark_due(void)
{
    return rmpopt_mark_call(RMPOPT_MARK_DUE, NULL, 0) == 1;
}

#endif
