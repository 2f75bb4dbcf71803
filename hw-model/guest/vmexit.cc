// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmexit.h"

#include "hw-model/base/x86_bits.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace rmpopt::hw
{

namespace
{

/// Codes that differ by a number only, such as that of the register.
struct exit_family {
    std::uint64_t first, count;
    std::string_view before, after;
};
constexpr std::array families{
    exit_family{0x00, 16, "CR", "_READ"}, exit_family{0x10, 16, "CR", "_WRITE"},
    exit_family{0x20, 16, "DR", "_READ"}, exit_family{0x30, 16, "DR", "_WRITE"},
    exit_family{0x40, 32, "EXCP", ""},    exit_family{0x90, 16, "CR", "_WRITE_TRAP"},
};

constexpr std::array<std::string_view, 0x30> from_60{
    {"INTR",        "NMI",        "SMI",
     "INIT",        "VINTR",      "CR0_SEL_WRITE",
     "IDTR_READ",   "GDTR_READ",  "LDTR_READ",
     "TR_READ",     "IDTR_WRITE", "GDTR_WRITE",
     "LDTR_WRITE",  "TR_WRITE",   "RDTSC",
     "RDPMC",       "PUSHF",      "POPF",
     "CPUID",       "RSM",        "IRET",
     "SWINT",       "INVD",       "PAUSE",
     "HLT",         "INVLPG",     "INVLPGA",
     "IOIO",        "MSR",        "TASK_SWITCH",
     "FERR_FREEZE", "SHUTDOWN",   "VMRUN",
     "VMMCALL",     "VMLOAD",     "VMSAVE",
     "STGI",        "CLGI",       "SKINIT",
     "RDTSCP",      "ICEBP",      "WBINVD",
     "MONITOR",     "MWAIT",      "MWAIT_CONDITIONAL",
     "XSETBV",      "RDPRU",      "EFER_WRITE_TRAP"}};
constexpr std::array<std::string_view, 7> from_a0{
    {"INVLPGB", "INVLPGB_ILLEGAL", "INVPCID", "MCOMMIT", "TLBSYNC", "BUSLOCK", "IDLE_HLT"}};
constexpr std::array<std::string_view, 5> from_400{
    {"NPF", "AVIC_INCOMPLETE_IPI", "AVIC_NOACCEL", "VMGEXIT", "PAGE_NOT_VALIDATED"}};
/// Of -1, -2, -3.
constexpr std::array<std::string_view, 3> failures{{"INVALID", "BUSY", "IDLE_REQUIRED"}};

template <std::size_t n>
std::string_view name_in(const std::array<std::string_view, n> &names, std::uint64_t index)
{
    return index < n ? names[index] : std::string_view{};
}

} // namespace

std::string hexadecimal(std::uint64_t value)
{
    std::array<char, 19> text{};
    std::snprintf(text.data(), text.size(), "%#llx", static_cast<unsigned long long>(value));
    return text.data();
}

std::string exit_name(std::uint64_t code)
{
    const auto *const family = std::ranges::find_if(
        families, [&](const exit_family &f) { return code - f.first < f.count; });
    if (family != families.end()) {
        return std::string(family->before) + std::to_string(code - family->first) +
               std::string(family->after);
    }
    for (const std::string_view name :
         {name_in(from_60, code - 0x60), name_in(from_a0, code - 0xa0),
          name_in(from_400, code - 0x400), name_in(failures, ~code)}) {
        if (!name.empty()) {
            return std::string(name);
        }
    }
    return hexadecimal(code);
}

exit_class class_of_exit(std::uint64_t code, std::uint64_t info1)
{
    switch (code) {
    case exit_code::machine_check:
    case exit_code::interrupt:
    case exit_code::nmi:
    case exit_code::init:
    case exit_code::virtual_interrupt:
    case exit_code::pause:
    case exit_code::hlt:
    case exit_code::shutdown:
    case exit_code::efer_write_trap:
    case exit_code::bus_lock:
    case exit_code::idle_hlt:
    case exit_code::vmgexit:
        return exit_class::automatic;
    case exit_code::nested_page_fault:
        return (info1 & pf_reserved) != 0 ? exit_class::vmm_communication : exit_class::automatic;
    default:
        break;
    }
    const bool is_trap = code >= exit_code::cr0_write_trap && code <= exit_code::cr15_write_trap;
    return is_trap || code >= exit_code::first_failure ? exit_class::automatic
                                                       : exit_class::vmm_communication;
}

} // namespace rmpopt::hw
