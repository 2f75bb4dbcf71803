/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SNP_CASES_H
#define SNP_CASES_H

#include <stdbool.h>

/* Runs the cases named in `chosen` (ends with NULL), or all; see cases.h. */
bool run_snp_cases(char *const chosen[]);

#endif
