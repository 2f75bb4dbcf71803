// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/enforcement.h"

#include "enforce/conceal.h"
#include "enforce/sigbus.h"
#include "enforce/state.h"
#include "enforce/write_check.h"
#include "enforce/write_protect.h"

#include <algorithm>
#include <memory>

namespace rmpopt
{

enforcement_settings enforced;

namespace
{

write_protect protection;

bool enforces()
{
    return enforced.level != enforcement::off;
}

bool takes_away(const hw::rmp_changes &changes)
{
    return std::ranges::any_of(changes.ranges(),
                               [](const hw::rmp_change &r) { return !r.host_writable; });
}

bool were_looked_at(const hw::rmp_changes &changes)
{
    bool seen = false;
    for (const hw::rmp_change &r : changes.ranges()) {
        seen = was_looked_at({r.base, r.bytes}) || seen;
    }
    for (const hw::spa_range &r : changes.recoded()) {
        seen = was_looked_at(r) || seen;
    }
    return seen;
}

/// Protects pages once no vCPU holds a translation any more. Without the wait, a store that began
/// before and crosses into a page that has become protected would be half done.
///
/// Runs while all vCPUs are stopped, and takes ownership of `data`.
void protect_late(void *data)
{
    const std::unique_ptr<hw::rmp_changes> changes(static_cast<hw::rmp_changes *>(data));
    protection.apply(*changes);
}

} // namespace

std::string install_checks(const enforcement_settings &s, void (*extend)(translation_rules &),
                           const translator::rules &blocks, std::uintptr_t ra)
{
    enforced = s;
    translation_rules rules = rmp_translation_rules(enforces());
    extend(rules);
    return tlb_fill::hook(rules, blocks, ra);
}

std::string start_protection()
{
    if (!enforces()) {
        return {};
    }
    const std::string error = protection.start(*enforced.ram, *enforced.machine);
    if (!error.empty()) {
        return error + "; run with enforce=off";
    }
    install_guard_signal();
    return start_concealing();
}

void take_effect(const hw::rmp_changes &changes)
{
    if (!enforces() || changes.empty()) {
        return;
    }
    const bool looked_at = were_looked_at(changes);
    if (takes_away(changes)) {
        tlb_fill::flush_then(protect_late, new hw::rmp_changes(changes));
        return;
    }
    protection.apply(changes);
    if (looked_at) {
        drop_translations();
    }
}

void take_effect(const hw::spa_range &recoded)
{
    if (was_looked_at(recoded)) {
        drop_translations();
    }
}

void take_effect_now(const hw::rmp_changes &changes)
{
    if (!enforces() || changes.empty()) {
        return;
    }
    if (were_looked_at(changes) || takes_away(changes)) {
        tlb_fill::flush_now();
    }
    protection.apply(changes);
}

void drop_translations()
{
    if (enforces()) {
        tlb_fill::flush_then([](void *) {}, nullptr);
    }
}

void release_protection()
{
    protection.release_all();
}

std::uint64_t protection_changes()
{
    return protection.changes();
}

} // namespace rmpopt
