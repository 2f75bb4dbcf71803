// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/write_check.h"

#include "emulation.h"
#include "enforce/fault.h"
#include "enforce/svm_guest.h"
#include "instrument/store_hooks.h"

namespace rmpopt
{

namespace
{

std::optional<hw::spa_t> spa_of(const void *host)
{
    return the_context->ram().spa_of(host);
}

bool is_forbidden(const vcpu &cpu, hw::spa_t spa, bool large_mapping)
{
    const hw::rmp_access access{.who = cpu.in_guest() ? hw::initiator::nonsnp_guest
                                                      : hw::initiator::host,
                                .kind = hw::rmp_access_kind::write,
                                .spa = spa,
                                .large_mapping = large_mapping};
    return hw::rmp_check(the_context->machine(), cpu.index(), access).outcome !=
           hw::rmp_outcome::allowed;
}

/// The page tables map `address` with a page of 2 MB or more.
bool is_mapped_large(const vcpu &cpu, std::uint64_t address)
{
    const auto path = cpu.find_page(the_context->machine().memory(), address);
    return path.has_value() && path->page_bytes >= hw::page_2m;
}

/// SNP_EN of the core; when it gets set, translations are dropped.
bool restricts(const vcpu &cpu)
{
    return the_context->machine().snp_enabled(cpu.index());
}

bool may_write(const translation &t)
{
    const bool large =
        the_context->is_strict() && !t.cpu.in_guest() && is_mapped_large(t.cpu, t.address);
    return !is_forbidden(t.cpu, t.spa, large);
}

void started(const vcpu &cpu)
{
    the_context->machine().init_thread(cpu.index());
    the_context->measuring().machine_changed();
    the_context->measuring().tlb_reset(cpu.index());
}

/// Error code bits of a page walk that could not update its table (policy walk-fault).
std::uint32_t code_of_walk(const translation &t, hw::spa_t table)
{
    const bool is_write = hw::reported_as_write(
        the_context->machine(),
        {.who = hw::initiator::host, .kind = hw::rmp_access_kind::walk_write, .spa = table},
        t.kind == translation::access::write);
    return (is_write ? pf_write : 0) | (t.kind == translation::access::fetch ? pf_fetch : 0) |
           (t.user ? pf_user : 0);
}

void delivered(const vcpu &cpu)
{
    store_hooks::delivered(cpu);
    finish_rmp_fault(cpu);
}

} // namespace

translation_rules rmp_translation_rules(bool enforce)
{
    return {.spa_of = spa_of,
            .restricts = restricts,
            .may_write = enforce ? may_write : nullptr,
            .refuse = refuse_write,
            .started = started,
            .delivered = delivered,
            .interrupted = store_hooks::delivered,
            .translated = store_hooks::translated};
}

bool is_write_forbidden(const vcpu &cpu, hw::spa_t spa)
{
    return is_forbidden(cpu, spa, false);
}

void refuse_write(const translation &t, std::uintptr_t ra)
{
    if (t.cpu.in_guest()) {
        deliver_nested_fault(t, hw::rmp_error::rmp | hw::rmp_error::final_access, ra);
    }
    deliver_rmp_fault(t.cpu, t.address, pf_write | (t.user ? pf_user : 0), ra);
}

void refuse_walk(const translation &access, hw::spa_t table, std::uintptr_t ra)
{
    if (access.cpu.in_guest()) {
        deliver_nested_walk_fault(access, table, ra);
    }
    deliver_rmp_fault(access.cpu, access.address, code_of_walk(access, table), ra);
}

} // namespace rmpopt
