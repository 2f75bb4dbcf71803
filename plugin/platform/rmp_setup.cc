// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/rmp_setup.h"

#include "base/format.h"
#include "platform/memory_map.h"

#include <algorithm>

namespace rmpopt
{

using namespace hw;

namespace
{

constexpr std::uint64_t table_bytes_for(std::uint64_t covered)
{
    return covered / page_4k * rmp_entry_bytes;
}

/// Size of an RMP for memory up to `end`, and the offsets of its parts from its start.
struct rmp_plan {
    std::uint64_t bytes = 0;
    std::vector<std::uint64_t> segment_offset; ///< by segment; 0: no RAM there
    std::vector<std::uint64_t> segment_gb;
};

bool has_ram(const memory_view &memory, const spa_range &range)
{
    return std::ranges::any_of(memory.ranges(), [&](const ram_range &r) {
        return spa_range{r.base, r.bytes}.overlaps(range);
    });
}

rmp_plan plan_segmented(const memory_view &memory, unsigned shift)
{
    rmp_plan plan;
    const std::uint64_t segment = 1ull << shift;
    std::uint64_t offset = rmp_alignment; // bookkeeping and RST
    for (spa_t base = 0; base < memory.end() && plan.segment_gb.size() < rst_entries;
         base += segment) {
        const spa_t end = std::min(base + segment, align_up(memory.end(), region_1g));
        const bool used = has_ram(memory, {base, end - base});
        plan.segment_offset.push_back(used ? offset : 0);
        plan.segment_gb.push_back(used ? (end - base) / region_1g : 0);
        offset += used ? align_up(table_bytes_for(end - base), rmp_alignment) : 0;
    }
    plan.bytes = align_up(offset, page_2m);
    return plan;
}

rmp_plan plan_contiguous(const memory_view &memory)
{
    rmp_plan plan;
    plan.bytes = align_up(rmp_bookkeeping_bytes + table_bytes_for(memory.end()), page_2m);
    return plan;
}

std::optional<spa_t> place(const memory_view &memory, const rmp_request &request,
                           std::uint64_t bytes)
{
    if (request.boot_params.has_value()) {
        return place_in_map(memory, *request.boot_params, bytes);
    }
    if (request.pvh_start_info.has_value()) {
        return cut_from_pvh_map(memory, *request.pvh_start_info, bytes);
    }
    return place_without_map(memory, bytes);
}

void write_rst(const memory_view &memory, spa_t base, const rmp_plan &plan)
{
    for (std::size_t i = 0; i < plan.segment_gb.size(); ++i) {
        const std::uint64_t entry =
            plan.segment_gb[i] == 0 ? 0 : (base + plan.segment_offset[i]) | plan.segment_gb[i];
        memory.store(base + rmp_bookkeeping_bytes + 8 * i, entry);
    }
}

} // namespace

rmp_setup prepare_rmp(const memory_view &memory, const rmp_request &request)
{
    rmp_setup setup;
    const bool segmented = request.layout == rmp_layout::segmented;
    const rmp_plan plan =
        segmented ? plan_segmented(memory, request.segment_shift) : plan_contiguous(memory);
    const auto at = place(memory, request, plan.bytes);
    if (!at.has_value()) {
        setup.error = formatted("no room for an RMP of {} MiB in the guest's free memory; give "
                                "the guest more memory",
                                plan.bytes >> 20);
        return setup;
    }
    setup.reserved = {*at, plan.bytes};
    if (request.boot_params.has_value() &&
        !reserve_in_map(memory, *request.boot_params, setup.reserved)) {
        setup.error = "the guest's memory map has no room for another entry";
        return setup;
    }
    request.zero(setup.reserved);
    setup.config = {.layout = request.layout,
                    .base = *at,
                    .end = segmented ? 0 : *at + plan.bytes - 1,
                    .segment_shift = segmented ? request.segment_shift : 0};
    if (segmented) {
        write_rst(memory, *at, plan);
    }
    return setup;
}

} // namespace rmpopt
