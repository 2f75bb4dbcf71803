/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Includes all that a test file needs. */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include "apic.h"
#include "clock.h"
#include "console.h"
#include "insn.h"
#include "ktap.h"
#include "memory.h"
#include "paging.h"
#include "random.h"
#include "smp.h"
#include "snp.h"
#include "svm.h"
#include "trap.h"
#include "user.h"
#include "x86.h"

#endif
