/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kinds of stores that several tests use, see DEFINE_STORE. */
#ifndef TESTS_STORES_H
#define TESTS_STORES_H

#include "assigned_page.h"
#include "insn.h"

#define SAVE_STACK "movq %%rsp, %%r8; leaq 8(%%rdi), %%rsp;"
#define RESTORE_STACK "movq %%r8, %%rsp"
#define XMM_FROM_RAX "movq %%rax, %%xmm0; punpcklqdq %%xmm0, %%xmm0;"

DEFINE_STORE(mov16, "", "movw %%ax, (%%rdi)", "")
DEFINE_STORE(mov32, "", "movl %%eax, (%%rdi)", "")
DEFINE_STORE(mov64, "", "movq %%rax, (%%rdi)", "")
DEFINE_STORE(mov_immediate, "", "movq $-2, (%%rdi)", "")
DEFINE_STORE(movnti, "", "movnti %%rax, (%%rdi)", "")
DEFINE_STORE(movbe, "", "movbe %%rax, (%%rdi)", "")
DEFINE_STORE(add, "", "addq %%rax, (%%rdi)", "")
DEFINE_STORE(adc, "stc", "adcl $1, (%%rdi)", "")
DEFINE_STORE(not, "", "notq (%%rdi)", "")
DEFINE_STORE(xchg, "", "xchgq %%rax, (%%rdi)", "")
DEFINE_STORE(xadd, "", "xaddl %%eax, (%%rdi)", "")
DEFINE_STORE(lock_xadd, "", "lock xaddq %%rax, (%%rdi)", "")
DEFINE_STORE(cmpxchg, "movl (%%rdi), %%eax; movl $5, %%ecx", "lock cmpxchgl %%ecx, (%%rdi)", "")
DEFINE_STORE(push, SAVE_STACK, "pushq %%rax", RESTORE_STACK)
DEFINE_STORE(pushf, SAVE_STACK "cmpl %%eax, %%eax", "pushfq", RESTORE_STACK)
DEFINE_STORE(call, SAVE_STACK, "call 772f", RESTORE_STACK)
DEFINE_STORE(pop_memory, "pushq %%rax; movq %%rsp, %%r8", "popq (%%rdi)", "leaq 8(%%r8), %%rsp")
DEFINE_STORE(sgdt, "", "sgdt (%%rdi)", "")
DEFINE_STORE(stmxcsr, "", "stmxcsr (%%rdi)", "")
DEFINE_STORE(fnstcw, "", "fnstcw (%%rdi)", "")
DEFINE_STORE(fstp, "fldpi", "fstpt (%%rdi)", "fninit")
DEFINE_STORE(fnsave, "fldpi", "fnsave (%%rdi)", "fninit")
DEFINE_STORE(fxsave, XMM_FROM_RAX, "fxsave64 (%%rdi)", "")
DEFINE_STORE(movups, XMM_FROM_RAX, "movups %%xmm0, (%%rdi)", "")

#endif
