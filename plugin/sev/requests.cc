// SPDX-License-Identifier: GPL-2.0-or-later
// What guests do to their pages, as far as the listener wants to know, and what they ask of their
// hypervisor at VMGEXIT. Nothing here changes the machine.
#include "enforce/state.h"
#include "events/listener.h"
#include "hw-model/guest/ghcb.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"
#include "x86/vmcb.h"

namespace rmpopt
{

namespace
{

std::optional<hw::spa_t> spa_of(const guest_paging &nested, std::uint64_t gpa)
{
    const auto path = find_guest_path(memory(), nested, gpa);
    return path.has_value() && path->spa != 0 ? std::optional(path->spa) : std::nullopt;
}

} // namespace

bool has_validated(const encrypted_guest &guest, std::uint64_t gpa, hw::spa_t spa)
{
    const hw::rmp_entry e = hw::rmp_owner(enforced.machine->rmp(), spa);
    return guest.identity.snp && e.assigned && e.validated && e.asid == guest.identity.asid &&
           e.gpa == hw::align_down(gpa, hw::page_4k);
}

void tell_page(const vcpu &cpu, guest_page_event::kind what, std::uint64_t gpa, hw::spa_t spa,
               std::uint64_t rip)
{
    enforced.heard->guest_page({.what = what,
                                .cpu = cpu.index(),
                                .asid = encrypted_guest_of(cpu).identity.asid,
                                .gpa = hw::align_down(gpa, hw::page_4k),
                                .spa = hw::align_down(spa, hw::page_4k),
                                .rip = rip});
}

void note_request(const vcpu &cpu)
{
    const encrypted_guest &guest = encrypted_guest_of(cpu);
    guest_paging nested = cpu.tables(memory());
    nested.guest = {}; // guest-physical addresses
    const auto where = [&](std::uint64_t gpa) { return spa_of(nested, gpa); };
    const auto request = hw::read_ghcb(memory(), load_word(guest.vmcb + vmcb_field::ghcb), where);
    if (!request.has_value()) {
        return;
    }
    guest_counters_of(cpu).requests.add(request->code);
    for (const hw::guest_pages &pages : hw::pages_to_share(memory(), *request, where)) {
        for (std::uint64_t i = 0; i < pages.count; ++i) {
            const std::uint64_t gpa = pages.gpa + i * hw::page_4k;
            const auto spa = where(gpa);
            if (spa.has_value() && has_validated(guest, gpa, *spa)) {
                tell_page(cpu, guest_page_event::kind::shared_request, gpa, *spa, cpu.rip());
            }
        }
    }
}

} // namespace rmpopt
