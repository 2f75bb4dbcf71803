/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Constants that assembly and C must agree on. */
#ifndef RUNTIME_LAYOUT_H
#define RUNTIME_LAYOUT_H

#define SELECTOR_CODE32 0x08
#define SELECTOR_CODE64 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_USER_DATA 0x20
#define SELECTOR_USER_CODE64 0x28
#define SELECTOR_USER_CODE32 0x30
#define SELECTOR_TSS(cpu) (0x38 + (cpu)*16)

/* Application processors start here in real mode. Page aligned: start-up IPIs carry a page number.
 */
#define TRAMPOLINE_ADDRESS 0x8000

/* Offsets in struct cpu, to which GS points. */
#define CPU_SELF 0
#define CPU_GUARD_RIP 8
#define CPU_GUARD_RESUME 16
#define CPU_TRAP_VECTOR 24
#define CPU_USER_RETURN_RSP 32

#define VECTOR_WAKE 0xf0
#define VECTOR_SPURIOUS 0xff

#define MAX_CPUS 256

#endif
