// SPDX-License-Identifier: GPL-2.0-or-later
// A machine with SNP enabled, for RMPUPDATE, PSMASH and RMPREAD.
#pragma once

#include "machine_fixture.h"

namespace rmpopt::hw
{

class host_insn_fixture : public machine_fixture
{
  protected:
    void SetUp() override
    {
        build();
        enable_snp();
        changes.clear();
    }
    /// An update that must fail with `s` and change nothing.
    void expect_refused(spa_t spa, const rmp_record &r, rmp_status s)
    {
        const rmp_entry page = entry(align_down(spa, page_4k));
        const rmp_entry base = entry(align_down(spa, page_2m));
        changes.clear();
        EXPECT_EQ(update(spa, r), s);
        EXPECT_EQ(entry(align_down(spa, page_4k)), page);
        EXPECT_EQ(entry(align_down(spa, page_2m)), base);
        EXPECT_TRUE(changes.ranges().empty());
    }
    /// What a guest does with PVALIDATE and RMPADJUST.
    void use_as_guest(spa_t spa)
    {
        rmp_entry e = entry(spa);
        e.validated = true;
        e.vmsa = true;
        e.vmpl = {15, 3, 1, 0};
        m->rmp().store(spa, e);
    }
};

} // namespace rmpopt::hw
