// SPDX-License-Identifier: GPL-2.0-or-later
#include "insn/translate.h"

#include "base/log.h"
#include "insn/dispatch.h"
#include "instrument/hook_view.h"
#include "instrument/store_hooks.h"
#include "qemu/insn_bytes.h"
#include "x86/plain_block.h"

namespace rmpopt
{

namespace
{

void (*before_first)(std::uintptr_t ra) = nullptr;

void on_first_instruction(unsigned, void *)
{
    before_first(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)));
}

/// True once the machine is complete. Blocks of the BIOS that QEMU translates earlier get callbacks
/// only for the instructions that are always emulated.
bool started()
{
    return emulation_environment() != nullptr;
}

/// Registers the callback of an instruction that the plugin emulates or observes. Returns true if
/// it is one.
bool look_at(qemu_plugin_insn *insn)
{
    const insn_bytes bytes(insn);
    const auto code = bytes.used();
    const auto callback = find_emulation(code);
    if (started()) {
        watch_code_point(insn);
    }
    // Before the emulation, which may leave the block.
    const bool drops = started() && watch_tlb_insn(insn, code);
    if (callback.function != nullptr) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, callback.function, QEMU_PLUGIN_CB_RW_REGS_PC,
                                               callback.data);
        return true;
    }
    if (!started()) {
        return false;
    }
    const bool tried = emulation_environment()->enforces && watch_split_store(insn, code);
    return drops || tried;
}

bool has_code_points(std::uint64_t pc)
{
    const stall_points *points = emulation_environment()->points;
    return points != nullptr && points->has_code_in_page(pc);
}

bool is_plain(const vcpu &cpu, std::uint64_t pc, std::span<const std::uint8_t> page)
{
    const std::size_t offset = pc % hw::page_4k;
    return started() && !has_code_points(pc) && !store_hooks::must_see(cpu, page, offset) &&
           is_plain_block({.code = page.subspan(offset),
                           .code_64 = cpu.code_64(),
                           .tries_stores = emulation_environment()->enforces,
                           .watched = store_hooks::watched()});
}

} // namespace

void before_first_instruction(void (*start)(std::uintptr_t ra))
{
    before_first = start;
}

void on_translate(qemu_plugin_tb *tb, void *)
{
    const std::size_t n = qemu_plugin_tb_n_insns(tb);
    if (!started() && n != 0) {
        // vCPU init callbacks come before the machine exists; the reset vector comes after.
        qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, 0), on_first_instruction,
                                               QEMU_PLUGIN_CB_RW_REGS_PC, nullptr);
    }
    const bool said_plain = translator::said_plain(tb);
    bool concerned = false;
    for_insns(tb, [&](qemu_plugin_insn *insn) { concerned = look_at(insn) || concerned; });
    if (said_plain) {
        if (concerned || translator::why_all_blocks().empty()) {
            refuse("a block of code was skipped although it has an instruction that the plugin "
                   "handles; please report this");
        }
        store_hooks::expect_none(tb);
    } else if (started()) {
        store_hooks::instrument(tb);
    }
}

translator::rules block_rules(bool audits)
{
    return {.is_plain = is_plain, .callback = on_translate, .audits = audits};
}

} // namespace rmpopt
