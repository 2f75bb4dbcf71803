// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "events/listener.h"

#include <string>
#include <vector>

namespace rmpopt
{

/// Writes down what it is told.
class fake_listener final : public listener
{
  public:
    void rmpopt(const place &, hw::spa_t, std::uint64_t, const hw::rmpopt_result &) override
    {
        heard.emplace_back("rmpopt");
    }
    void rmpupdate(const place &, hw::spa_t, const hw::rmp_record &, hw::rmp_status) override
    {
        heard.emplace_back("rmpupdate");
    }
    void psmash(const place &, hw::spa_t, hw::rmp_status) override { heard.emplace_back("psmash"); }
    void rdmsr(const place &, std::uint32_t, hw::msr_result) override
    {
        heard.emplace_back("rdmsr");
    }
    void wrmsr(const place &, std::uint32_t, std::uint64_t, hw::msr_result,
               const hw::rmp_changes &) override
    {
        heard.emplace_back("wrmsr");
    }
    void vmrun(const vmrun_event &e) override
    {
        heard.emplace_back(e.failed == nullptr ? "vmrun" : "vmrun failed");
        last_guest = e.guest;
    }
    void guest_page(const guest_page_event &e) override { pages.push_back(e); }
    void halted_for_good(unsigned) override { heard.emplace_back("halted"); }
    void cpu_started(unsigned) override { heard.emplace_back("started"); }
    void excepted(unsigned, std::uint64_t) override { heard.emplace_back("excepted"); }
    void interrupted(unsigned, std::uint64_t) override { heard.emplace_back("interrupted"); }
    bool takes_interrupt(unsigned) override { return true; }
    void denied(const place &, const denied_access &access) override
    {
        heard.emplace_back("denied");
        last_denied = access;
    }
    void dma_blocked(hw::spa_t) override { heard.emplace_back("dma"); }
    void command(std::uint16_t, const hw::firmware_result &) override
    {
        heard.emplace_back("command");
    }
    void phase(std::string_view) override { heard.emplace_back("phase"); }

    bool awaits_finding() const override { return awaits; }

    bool awaits = false;
    std::vector<std::string> heard;
    std::vector<guest_page_event> pages;
    hw::initiator last_guest = hw::initiator::host; ///< of the last VMRUN
    denied_access last_denied;
};

} // namespace rmpopt
