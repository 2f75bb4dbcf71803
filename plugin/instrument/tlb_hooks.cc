// SPDX-License-Identifier: GPL-2.0-or-later
#include "instrument/tlb_hooks.h"

#include "hw-model/base/x86_bits.h"
#include "instrument/hook_view.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

/// The translation of `va`, which QEMU resolved to `spa`, with its page size and global bit from
/// the page tables. A 4 KB page without paging, or if the tables have changed in the meantime.
tlb_translation walk_for(const vcpu &cpu, std::uint64_t va, hw::spa_t spa)
{
    const std::optional<guest_path> path = cpu.find_page(hook_measurement->memory(), va);
    tlb_translation t{.spa = spa, .page_bytes = hw::page_4k};
    if (path.has_value()) {
        for (const std::uint64_t bytes : {hw::page_2m, hw::region_1g}) {
            t.page_bytes = path->page_bytes >= bytes ? bytes : t.page_bytes;
        }
        t.global = path->global && (cpu.paging().cr4 & cr4_pge) != 0;
    }
    return t;
}

void select_space(vcpu_tlb &tlb, const vcpu &cpu)
{
    const paging_state p = cpu.paging();
    tlb.model.select(tlb_hooks::asid_of(cpu, tlb),
                     (p.cr4 & cr4_pcide) != 0 ? static_cast<std::uint16_t>(p.cr3 & cr3_pcid) : 0);
}

/// The TLB entry that an access to `va` uses, filled by a page walk on a miss.
tlb_entry &use_entry(vcpu_tlb &tlb, const vcpu &cpu, std::uint64_t va, hw::spa_t spa)
{
    select_space(tlb, cpu);
    tlb_entry *found = tlb.model.find(va, spa);
    return found != nullptr ? *found : tlb.model.fill(va, walk_for(cpu, va, spa));
}

[[gnu::noinline]] void load_page(const hook_view &v, vcpu_tlb &tlb, qemu_plugin_meminfo_t info,
                                 std::uint64_t va)
{
    tlb.loads.begin_lookup();
    tlb.model.apply_changes();
    const page_target t = target_of(info, va);
    if (t.what == page_target::kind::ram) {
        tlb_entry &e = use_entry(tlb, v.executed(), va, t.spa);
        tlb.loads.remember(va, {.entry = &e, .generation = e.generation, .stores = nullptr});
    }
}

[[gnu::noinline]] void store_page(const hook_view &v, vcpu_tlb &tlb, qemu_plugin_meminfo_t info,
                                  std::uint64_t va)
{
    tlb.stores.begin_lookup();
    tlb.model.apply_changes();
    const page_target t = target_of(info, va);
    if (t.what != page_target::kind::ram) {
        count_unusual(v.state->cells, t);
        return;
    }
    const vcpu cpu = v.executed();
    const cell_accessor who = accessor_of(cpu);
    cell_counter &stores = hook_measurement->counter_of(v.index, who, cell_level::store, t.spa);
    tlb_entry &e = use_entry(tlb, cpu, va, t.spa);
    if (tlb.model.check_write(e, va)) {
        bump(hook_measurement->counter_of(v.index, who, cell_level::fill, t.spa));
    }
    bump(stores);
    tlb.stores.remember(va, {.entry = &e, .generation = e.generation, .stores = &stores});
}

const tlb_hit *find_hit(const page_filter<tlb_hit> &filter, std::uint64_t va)
{
    const tlb_hit *hit = filter.find(va);
    return hit != nullptr && hit->holds() ? hit : nullptr;
}

vcpu_tlb &tlb_of(const hook_view &v)
{
    return *v.state->tlb.load(std::memory_order_relaxed);
}

[[gnu::noinline]] void load_slowly(qemu_plugin_meminfo_t info, std::uint64_t va)
{
    const hook_view &v = current_view();
    vcpu_tlb &tlb = tlb_of(v);
    for_pages(info, va, [&](std::uint64_t address) {
        if (const tlb_hit *hit = find_hit(tlb.loads, address)) {
            hit->entry->referenced = true;
        } else {
            load_page(v, tlb, info, address);
        }
    });
}

[[gnu::noinline]] void store_slowly(qemu_plugin_meminfo_t info, std::uint64_t va)
{
    const hook_view &v = current_view();
    vcpu_tlb &tlb = tlb_of(v);
    for_pages(info, va, [&](std::uint64_t address) {
        if (const tlb_hit *hit = find_hit(tlb.stores, address)) {
            hit->entry->referenced = true;
            bump(*hit->stores);
        } else {
            store_page(v, tlb, info, address);
        }
    });
}

void on_load(unsigned, qemu_plugin_meminfo_t info, std::uint64_t va, void *)
{
    const hook_view &v = this_hook_view;
    if (v.is_current()) [[likely]] {
        const tlb_hit *hit = find_hit(tlb_of(v).loads, va);
        if (hit != nullptr && is_in_one_page(va)) [[likely]] {
            hit->entry->referenced = true;
            return;
        }
    }
    load_slowly(info, va);
}

void on_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t va, void *)
{
    const hook_view &v = this_hook_view;
    if (v.is_current()) [[likely]] {
        const tlb_hit *hit = find_hit(tlb_of(v).stores, va);
        if (hit != nullptr && is_in_one_page(va)) [[likely]] {
            hit->entry->referenced = true;
            bump(*hit->stores);
            return;
        }
    }
    store_slowly(info, va);
}

} // namespace

void tlb_hooks::instrument(qemu_plugin_tb *tb)
{
    for_insns(tb, [](qemu_plugin_insn *insn) {
        qemu_plugin_register_vcpu_mem_cb(insn, on_load, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_R,
                                         nullptr);
        qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                         nullptr);
    });
}

std::uint16_t tlb_hooks::asid_of(const vcpu &cpu, const vcpu_tlb &tlb)
{
    return cpu.in_guest() ? tlb.guest_asid : 0;
}

vcpu_tlb *tlb_hooks::tlb_of(const vcpu &cpu)
{
    return hook_measurement->vcpu(cpu.index()).tlb.load(std::memory_order_relaxed);
}

void tlb_hooks::guest_starts(const vcpu &cpu, std::uint16_t asid, std::uint8_t tlb_control)
{
    enum : std::uint8_t { flush_everything = 1, flush_asid = 3, flush_asid_local = 7 };
    vcpu_tlb *tlb = tlb_of(cpu);
    if (tlb == nullptr) {
        return;
    }
    tlb->guest_asid = asid;
    if (tlb_control == flush_everything) {
        tlb->model.flush_all(tlb_flush::vmrun);
    } else if (tlb_control == flush_asid || tlb_control == flush_asid_local) {
        tlb->model.flush_asid(tlb_flush::vmrun, asid, tlb_control == flush_asid);
    }
    tlb->forget_all();
}

} // namespace rmpopt
