// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_hooks.h"

#include "hw/types.h"
#include "insn_match.h"

#include <array>
#include <utility>

namespace rmpopt
{

namespace
{

measurement *the_measurement = nullptr;
measure_request the_mode; ///< changes only while no vCPU runs

/// What the thread knows of the vCPU that it executes. One host thread may take turns with several.
struct thread_view {
    void *const *current = nullptr; ///< QEMU's pointer to the vCPU
    const void *cpu = nullptr;      ///< the vCPU that `state` belongs to
    vcpu_measure *state = nullptr;
    unsigned index = 0;
};

/// initial-exec: found without a call.
[[gnu::tls_model("initial-exec")]] thread_local thread_view view;

/// Of this thread, to the next one that is drawn. At first some number: a geometric distribution
/// does not remember where it began.
[[gnu::tls_model("initial-exec")]] thread_local std::uint64_t blocks_left = 1;

/// The same for the stores of repeated string instructions.
[[gnu::tls_model("initial-exec")]] thread_local std::uint64_t string_stores_left = 1;

[[gnu::noinline]] void look_at_current(thread_view &v)
{
    v.current = host_cpu::current_slot();
    v.cpu = *v.current;
    v.index = host_cpu::current().index();
    v.state = &the_measurement->vcpu(v.index);
}

thread_view &current_view()
{
    thread_view &v = view;
    if (v.current == nullptr || v.cpu != *v.current) [[unlikely]] {
        look_at_current(v);
    }
    return v;
}

// Stores of up to 64 bytes that begin further down do not reach into the next page.
constexpr std::uint64_t surely_one_page = hw::page_4k - 64;

struct page_target {
    enum class kind : std::uint8_t { ram, device, unknown } what = kind::unknown;
    hw::spa_t spa = 0;
};

page_target target_of(qemu_plugin_meminfo_t info, std::uint64_t vaddr)
{
    const qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
    if (hw == nullptr) {
        return {};
    }
    const hw::spa_t spa = qemu_plugin_hwaddr_phys_addr(hw);
    if (qemu_plugin_hwaddr_is_io(hw) || !the_measurement->is_counted(spa)) {
        return {page_target::kind::device, 0};
    }
    return {page_target::kind::ram, spa};
}

cell_accessor accessor_of(const host_cpu &cpu)
{
    return cpu.in_guest() ? cell_accessor::guest : cell_accessor::host;
}

/// Calls `f(first address)` for each page that the store touches.
template <class F> void for_pages(qemu_plugin_meminfo_t info, std::uint64_t vaddr, F f)
{
    f(vaddr);
    const std::uint64_t last = vaddr + (1ull << qemu_plugin_mem_size_shift(info)) - 1;
    if (hw::align_down(last, hw::page_4k) != hw::align_down(vaddr, hw::page_4k)) {
        f(hw::align_down(last, hw::page_4k));
    }
}

void count_unusual(vcpu_cells &cells, const page_target &t, unsigned stores = 1)
{
    bump(t.what == page_target::kind::device ? cells.device : cells.unresolved, stores);
}

[[gnu::noinline]] void count_page(const thread_view &v, qemu_plugin_meminfo_t info,
                                  std::uint64_t vaddr)
{
    vcpu_measure &state = *v.state;
    state.filter.begin_lookup();
    const page_target t = target_of(info, vaddr);
    if (t.what != page_target::kind::ram) {
        count_unusual(state.cells, t);
        return;
    }
    cell_counter &counter = the_measurement->counter_of(
        v.index, accessor_of(host_cpu::by_index(v.index)), cell_level::store, t.spa);
    state.filter.remember(vaddr, counter);
    bump(counter);
}

[[gnu::noinline]] void count_slowly(const thread_view &v, qemu_plugin_meminfo_t info,
                                    std::uint64_t vaddr)
{
    for_pages(info, vaddr, [&](std::uint64_t address) {
        cell_counter *counter = v.state->filter.find(address);
        if (counter != nullptr) {
            bump(*counter);
        } else {
            count_page(v, info, address);
        }
    });
}

void on_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    const thread_view &v = current_view();
    cell_counter *counter = v.state->filter.find(vaddr);
    if (counter != nullptr && vaddr % hw::page_4k <= surely_one_page) [[likely]] {
        bump(*counter);
        return;
    }
    count_slowly(v, info, vaddr);
}

// Sampling. A countdown lets a random number of blocks pass; the block that it ends at is left
// before its first instruction and executed in a translation of its own, whose stores are looked
// at. QEMU keeps the two apart by host_cpu's mark of the next block. (The API's inline operations
// and conditional callbacks would not be faster, and QEMU 11.1 spoils the constants of a block that
// has one when several vCPUs take turns on a thread.)

[[gnu::noinline]] void draw_block(std::uintptr_t ra)
{
    const thread_view &v = current_view();
    blocks_left = v.state->intervals.next(the_mode.interval);
    const host_cpu cpu = host_cpu::by_index(v.index);
    cpu.synchronise(ra);
    cpu.mark_next_block(true);
    host_cpu::continue_at(cpu.rip());
}

void on_block(unsigned, void *)
{
    if (--blocks_left == 0) [[unlikely]] {
        draw_block(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)));
    }
}

void on_drawn_block(unsigned, void *)
{
    const thread_view &v = current_view();
    const host_cpu cpu = host_cpu::by_index(v.index);
    cpu.mark_next_block(false);
    v.state->close_block(the_mode.interval);
    v.state->block.who = accessor_of(cpu);
}

/// Looks at a store of the drawn block.
void look_at_store(const thread_view &v, qemu_plugin_meminfo_t info, std::uint64_t vaddr)
{
    for_pages(info, vaddr, [&](std::uint64_t address) {
        const page_target t = target_of(info, address);
        if (t.what != page_target::kind::ram) {
            count_unusual(v.state->cells, t, the_mode.interval);
            return;
        }
        auto &block = v.state->block;
        const cell_outcome outcome = the_measurement->outcome_of(v.index, block.who, t.spa);
        bump(v.state->cells.at(static_cast<unsigned>(t.spa / hw::region_1g), block.who,
                               cell_level::store, outcome),
             the_mode.interval);
        ++block.stores;
        block.relevant += outcome == cell_outcome::off ? 0 : 1;
        block.skipped += outcome == cell_outcome::skipped ? 1 : 0;
    });
}

void on_drawn_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    look_at_store(current_view(), info, vaddr);
}

/// Repeated string instructions store as often as their count says, all in one block. Drawn as a
/// whole they would decide the sample; so each of their stores is drawn for itself.
void on_string_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    if (--string_stores_left != 0) [[likely]] {
        return;
    }
    const thread_view &v = current_view();
    string_stores_left = v.state->intervals.next(the_mode.interval);
    v.state->close_block(the_mode.interval);
    v.state->block.who = accessor_of(host_cpu::by_index(v.index));
    look_at_store(v, info, vaddr);
    v.state->close_block(the_mode.interval);
}

bool repeats(qemu_plugin_insn *insn)
{
    std::array<std::uint8_t, longest_instruction> bytes{};
    const std::size_t size = std::min(qemu_plugin_insn_size(insn), bytes.size());
    qemu_plugin_insn_data(insn, bytes.data(), size);
    return is_repeated_string_store(std::span(bytes).first(size));
}

void watch_stores(qemu_plugin_insn *insn, qemu_plugin_vcpu_mem_cb_t callback)
{
    qemu_plugin_register_vcpu_mem_cb(insn, callback, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                     nullptr);
}

template <class F> void for_insns(qemu_plugin_tb *tb, F f)
{
    const std::size_t n = qemu_plugin_tb_n_insns(tb);
    for (std::size_t i = 0; i < n; ++i) {
        f(qemu_plugin_tb_get_insn(tb, i));
    }
}

void instrument_sampled(qemu_plugin_tb *tb)
{
    const bool drawn = host_cpu::current().is_next_block_marked();
    if (drawn) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_drawn_block, QEMU_PLUGIN_CB_NO_REGS, nullptr);
    } else {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_RW_REGS_PC, nullptr);
    }
    for_insns(tb, [drawn](qemu_plugin_insn *insn) {
        if (repeats(insn)) {
            watch_stores(insn, on_string_store);
        } else if (drawn) {
            watch_stores(insn, on_drawn_store);
        }
    });
}

} // namespace

void store_hooks::start(measurement &m)
{
    the_measurement = &m;
}

void store_hooks::instrument(qemu_plugin_tb *tb)
{
    switch (the_mode.mode) {
    case measure_mode::off:
        break;
    case measure_mode::exact:
        for_insns(tb, [](qemu_plugin_insn *insn) { watch_stores(insn, on_store); });
        break;
    case measure_mode::sampled:
        instrument_sampled(tb);
        break;
    }
}

void store_hooks::set_mode(measure_request to)
{
    the_mode = to;
}

void store_hooks::end_phase()
{
    current_view().state->close_block(the_mode.interval);
}

void store_hooks::translated(const host_cpu &cpu, std::uint64_t address)
{
    if (the_measurement == nullptr) {
        return;
    }
    vcpu_measure &state = the_measurement->vcpu(cpu.index());
    const bool in_guest = cpu.in_guest();
    if (std::exchange(state.in_guest, in_guest) != in_guest) {
        state.filter.forget_all();
    } else {
        state.filter.forget(address);
    }
}

} // namespace rmpopt
