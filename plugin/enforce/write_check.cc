// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/write_check.h"

#include "enforce/conceal.h"
#include "enforce/fault.h"
#include "enforce/state.h"
#include "enforce/svm_guest.h"
#include "hw-model/base/x86_bits.h"
#include "instrument/store_hooks.h"

namespace rmpopt
{

namespace
{

/// The result of this thread's last check that failed. QEMU raises its fault before the thread
/// makes another check.
thread_local refusal last_refusal;

std::optional<hw::spa_t> spa_of(const void *host)
{
    return enforced.ram->spa_of(host);
}

void *host_of(hw::spa_t spa)
{
    return enforced.ram->qemu_address(spa, 1);
}

void *unprotected(void *host)
{
    return enforced.ram->hardware_address(host);
}

/// True when the page tables map `address` by a page of 2 MB or more.
bool is_mapped_large(const vcpu &cpu, std::uint64_t address)
{
    const auto path = cpu.find_page(enforced.machine->memory(), address);
    return path.has_value() && path->page_bytes >= hw::page_2m;
}

/// SNP_EN of the core. Setting it drops all translations, so the answer may be cached with them.
bool restricts(const vcpu &cpu)
{
    return enforced.machine->snp_enabled(cpu.index());
}

const refusal *forbids(const translation &t)
{
    const bool large = enforced.level == enforcement::strict && !t.cpu.in_guest() &&
                       is_mapped_large(t.cpu, t.address);
    const hw::rmp_verdict verdict = check_write(t.cpu, t.spa, hw::rmp_access_kind::write, large);
    if (verdict.outcome == hw::rmp_outcome::allowed) {
        return nullptr;
    }
    last_refusal = {verdict};
    return &last_refusal;
}

void started(const vcpu &cpu)
{
    enforced.machine->init_thread(cpu.index());
    enforced.heard->cpu_started(cpu.index());
}

/// The W, U and I/D bits of the error code. When a page walk's update was refused, the access
/// itself may have been a read; the policy walk-fault decides whether a write is reported.
std::uint32_t access_bits(const translation &t, const hw::rmp_access &a)
{
    const bool write =
        hw::reported_as_write(*enforced.machine, a, t.kind == translation::access::write);
    return (write ? pf_write : 0) | (t.kind == translation::access::fetch ? pf_fetch : 0) |
           (t.user ? pf_user : 0);
}

bool takes_interrupt(const vcpu &cpu)
{
    return enforced.heard->takes_interrupt(cpu.index());
}

void interrupted(const vcpu &cpu)
{
    store_hooks::delivered(cpu);
    enforced.heard->interrupted(cpu.index(), cpu.rip());
}

void delivered(const vcpu &cpu)
{
    store_hooks::delivered(cpu);
    enforced.heard->excepted(cpu.index(), cpu.rip());
    finish_page_fault(cpu);
}

} // namespace

translation_rules rmp_translation_rules(bool enforce)
{
    return {.spa_of = spa_of,
            .host_of = host_of,
            .unprotected = unprotected,
            .restricts = restricts,
            .forbids = enforce ? forbids : nullptr,
            .conceals = conceal,
            .refuse = refuse_write,
            .translates = nullptr,
            .translate = nullptr,
            .leaves = nullptr,
            .started = started,
            .delivered = delivered,
            .takes_interrupt = takes_interrupt,
            .interrupted = interrupted,
            .translated = store_hooks::translated};
}

hw::rmp_verdict check_write(const vcpu &cpu, hw::spa_t spa, hw::rmp_access_kind kind,
                            bool large_mapping)
{
    const hw::rmp_verdict verdict =
        hw::rmp_check(*enforced.machine, cpu.index(),
                      {.who = cpu.in_guest() ? hw::initiator::nonsnp_guest : hw::initiator::host,
                       .kind = kind,
                       .spa = spa,
                       .large_mapping = large_mapping});
    const bool has_ended = verdict.rule == hw::rmp_rule::page_in_use &&
                           !is_in_running_guest(hw::align_down(spa, hw::page_4k));
    return has_ended ? hw::rmp_verdict{.rule = hw::rmp_rule::passed, .checked = true} : verdict;
}

void refuse_write(const translation &t, const refusal &why, std::uintptr_t ra)
{
    if (why.verdict.outcome == hw::rmp_outcome::nested_page_fault) {
        deliver_nested_fault(t, why.verdict, ra);
    }
    deliver_page_fault(t.cpu,
                       {.address = t.address,
                        .spa = t.spa,
                        .verdict = why.verdict,
                        .code = access_bits(t, {.kind = hw::rmp_access_kind::write})},
                       ra);
}

void refuse_walk(const translation &t, hw::spa_t table, const refusal &why, std::uintptr_t ra)
{
    if (why.verdict.outcome == hw::rmp_outcome::nested_page_fault) {
        deliver_nested_walk_fault(t, table, why.verdict, ra);
    }
    deliver_page_fault(t.cpu,
                       {.address = t.address,
                        .spa = table,
                        .verdict = why.verdict,
                        .code = access_bits(t, {.kind = hw::rmp_access_kind::walk_write})},
                       ra);
}

} // namespace rmpopt
