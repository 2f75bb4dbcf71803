// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/enforcement.h"

#include "enforce/sigbus.h"
#include "enforce/state.h"
#include "enforce/write_check.h"
#include "enforce/write_protect.h"
#include "qemu/tlb_fill.h"

#include <algorithm>
#include <chrono>
#include <future>
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

/// Protects pages once no vCPU holds a translation any more. Without the wait, a store that began
/// before and crosses into a page that has become protected would be half done.
struct late_protection {
    hw::rmp_changes changes;
    std::promise<void> done{};

    /// Runs while all vCPUs are stopped, and takes ownership of `data`.
    static void apply(void *data)
    {
        const std::unique_ptr<late_protection> self(static_cast<late_protection *>(data));
        protection.apply(self->changes);
        self->done.set_value();
    }
};

void take_away(const hw::rmp_changes &changes, const std::function<bool()> &given_up)
{
    constexpr std::chrono::milliseconds patience{20};
    auto *const late = new late_protection{.changes = changes};
    const std::future<void> done = late->done.get_future();
    tlb_fill::flush_then(late_protection::apply, late);
    // The caller must not report that the pages are taken before this, because from then on every
    // store to them must fault.
    while (!vcpu::on_vcpu_thread() && done.wait_for(patience) != std::future_status::ready) {
        if (given_up && given_up()) {
            return;
        }
    }
}

} // namespace

std::string install_checks(const enforcement_settings &s, const translator::rules &blocks,
                           std::uintptr_t ra)
{
    enforced = s;
    return tlb_fill::hook(rmp_translation_rules(enforces()), blocks, ra);
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
    return {};
}

void take_effect(const hw::rmp_changes &changes, const std::function<bool()> &given_up)
{
    if (!enforces() || changes.ranges().empty()) {
        return;
    }
    if (takes_away(changes)) {
        take_away(changes, given_up);
    } else {
        protection.apply(changes);
    }
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
