// SPDX-License-Identifier: GPL-2.0-or-later
// What the fuzzer of the firmware attacks: a small machine, its firmware, the addresses at which
// something is at stake.
#pragma once

#include "arena.h"
#include "firmware_inside.h"
#include "hw-model/firmware/firmware.h"

#include <algorithm>
#include <array>
#include <memory>

namespace rmpopt::hw
{

inline constexpr spa_t rmp_base = 0x10'0000, segment = 0x20'0000;
inline constexpr std::uint64_t segment_bytes = 0x6000;
inline constexpr std::uint64_t covered_bytes = segment_bytes / rmp_entry_bytes * page_4k; ///< 6 MB
inline constexpr spa_range low{0, segment + segment_bytes}, high{0x40'0000, page_2m};
inline constexpr spa_t command_page = 0x1'0000, output_page = 0x1'2000, list_page = 0x1'4000;
inline constexpr std::array<spa_t, 3> contexts{0x1'6000, 0x1'7000, 0x1'8000};
inline constexpr spa_t message_page = 0x1'a000, response_page = 0x1'b000;
inline constexpr std::uint64_t command_bytes = 64;

struct firmware_target {
    firmware_target(arena &ram, bool tracks_wbinvd) : memory(ram)
    {
        machine::settings s;
        s.cpu = find_cpu_model("venice");
        s.cpus.core_of_thread = {0, 1, 0, 1};
        s.memory = memory.view();
        m = std::make_unique<machine>(std::move(s));
        fw = std::make_unique<firmware>(*m, firmware::settings{.tracks_wbinvd = tracks_wbinvd});
        m->memory().store<std::uint64_t>(rmp_base + rmp_bookkeeping_bytes, segment | 1);
        m->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
        memory.accept();
    }

    /// By the address of their context page.
    const snp_guest_table &guests() const { return firmware_inside::guests(*fw); }

    /// A command buffer: not where the RMP forbids it, and the RMP itself is out of reach.
    bool may_hypervisor_write(spa_t spa) const
    {
        const spa_t last = spa + command_bytes - 1;
        const auto own = m->rmp().table_memory();
        return !std::ranges::any_of(own,
                                    [&](const spa_range &r) {
                                        return r.overlaps({spa, command_bytes});
                                    }) &&
               (!m->snp_enabled(0) ||
                (m->rmp().load(spa).host_writable() && m->rmp().load(last).host_writable()));
    }

    arena &memory;
    std::unique_ptr<machine> m;
    std::unique_ptr<firmware> fw;
};

} // namespace rmpopt::hw
