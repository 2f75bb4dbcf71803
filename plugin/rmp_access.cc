// SPDX-License-Identifier: GPL-2.0-or-later
#include "rmp_access.h"

#include "context.h"
#include "rmp_fault.h"
#include "svm_guest.h"

namespace rmpopt
{

namespace
{

std::optional<hw::spa_t> spa_of(const void *host)
{
    return the_context->ram().spa_of(host);
}

hw::rmp_verdict verdict_of(const host_cpu &cpu, hw::spa_t spa)
{
    return hw::rmp_check(the_context->machine(), cpu.index(),
                         {.who = cpu.in_guest() ? hw::accessor::nonsnp_guest : hw::accessor::host,
                          .kind = hw::rmp_access_kind::write,
                          .spa = spa});
}

bool may_write(const translation &t)
{
    return !is_write_forbidden(t.cpu, t.spa);
}

[[noreturn]] void refuse_write(const translation &t, std::uintptr_t ra)
{
    if (t.cpu.in_guest()) {
        deliver_nested_fault(t, hw::rmp_error::rmp | hw::rmp_error::final_access, ra);
    }
    deliver_rmp_fault(t.cpu, t.address, pf_write | (t.user ? pf_user : 0), ra);
}

void started(const host_cpu &cpu)
{
    the_context->machine().init_thread(cpu.index());
}

std::uint32_t code_of(const translation &t)
{
    switch (t.kind) {
    case translation::access::write:
        return pf_write;
    case translation::access::fetch:
        return pf_fetch;
    case translation::access::read:
        break;
    }
    return 0;
}

} // namespace

translation_rules rmp_translation_rules()
{
    return {.spa_of = spa_of, .may_write = may_write, .refuse = refuse_write, .started = started};
}

bool is_write_forbidden(const host_cpu &cpu, hw::spa_t spa)
{
    return verdict_of(cpu, spa).outcome != hw::rmp_outcome::allowed;
}

void refuse_walk(const translation &access, hw::spa_t table, std::uintptr_t ra)
{
    if (access.cpu.in_guest()) {
        deliver_nested_walk_fault(access, table, ra);
    }
    deliver_rmp_fault(access.cpu, access.address, code_of(access) | (access.user ? pf_user : 0),
                      ra);
}

} // namespace rmpopt
