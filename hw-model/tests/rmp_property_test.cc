// SPDX-License-Identifier: GPL-2.0-or-later
// Random programs of all operations on a few cores: after each step the model agrees with its
// reference, and the audit finds nothing. Another run: RC_PARAMS="seed=... max_success=...".
#include "twins/twins.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace rmpopt::hw
{

namespace
{

rc::Gen<std::vector<step>> any_program(const world &w)
{
    const auto pick = [](unsigned n) { return *rc::gen::inRange(0u, n); };
    return rc::gen::container<std::vector<step>>(
        rc::gen::exec([w, pick] { return draw_step(w, pick); }));
}

void expect_agreement(const world &w)
{
    const std::vector<step> program = *any_program(w);
    twins t(w);
    RC_ASSERT(t.compare() == "");
    for (const step &s : program) {
        RC_ASSERT(t.run(s) == "");
    }
}

RC_GTEST_PROP(random_program, agrees_with_one_state_per_page, ())
{
    expect_agreement({.cores = 3});
}

RC_GTEST_PROP(random_program, agrees_on_one_core, ())
{
    expect_agreement({.cores = 1});
}

RC_GTEST_PROP(random_program, agrees_in_a_contiguous_table, ())
{
    expect_agreement({.cores = 2, .layout = rmp_layout::contiguous});
}

} // namespace

} // namespace rmpopt::hw
