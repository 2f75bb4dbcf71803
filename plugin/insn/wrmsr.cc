// SPDX-License-Identifier: GPL-2.0-or-later
// WRMSR (0F 30) of the registers that the model holds. The first WRMSR of EFER.LME is also the
// moment when a BIOS would have been done and an operating system takes over.
#include "hw-model/machine/msr.h"
#include "insn/dispatch.h"
#include "x86/bits.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace rmpopt
{

namespace
{

constexpr std::uint32_t msr_efer = 0xc0000080;
constexpr std::uint32_t msr_lstar = 0xc0000082;

/// Of the registers on which RMP checks depend.
void tell_write(unsigned cpu, std::uint32_t index, std::uint64_t value)
{
    struct named {
        std::uint32_t index;
        std::string_view name;
    };
    constexpr std::array<named, 5> registers{{{hw::msr::syscfg, "SYSCFG"},
                                              {hw::msr::rmp_base, "RMP_BASE"},
                                              {hw::msr::rmp_end, "RMP_END"},
                                              {hw::msr::rmp_cfg, "RMP_CFG"},
                                              {hw::msr::rmpopt_base, "RMPOPT_BASE"}}};
    const auto *const found = std::ranges::find(registers, index, &named::index);
    if (found != registers.end()) {
        the_context->tell(
            "msr", {{"cpu", cpu}, {"msr", found->name}, {"value", fmt::format("{:#x}", value)}});
    }
}

/// False when the write is QEMU's to do.
bool write(const insn_event &event, std::uint32_t index, std::uint64_t value, bool &is_gp)
{
    hw::machine &m = the_context->machine();
    const bool snp_before = m.snp_enabled(event.cpu.index());
    hw::rmp_changes effects;
    const hw::msr_result r = hw::wrmsr(m, event.cpu.index(), index, value, effects);
    the_context->apply(effects);
    if (!snp_before && m.snp_enabled(event.cpu.index())) {
        the_context->drop_translations();
    }
    the_context->measuring().machine_changed();
    tell_write(event.cpu.index(), index, value);
    if (watch *watcher = the_context->watcher()) {
        watcher->wrmsr(place_of(event), index, value, r);
    }
    is_gp = r == hw::msr_result::gp0;
    if (is_gp) {
        hw::count(m.counters().msr_gp);
    }
    return r != hw::msr_result::pass;
}

} // namespace

void emulate_wrmsr(const insn_event &event)
{
    const auto index = static_cast<std::uint32_t>(event.reg(rcx));
    if (index == msr_efer && (event.reg(rax) & efer_lme) != 0) {
        the_context->enter_operating_system(static_cast<std::uint32_t>(event.reg(rsi)),
                                            static_cast<std::uint32_t>(event.reg(rbx)));
        return;
    }
    if (index == msr_lstar && event.cpu.long_mode() && event.cpu.cpl() == 0) {
        the_context->note_lstar(static_cast<std::uint32_t>(event.reg(rax)) | event.reg(rdx) << 32);
        return;
    }
    if (!hw::is_modelled_msr(index) || !event.cpu.long_mode() || event.cpu.in_guest()) {
        return;
    }
    if (event.cpu.cpl() != 0) {
        raise(event, hw::fault::gp0);
    }
    const std::uint64_t value = static_cast<std::uint32_t>(event.reg(rax)) | event.reg(rdx) << 32;
    bool is_gp = false;
    if (!write(event, index, value, is_gp)) {
        return;
    }
    if (is_gp) {
        raise(event, hw::fault::gp0);
    }
    complete(event);
}

} // namespace rmpopt
