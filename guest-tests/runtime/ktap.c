// SPDX-License-Identifier: GPL-2.0-or-later
#include "ktap.h"

#include "console.h"
#include "trap.h"

enum { EXPLAINED_FAILURES = 8 };

struct case_state {
    unsigned failures;
    const char *skip_reason, *limit;
    bool abandoned;
};

static struct case_state *current;
static unsigned depth;

static void indent(void)
{
    print("%s", &"                "[16 - 2 * (depth < 8 ? depth : 8)]);
}

/* Counts a failure. True if it is one of the first, which get a line of their own. */
static bool note_failure(const char *file, int line)
{
    unsigned failures = __atomic_add_fetch(&current->failures, 1, __ATOMIC_RELAXED);
    const char *name = file;
    if (failures > EXPLAINED_FAILURES)
        return false;
    for (const char *p = file; *p; p++) {
        if (*p == '/')
            name = p + 1;
    }
    print("# %s:%d: ", name, line);
    return true;
}

void expect(bool holds, const char *file, int line, const char *text)
{
    if (!holds && note_failure(file, line))
        print("expected: %s\n", text);
}

void expect_equal(uint64_t got, uint64_t want, const char *file, int line, const char *text)
{
    if (got != want && note_failure(file, line))
        print("%s is %#lx, expected %#lx\n", text, got, want);
}

bool case_failed(void)
{
    return current->failures != 0;
}

void skip_case(const char *reason)
{
    current->skip_reason = reason;
}

void known_limit(const char *reason)
{
    current->limit = reason;
}

static bool has_failed(const struct case_state *state)
{
    return state->failures && (!state->limit || state->abandoned);
}

/* Run one case. An unexpected exception ends the case and continues here. */
static void run_guarded(const struct test_case *test, struct case_state *state)
{
    struct save_point here;
    struct save_point *outer_exit = unexpected_trap_exit;
    struct case_state *outer_case = current;
    unsigned outer_depth = depth;

    current = state;
    depth++;
    if (save_point(&here) == 0) {
        unexpected_trap_exit = &here;
        test->run(test->argument);
    } else {
        state->failures++;
        state->abandoned = true;
        set_trap_hook(NULL);
    }
    unexpected_trap_exit = outer_exit;
    current = outer_case;
    depth = outer_depth;
}

static void print_result(const struct test_case *test, size_t number,
                         const struct case_state *state)
{
    if (state->failures) {
        indent();
        print("# rule: %s (%u failed)\n", test->rule, state->failures);
    }
    indent();
    print("%s %lu %s", has_failed(state) ? "not ok" : "ok", number, test->name);
    if (state->abandoned)
        print(" # ERROR unexpected exception");
    else if (state->failures && state->limit)
        print(" # XFAIL %s", state->limit);
    else if (state->skip_reason && !state->failures)
        print(" # SKIP %s", state->skip_reason);
    print("\n");
}

static unsigned run_cases(const struct test_case *cases, size_t count)
{
    unsigned failed = 0;

    indent();
    print("KTAP version 1\n");
    indent();
    print("1..%lu\n", count);
    for (size_t i = 0; i < count; i++) {
        struct case_state state = {0};
        run_guarded(&cases[i], &state);
        print_result(&cases[i], i + 1, &state);
        failed += has_failed(&state);
    }
    return failed;
}

void run_subtests(const struct test_case *cases, size_t count)
{
    current->failures += run_cases(cases, count);
}

bool run_suite(const struct test_suite *suite)
{
    const char *unmet = suite->unmet ? suite->unmet() : NULL;
    if (unmet) {
        print("KTAP version 1\n1..0 # SKIP %s\n", unmet);
        return true;
    }
    return run_cases(suite->cases, suite->count) == 0;
}
