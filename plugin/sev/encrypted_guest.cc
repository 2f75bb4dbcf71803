// SPDX-License-Identifier: GPL-2.0-or-later
#include "sev/encrypted_guest.h"

#include "enforce/enforcement.h"
#include "enforce/state.h"
#include "x86/vmcb.h"

#include <algorithm>
#include <vector>

namespace rmpopt
{

namespace
{

/// By vCPU; each is used by its own thread alone.
std::vector<encrypted_guest> &guests()
{
    static auto &all = *new std::vector<encrypted_guest>(vcpu::all().size());
    return all;
}

} // namespace

const hw::memory_view &memory()
{
    return enforced.machine->memory();
}

std::uint64_t load_word(hw::spa_t spa)
{
    return memory().load<std::uint64_t>(spa).value_or(0);
}

encrypted_guest &encrypted_guest_of(const vcpu &cpu)
{
    return guests()[cpu.index()];
}

bool runs_encrypted_guest(const vcpu &cpu)
{
    return cpu.in_guest() && encrypted_guest_of(cpu).runs;
}

void add_encrypted_guest_rules(translation_rules &rules)
{
    guests();
    rules.translates = runs_encrypted_guest;
    rules.translate = translate_for_encrypted_guest;
    rules.leaves = leave_encrypted_guest;
}

void exit_encrypted_guest(const vcpu &cpu, std::uint64_t code, std::uint64_t info1,
                          std::uint64_t info2)
{
    memory().store(encrypted_guest_of(cpu).vmcb + vmcb_field::exit_info2, info2);
    cpu.exit_guest(code, info1, 0);
}

bool traps_write(const encrypted_guest &guest, std::uint64_t code)
{
    constexpr std::uint64_t first_of_vector = 0x80;
    const std::uint64_t vector = load_word(guest.vmcb + vmcb_field::write_traps);
    return guest.es && (vector >> (code - first_of_vector) & 1) != 0;
}

void drop_translations_of_guests()
{
    if (std::ranges::any_of(guests(), [](const encrypted_guest &g) { return g.runs.load(); })) {
        drop_translations();
    }
}

void forget_encrypted_guests()
{
    for (encrypted_guest &g : guests()) {
        g.runs = false;
    }
}

} // namespace rmpopt
