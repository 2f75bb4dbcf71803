/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases of a program that tests a running Linux: each is a function that expects things. They run
 * one after the other and are reported as KTAP. For one thread; a failed expectation does not end
 * its case.
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
    bool (*before)(void); /* or NULL; false: the case can't run here, skip() has said why */
    void (*after)(void);  /* or NULL; may expect things, too */
};

/* Compares 64-bit values; the first few that differ in a case are explained. True: equal. */
#define EXPECT_EQ(got, want)                                                                       \
    expect_equal((uint64_t)(got), (uint64_t)(want), __FILE_NAME__, __LINE__, #got)
bool expect_equal(uint64_t got, uint64_t want, const char *file, int line, const char *text);

/* The case that runs reports SKIP with this reason, unless it fails. */
void skip(const char *reason);

/*
 * Runs all cases (`chosen` empty) or those named in it, up to NULL; true when none failed and all
 * names were known. A case that does not end within 60 s ends the program by SIGALRM.
 */
bool run_cases(const struct test_case *cases, size_t count, char *const chosen[]);

#endif
