// SPDX-License-Identifier: GPL-2.0-or-later
#include "instrument/store_hooks.h"

#include "base/format.h"
#include "base/log.h"
#include "instrument/hook_view.h"
#include "instrument/tlb_hooks.h"
#include "qemu/insn_bytes.h"
#include "x86/insn_match.h"

#include <utility>

namespace rmpopt
{

namespace
{

measure_request the_mode; ///< changes only while no vCPU runs

// How far this thread is from its next samples. Any initial value will do, because a geometric
// distribution has no memory. The TLS model lets generated code's callbacks read them without a
// call.

/// Block executions until the next block is sampled.
[[gnu::tls_model("initial-exec")]] thread_local std::uint64_t blocks_left = 1;

/// Stores of repeated string instructions until the next one is sampled.
[[gnu::tls_model("initial-exec")]] thread_local std::uint64_t string_stores_left = 1;

/// A repeated string instruction in progress. Its number of stores and their addresses are known
/// only when the next block begins or an interrupt arrives. Until then blocks_left is 1, so that
/// the next block calls is_block_due().
struct string_run {
    std::uint64_t count = 0; ///< initial repeat count; 0: no instruction in progress
    std::uint64_t to = 0;    ///< address of its first store
    std::uint64_t mask = 0;  ///< significant bits of RCX and RDI
    unsigned cpu = 0;
    cell_accessor who = cell_accessor::host;
    std::uint64_t blocks_left = 0; ///< saved value, restored when it ends
};
[[gnu::tls_model("initial-exec")]] thread_local string_run running_string;

[[gnu::noinline]] void count_page(const hook_view &v, qemu_plugin_meminfo_t info,
                                  std::uint64_t vaddr)
{
    vcpu_measure &state = *v.state;
    state.filter.begin_lookup();
    const page_target t = target_of(info, vaddr);
    if (t.what != page_target::kind::ram) {
        count_unusual(state.cells, t);
        return;
    }
    cell_counter &counter =
        hook_measurement->counter_of(v.index, accessor_of(v.executed()), cell_level::store, t.spa);
    state.filter.remember(vaddr, &counter);
    bump(counter);
}

[[gnu::noinline]] void count_slowly(qemu_plugin_meminfo_t info, std::uint64_t vaddr)
{
    const hook_view &v = current_view();
    for_pages(info, vaddr, [&](std::uint64_t address) {
        if (cell_counter *const *counter = v.state->filter.find(address)) {
            bump(**counter);
        } else {
            count_page(v, info, address);
        }
    });
}

void on_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    const hook_view &v = this_hook_view;
    if (v.is_current()) [[likely]] {
        cell_counter *const *counter = v.state->filter.find(vaddr);
        if (counter != nullptr && is_in_one_page(vaddr)) [[likely]] {
            bump(**counter);
            return;
        }
    }
    count_slowly(info, vaddr);
}

// Sampling. Each block that may store decrements a counter with a random start value. When it
// reaches zero, the vCPU leaves the block before its first instruction and executes it again in a
// second translation, whose stores are recorded. vcpu::mark_next_block() makes QEMU keep the two
// translations apart. (The plugin API's inline operations and conditional callbacks would not be
// faster, and in QEMU 11.1 they corrupt a block's constants when several vCPUs share a thread.)

[[gnu::noinline]] void draw_block(std::uintptr_t ra)
{
    const hook_view &v = current_view();
    blocks_left = v.state->intervals.next(the_mode.interval);
    const vcpu cpu = v.executed();
    cpu.synchronise(ra);
    cpu.mark_next_block(true);
    vcpu::continue_at(cpu.rip());
}

void on_drawn_block(unsigned, void *)
{
    const hook_view &v = current_view();
    const vcpu cpu = v.executed();
    cpu.mark_next_block(false);
    v.state->close_block(the_mode.interval);
    v.state->block.who = accessor_of(cpu);
}

/// Records a sampled store to the page at `t`.
void look_at_page(vcpu_measure &state, unsigned thread, const page_target &t)
{
    if (t.what != page_target::kind::ram) {
        count_unusual(state.cells, t, the_mode.interval);
        return;
    }
    auto &block = state.block;
    const cell_outcome outcome = hook_measurement->outcome_of(thread, block.who, t.spa);
    bump(state.cells.at(static_cast<unsigned>(t.spa / hw::region_1g), block.who, cell_level::store,
                        outcome),
         the_mode.interval);
    ++block.stores;
    block.relevant += outcome == cell_outcome::off ? 0 : 1;
    block.skipped += outcome == cell_outcome::skipped ? 1 : 0;
}

void look_at_store(const hook_view &v, qemu_plugin_meminfo_t info, std::uint64_t vaddr)
{
    for_pages(info, vaddr, [&](std::uint64_t address) {
        look_at_page(*v.state, v.index, target_of(info, address));
    });
}

void on_drawn_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    look_at_store(current_view(), info, vaddr);
}

// A repeated string instruction makes all its stores in one block, millions of them at times.
// Sampled as part of a block, one such instruction would dominate the result. So its stores are
// sampled one by one, and without a callback each: the address of a sampled store is computed
// afterwards and translated by the page tables.

template <class F> void as_block_of_its_own(vcpu_measure &state, cell_accessor who, F look)
{
    state.close_block(the_mode.interval);
    state.block.who = who;
    look();
    state.close_block(the_mode.interval);
}

/// The page of a store that the vCPU has just made to `va`.
page_target target_by_tables(const vcpu &cpu, cell_accessor who, std::uint64_t va)
{
    const auto path =
        accessor_of(cpu) == who ? cpu.find_page(hook_measurement->memory(), va) : std::nullopt;
    return !path.has_value()                     ? page_target{}
           : hook_measurement->is_ram(path->spa) ? page_target{page_target::kind::ram, path->spa}
                                                 : page_target{page_target::kind::device, 0};
}

void look_at_string_store(const string_run &run, std::uint64_t va, std::uint64_t bytes)
{
    const vcpu cpu = vcpu::by_index(run.cpu);
    vcpu_measure &state = hook_measurement->vcpu(run.cpu);
    as_block_of_its_own(state, run.who, [&] {
        for_pages(va, bytes, [&](std::uint64_t address) {
            look_at_page(state, run.cpu, target_by_tables(cpu, run.who, address & run.mask));
        });
    });
}

/// Samples the stores of the instruction in progress, which has made `made` of them.
void end_string(std::uint64_t made)
{
    const string_run run = std::exchange(running_string, {});
    blocks_left = run.blocks_left;
    if (made == 0 || made > run.count) { // a reset has come in between
        return;
    }
    const vcpu cpu = vcpu::by_index(run.cpu);
    const auto moved = static_cast<std::int64_t>(cpu.reg(rdi) - run.to);
    const std::int64_t step = moved / static_cast<std::int64_t>(made);
    const auto bytes = static_cast<std::uint64_t>(step < 0 ? -step : step);
    std::uint64_t position = 0; // number of stores passed so far
    while (string_stores_left <= made - position) {
        position += string_stores_left;
        const std::uint64_t back = (made - position + 1) * static_cast<std::uint64_t>(step);
        look_at_string_store(run, (cpu.reg(rdi) - back) & run.mask, bytes);
        string_stores_left = hook_measurement->vcpu(run.cpu).intervals.next(the_mode.interval);
    }
    string_stores_left -= made - position;
}

/// The same, with the number of stores taken from RCX. Must be called before the vCPU executes
/// another instruction.
void end_string()
{
    const vcpu cpu = vcpu::by_index(running_string.cpu);
    end_string(running_string.count - (cpu.reg(rcx) & running_string.mask));
}

/// Called before the instruction. `mask`: the significant bits of its RCX and RDI.
void on_string(unsigned, void *mask)
{
    const hook_view &v = current_view();
    if (running_string.count != 0) {
        end_string(running_string.count); // no block or interrupt came between: it ran to its end
    }
    const vcpu cpu = v.executed();
    const std::uint64_t bits = reinterpret_cast<std::uintptr_t>(mask);
    const std::uint64_t count = cpu.reg(rcx) & bits;
    if (count != 0) {
        running_string = {.count = count,
                          .to = cpu.reg(rdi) & bits,
                          .mask = bits,
                          .cpu = v.index,
                          .who = accessor_of(cpu),
                          .blocks_left = blocks_left};
        blocks_left = 1;
    }
}

/// In 16-bit and 32-bit code, where RDI is not the linear address, each store has a callback.
void on_string_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    if (--string_stores_left != 0) [[likely]] {
        return;
    }
    const hook_view &v = current_view();
    string_stores_left = v.state->intervals.next(the_mode.interval);
    as_block_of_its_own(*v.state, accessor_of(v.executed()),
                        [&] { look_at_store(v, info, vaddr); });
}

/// Called when blocks_left reaches 0. True when the current block is to be sampled; otherwise the
/// counter was at 0 only because a string instruction was in progress.
[[gnu::noinline]] bool is_block_due()
{
    if (running_string.count == 0) {
        return true;
    }
    end_string();
    return --blocks_left == 0;
}

void on_block(unsigned, void *)
{
    if (--blocks_left == 0 && is_block_due()) [[unlikely]] {
        draw_block(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)));
    }
}

/// For a block that QEMU may execute with all other vCPUs stopped, because its only instruction is
/// locked. Leaving such a block early would lose the guest's flags, so the next block is sampled
/// instead.
void on_locked_block(unsigned, void *)
{
    if (--blocks_left == 0 && is_block_due()) [[unlikely]] {
        blocks_left = 1;
    }
}

void on_unexpected(unsigned, qemu_plugin_meminfo_t, std::uint64_t vaddr, void *)
{
    refuse(formatted("a block that was expected to make no access accessed {:#x}; please report "
                     "this",
                     vaddr));
}

bool is_locked_alone(qemu_plugin_tb *tb)
{
    return qemu_plugin_tb_n_insns(tb) == 1 &&
           is_locked(insn_bytes(qemu_plugin_tb_get_insn(tb, 0)).used());
}

void watch_stores(qemu_plugin_insn *insn, qemu_plugin_vcpu_mem_cb_t callback)
{
    qemu_plugin_register_vcpu_mem_cb(insn, callback, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                     nullptr);
}

void instrument_sampled(qemu_plugin_tb *tb)
{
    const bool drawn = vcpu::current().is_next_block_marked();
    if (drawn) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_drawn_block, QEMU_PLUGIN_CB_NO_REGS, nullptr);
    } else {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, is_locked_alone(tb) ? on_locked_block : on_block,
                                             QEMU_PLUGIN_CB_RW_REGS_PC, nullptr);
    }
    for_insns(tb, [drawn](qemu_plugin_insn *insn) {
        const string_store kind = match_string_store(insn_bytes(insn).used());
        if (kind == string_store::none) {
            if (drawn) {
                watch_stores(insn, on_drawn_store);
            }
        } else if (!vcpu::current().code_64()) {
            watch_stores(insn, on_string_store);
        } else {
            const std::uint64_t mask = kind == string_store::full_count ? ~0ull : ~0u;
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_string, QEMU_PLUGIN_CB_RW_REGS_PC,
                                                   reinterpret_cast<void *>(mask));
        }
    });
}

} // namespace

void store_hooks::start(measurement &m)
{
    hook_measurement = &m;
}

void store_hooks::instrument(qemu_plugin_tb *tb)
{
    switch (the_mode.mode) {
    case measure_mode::off:
        break;
    case measure_mode::exact:
        if (models_tlb()) {
            tlb_hooks::instrument(tb);
        } else {
            for_insns(tb, [](qemu_plugin_insn *insn) { watch_stores(insn, on_store); });
        }
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

watched_accesses store_hooks::watched()
{
    return the_mode.mode == measure_mode::off ? watched_accesses::none
           : models_tlb()                     ? watched_accesses::all
                                              : watched_accesses::stores;
}

bool store_hooks::must_see(const vcpu &cpu, std::span<const std::uint8_t> page, std::size_t offset)
{
    return the_mode.mode == measure_mode::sampled &&
           (cpu.is_next_block_marked() || may_follow_string_or_guest(page, offset));
}

void store_hooks::expect_none(qemu_plugin_tb *tb)
{
    const int kinds = models_tlb() ? QEMU_PLUGIN_MEM_RW : QEMU_PLUGIN_MEM_W;
    if (watched() != watched_accesses::none) {
        for_insns(tb, [kinds](qemu_plugin_insn *insn) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_unexpected, QEMU_PLUGIN_CB_NO_REGS,
                                             static_cast<qemu_plugin_mem_rw>(kinds), nullptr);
        });
    }
}

void store_hooks::delivered(const vcpu &cpu)
{
    if (running_string.count != 0 && running_string.cpu == cpu.index()) {
        end_string();
    }
}

bool store_hooks::models_tlb()
{
    return the_mode.mode == measure_mode::exact && the_mode.tlb;
}

void store_hooks::end_phase()
{
    current_view().state->close_block(the_mode.interval);
}

void store_hooks::translated(const vcpu &cpu, std::uint64_t address)
{
    if (the_mode.mode != measure_mode::exact) { // the other modes cache nothing by page
        return;
    }
    vcpu_measure &state = hook_measurement->vcpu(cpu.index());
    const cell_accessor who = accessor_of(cpu);
    if (std::exchange(state.filtered, who) != who) {
        state.forget_all();
    } else {
        state.forget(address);
    }
}

} // namespace rmpopt
