// SPDX-License-Identifier: GPL-2.0-or-later
#include "rmp_access.h"

#include "context.h"
#include "rmp_fault.h"

namespace rmpopt
{

namespace
{

std::optional<hw::spa_t> spa_of(const void *host)
{
    return the_context->ram().spa_of(host);
}

bool may_write(const translation &t)
{
    return !is_write_forbidden(t.cpu, t.spa);
}

[[noreturn]] void refuse_write(const translation &t, std::uintptr_t ra)
{
    deliver_rmp_fault(t.cpu, t.address, pf_write | (t.user ? pf_user : 0), ra);
}

void started(const host_cpu &) {}

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
    const hw::machine &m = the_context->machine();
    return m.snp_enabled(cpu.index()) && !m.rmp().load(spa).host_writable();
}

void refuse_walk(const translation &access, hw::spa_t, std::uintptr_t ra)
{
    deliver_rmp_fault(access.cpu, access.address, code_of(access) | (access.user ? pf_user : 0),
                      ra);
}

} // namespace rmpopt
