// SPDX-License-Identifier: GPL-2.0-or-later
#include "cases.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CASE_SECONDS = 60, EXPLAINED = 8 };

static unsigned failures;
static const char *skipped;

bool expect_equal(uint64_t got, uint64_t want, const char *file, int line, const char *text)
{
    if (got == want)
        return true;
    if (failures++ < EXPLAINED)
        printf("# %s:%d: %s is %#lx, expected %#lx\n", file, line, text, got, want);
    return false;
}

void skip(const char *reason)
{
    skipped = reason;
}

static void perform(const struct test_case *test)
{
    if (test->before && !test->before())
        return;
    test->run();
    if (test->after)
        test->after();
}

static bool run_case(const struct test_case *test, size_t number)
{
    failures = 0;
    skipped = NULL;
    alarm(CASE_SECONDS); /* ends the program if a guest hangs */
    perform(test);
    alarm(0);
    if (failures)
        printf("# rule: %s (%u failed)\n", test->rule, failures);
    printf("%s %zu %s", failures ? "not ok" : "ok", number, test->name);
    if (skipped && !failures)
        printf(" # SKIP %s", skipped);
    printf("\n");
    return failures == 0;
}

static const struct test_case *find_case(const struct test_case *cases, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    return NULL;
}

static bool run_chosen(const struct test_case *cases, size_t count, char *const chosen[])
{
    size_t names = 0;
    bool passed = true;

    while (chosen[names])
        names++;
    printf("1..%zu\n", names);
    for (size_t i = 0; i < names; i++) {
        const struct test_case *test = find_case(cases, count, chosen[i]);
        if (!test)
            printf("not ok %zu %s\n# no such case\n", i + 1, chosen[i]);
        passed &= test && run_case(test, i + 1);
    }
    return passed;
}

bool run_cases(const struct test_case *cases, size_t count, char *const chosen[])
{
    bool passed = true;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("KTAP version 1\n");
    if (chosen[0])
        return run_chosen(cases, count, chosen);
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++)
        passed &= run_case(&cases[i], i + 1);
    return passed;
}
