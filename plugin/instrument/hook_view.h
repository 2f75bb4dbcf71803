// SPDX-License-Identifier: GPL-2.0-or-later
// Shared by the callbacks of loads and stores: which vCPU made the access, and which page it went
// to.
#pragma once

#include "hw-model/base/types.h"
#include "measure/measurement.h"
#include "qemu/api.h"
#include "qemu/vcpu.h"

namespace rmpopt
{

/// This thread's cached pointer to the state of its current vCPU. One host thread may execute
/// several vCPUs in turn, so is_current() must be checked first.
struct hook_view {
    static constexpr void *nothing = nullptr;

    void *const *current = &nothing; ///< where QEMU keeps the thread's current vCPU
    const void *cpu = &nothing;      ///< the vCPU that `state` belongs to; initially none
    vcpu_measure *state = nullptr;
    unsigned index = 0;

    bool is_current() const { return cpu == *current; }
    vcpu executed() const { return vcpu::by_index(index); }
};

/// Set before any block is translated.
extern measurement *hook_measurement;

/// The TLS model makes access to it free of calls.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local hook_view this_hook_view;

void look_at_current(hook_view &v);

inline hook_view &current_view()
{
    hook_view &v = this_hook_view;
    if (!v.is_current()) [[unlikely]] {
        look_at_current(v);
    }
    return v;
}

/// True when no access at `vaddr` can cross into the next page: accesses have up to 64 bytes.
inline bool is_in_one_page(std::uint64_t vaddr)
{
    return vaddr % hw::page_4k <= hw::page_4k - 64;
}

struct page_target {
    enum class kind : std::uint8_t { ram, device, unknown } what = kind::unknown;
    hw::spa_t spa = 0;
};

/// Callable only in the callback of that access.
page_target target_of(qemu_plugin_meminfo_t info, std::uint64_t vaddr);

inline cell_accessor accessor_of(const vcpu &cpu)
{
    return cpu.in_guest() ? hook_measurement->vcpu(cpu.index()).guest : cell_accessor::host;
}

/// Calls `f(first address)` for each page that the access touches.
template <class F> void for_pages(std::uint64_t vaddr, std::uint64_t bytes, F f)
{
    f(vaddr);
    const std::uint64_t last = vaddr + bytes - 1;
    if (hw::align_down(last, hw::page_4k) != hw::align_down(vaddr, hw::page_4k)) {
        f(hw::align_down(last, hw::page_4k));
    }
}

template <class F> void for_pages(qemu_plugin_meminfo_t info, std::uint64_t vaddr, F f)
{
    for_pages(vaddr, 1ull << qemu_plugin_mem_size_shift(info), f);
}

/// Calls `f(instruction)` for each instruction of a block that QEMU translates.
template <class F> void for_insns(qemu_plugin_tb *tb, F f)
{
    const std::size_t n = qemu_plugin_tb_n_insns(tb);
    for (std::size_t i = 0; i < n; ++i) {
        f(qemu_plugin_tb_get_insn(tb, i));
    }
}

/// Counts a store to a device or to an address that cannot be resolved.
inline void count_unusual(vcpu_cells &cells, const page_target &t, unsigned stores = 1)
{
    bump(t.what == page_target::kind::device ? cells.device : cells.unresolved, stores);
}

} // namespace rmpopt
