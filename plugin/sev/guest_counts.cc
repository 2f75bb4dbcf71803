// SPDX-License-Identifier: GPL-2.0-or-later
#include "sev/guest_counts.h"

#include "hw-model/guest/ghcb.h"
#include "hw-model/guest/vmexit.h"

#include <vector>

namespace rmpopt
{

namespace
{

using nlohmann::ordered_json;
using sums = std::map<std::uint64_t, std::uint64_t>;

/// By vCPU.
std::vector<guest_counters> &counters()
{
    static auto &all = *new std::vector<guest_counters>(vcpu::all().size());
    return all;
}

std::uint64_t sum(cell_counter guest_counters::*counter)
{
    std::uint64_t n = 0;
    for (const guest_counters &c : counters()) {
        n += (c.*counter).load(std::memory_order_relaxed);
    }
    return n;
}

ordered_json by_name(code_counts guest_counters::*counts, std::string (*name)(std::uint64_t))
{
    sums all;
    for (const guest_counters &c : counters()) {
        (c.*counts).add_to(all);
    }
    ordered_json out = ordered_json::object();
    for (const auto &[code, n] : all) {
        out[name(code)] = n;
    }
    return out;
}

} // namespace

void code_counts::add(std::uint64_t code)
{
    for (slot &s : slots_) {
        const std::uint64_t n = s.count.load(std::memory_order_relaxed);
        if (n == 0) {
            s.code.store(code, std::memory_order_relaxed);
        }
        if (n == 0 || s.code.load(std::memory_order_relaxed) == code) {
            s.count.store(n + 1, std::memory_order_release);
            return;
        }
    }
}

void code_counts::add_to(sums &to) const
{
    for (const slot &s : slots_) {
        const std::uint64_t n = s.count.load(std::memory_order_acquire);
        if (n == 0) {
            return;
        }
        to[s.code.load(std::memory_order_relaxed)] += n;
    }
}

guest_counters &guest_counters_of(const vcpu &cpu)
{
    return counters()[cpu.index()];
}

ordered_json guest_counts_json()
{
    if (vcpu::all().empty() || sum(&guest_counters::entries) == 0) {
        return nullptr;
    }
    return {{"entries", sum(&guest_counters::entries)},
            {"exits", by_name(&guest_counters::exits, hw::exit_name)},
            {"vc", by_name(&guest_counters::vc, hw::exit_name)},
            {"requests", by_name(&guest_counters::requests, hw::ghcb_request_name)},
            {"tlb_fills", sum(&guest_counters::tlb_fills)},
            {"page_faults", sum(&guest_counters::page_faults)},
            {"rmp_faults", sum(&guest_counters::rmp_faults)},
            {"pvalidate", sum(&guest_counters::pvalidate)},
            {"pvalidate_unchanged", sum(&guest_counters::pvalidate_unchanged)},
            {"rmpadjust", sum(&guest_counters::rmpadjust)}};
}

} // namespace rmpopt
