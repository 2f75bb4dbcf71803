// SPDX-License-Identifier: GPL-2.0-or-later
// The marker instruction: NOPL 0x4f504d52(%rax,%rax,1), which does nothing on any other machine.
// EAX selects a function of measurements, of searches for races, or a question. No guest state
// changes but the RAX of a question. It works at any privilege level in 64-bit mode.
#include "insn/dispatch.h"

#include <algorithm>
#include <array>
#include <string>

namespace rmpopt
{

namespace
{

enum class marker : std::uint32_t {
    mark = 0x4b52414d,   ///< "MARK": begins a phase, named by RDX bytes at RDI; RDX = 0: ends it
    on = 0x4f4e4d45,     ///< "EMNO": measures stores at the interval RDX; 0: every store
    on_tlb = 0x4d424c54, ///< "TLBM": measures every store and models TLBs
    off = 0x46464f4d,    ///< "MOFF": stops the measurement
    points = 0x53544e50, ///< "PNTS": counts points for stalls, or with RDX = 0 no longer
    end = 0x21444e45,    ///< "END!": the run is over, and a deterministic machine powers off here
    due = 0x3f455544, ///< "DUE?": RAX becomes 1 if a pass or a finding is to be expected, 0 if not
};
constexpr std::size_t longest_name = 63;

bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

/// Begins the phase whose name is in guest memory. The name ends early where memory cannot be read,
/// and characters that are not printable ASCII become '?'.
void mark(const insn_event &event)
{
    std::array<std::uint8_t, longest_name> name{};
    const std::size_t bytes = std::min<std::uint64_t>(event.reg(rdx), name.size());
    const std::size_t read = vcpu::read_code(event.reg(rdi), std::span(name).first(bytes));
    std::string text(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(read));
    std::ranges::replace_if(
        text, [](char c) { return !is_printable(c); }, '?');
    event.heard().phase(text);
}

/// RMPOPT is enabled somewhere, and nobody has executed it yet.
bool pass_is_due(const hw::machine &m)
{
    const hw::counter_set &c = m.counters();
    return c.rmpopt_scans + c.rmpopt_cached == 0 &&
           std::ranges::any_of(m.cores(), [](const auto &core) { return core.rmpopt.enabled(); });
}

bool is_request(const insn_event &event, measure_request &request)
{
    const auto function = static_cast<marker>(event.reg(rax));
    const std::uint64_t interval = event.reg(rdx);
    if (function == marker::on) {
        request = {.mode = interval > 1 ? measure_mode::sampled : measure_mode::exact,
                   .interval = interval > 1 ? static_cast<unsigned>(std::min<std::uint64_t>(
                                                  interval, largest_interval))
                                            : 0};
    }
    if (function == marker::on_tlb) {
        request = {.mode = measure_mode::exact, .interval = 0, .tlb = true};
    }
    return function == marker::on || function == marker::on_tlb || function == marker::off;
}

} // namespace

void emulate_marker(insn_event event)
{
    measure_request request;
    if (!event.cpu.code_64()) {
        return;
    }
    const auto function = static_cast<marker>(event.reg(rax));
    if (function == marker::mark) {
        mark(event);
    } else if (function == marker::points) {
        if (event.env.points != nullptr) {
            event.env.points->guest_says(event.reg(rdx) != 0);
        }
    } else if (function == marker::end) {
        event.env.end_run();
    } else if (function == marker::due) {
        synchronise(event);
        event.reg(rax) = pass_is_due(event.machine()) || event.heard().awaits_finding() ? 1 : 0;
        complete(event);
    } else if (is_request(event, request)) {
        synchronise(event);
        event.env.set_measure(request);
        complete(event);
    }
}

} // namespace rmpopt
