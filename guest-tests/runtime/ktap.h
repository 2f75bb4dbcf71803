/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test cases and their results as KTAP (Documentation/dev-tools/ktap.rst in the kernel).
 * A case names the architectural rule that it checks and where that rule is written.
 */
#ifndef RUNTIME_KTAP_H
#define RUNTIME_KTAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
    const char *name;
    const char *rule;
    void (*run)(const void *argument);
    const void *argument;
};

struct test_suite {
    const struct test_case *cases;
    size_t count;
    /* Why this machine can't run the suite; NULL if it can. */
    const char *(*unmet)(void);
};

#define TEST(function, rule_text)                                                                  \
    {                                                                                              \
#function, rule_text, function, NULL                                                       \
    }
#define TEST_WITH(case_name, function, pointer, rule_text)                                         \
    {                                                                                              \
        case_name, rule_text, function, pointer                                                    \
    }

/* Each test image has exactly one of these. */
#define TEST_SUITE(table) TEST_SUITE_IF(table, NULL)
#define TEST_SUITE_IF(table, unmet_reason)                                                         \
    const struct test_suite test_suite = {table, sizeof(table) / sizeof((table)[0]), unmet_reason}
extern const struct test_suite test_suite;

/* Run cases as subtests of the calling case. */
void run_subtests(const struct test_case *cases, size_t count);
#define RUN_SUBTESTS(table) run_subtests(table, sizeof(table) / sizeof((table)[0]))

/* Results of the running case. The first failures are explained, further ones only counted. */
void expect(bool holds, const char *file, int line, const char *text);
void expect_equal(uint64_t got, uint64_t want, const char *file, int line, const char *text);
bool case_failed(void);
void skip_case(const char *reason);
/* For a known limit of the emulator: failures of this case are reported, but count as XFAIL. */
void known_limit(const char *reason);

#define EXPECT(condition) expect(condition, __FILE__, __LINE__, #condition)
#define EXPECT_EQ(got, want)                                                                       \
    expect_equal((uint64_t)(got), (uint64_t)(want), __FILE__, __LINE__, #got)

/* The same, but also end the case on failure. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        bool holds = (condition);                                                                  \
        expect(holds, __FILE__, __LINE__, #condition);                                             \
        if (!holds)                                                                                \
            return;                                                                                \
    } while (0)
#define REQUIRE_EQ(got, want)                                                                      \
    do {                                                                                           \
        uint64_t got_value = (uint64_t)(got), want_value = (uint64_t)(want);                       \
        expect_equal(got_value, want_value, __FILE__, __LINE__, #got);                             \
        if (got_value != want_value)                                                               \
            return;                                                                                \
    } while (0)
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        skip_case(reason);                                                                         \
        return;                                                                                    \
    } while (0)

/* Run the suite; true if no case failed. */
bool run_suite(const struct test_suite *suite);

#endif
