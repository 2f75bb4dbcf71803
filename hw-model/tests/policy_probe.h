// SPDX-License-Identifier: GPL-2.0-or-later
// A machine with a given policy, to try things out on.
#pragma once

#include "machine_fixture.h"

namespace rmpopt::hw
{

/// The fixture's machine outside a test of the fixture.
class probe_machine : public machine_fixture
{
  public:
    using machine_fixture::assign, machine_fixture::assign_2m, machine_fixture::enable_rmpopt,
        machine_fixture::enable_snp, machine_fixture::entry, machine_fixture::guest_page,
        machine_fixture::hold, machine_fixture::hole, machine_fixture::immutable,
        machine_fixture::low_2m, machine_fixture::m, machine_fixture::optimise,
        machine_fixture::read_msr, machine_fixture::release, machine_fixture::reports,
        machine_fixture::rmp_base, machine_fixture::update, machine_fixture::write_msr;

    explicit probe_machine(const policy &choices) : choices_(choices) {}

    void build_only(unsigned phys_bits = 48)
    {
        build("venice", rmp_layout::segmented, choices_, phys_bits);
    }
    void start(unsigned phys_bits = 48) { machine_fixture::start(choices_, phys_bits); }

  private:
    void TestBody() override {}

    policy choices_;
};

} // namespace rmpopt::hw
