/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test cases of a program that tests a running Linux. Each is a function with expectations; a
 * failed expectation does not end its case. The cases run one after the other and are reported as
 * KTAP. Not thread-safe.
 */
#ifndef CASES_H
#define CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *name;
    void (*run)(void);
    const char *rule;     /* what it proves, shown when it fails */
    bool (*before)(void); /* or NULL; returns false if the case can't run here, after skip() */
    void (*after)(void);  /* or NULL; may have expectations, too */
};

/*
 * Compares 64-bit values and returns true if they are equal. The first few differences of each case
 * are explained.
 */
#define EXPECT_EQ(got, want)                                                                       \
    expect_equal((uint64_t)(got), (uint64_t)(want), __FILE_NAME__, __LINE__, #got)
bool expect_equal(uint64_t got, uint64_t want, const char *file, int line, const char *text);

/* Makes the running case report SKIP with this reason, unless it fails. */
void skip(const char *reason);

/*
 * Runs the cases named in `chosen`, which ends with NULL, or all cases if it is empty. Returns true
 * if none failed and all names were known. If a case does not end within 60 s, SIGALRM ends the
 * program.
 */
bool run_cases(const struct test_case *cases, size_t count, char *const chosen[]);

#endif
