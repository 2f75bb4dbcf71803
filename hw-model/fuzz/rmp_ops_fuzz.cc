// SPDX-License-Identifier: GPL-2.0-or-later
// Any row of operations: after each the model agrees with its reference and the audit finds
// nothing.
#include "byte_source.h"
#include "twins/twins.h"

#include <cstdlib>
#include <iostream>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace rmpopt::hw;
    byte_source in({data, size});
    world w;
    w.cores = 1 + in.pick(3);
    w.layout = in.pick(8) == 0 ? rmp_layout::contiguous : rmp_layout::segmented;
    twins t(w);
    while (!in.empty()) {
        const step s = draw_step(w, [&in](unsigned n) { return in.pick(n); });
        const std::string wrong = t.run(s);
        if (!wrong.empty()) {
            std::cerr << wrong << " after " << s << '\n';
            std::abort();
        }
    }
    return 0;
}
