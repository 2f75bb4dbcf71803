// SPDX-License-Identifier: GPL-2.0-or-later
#include "observers.h"

#include "base/format.h"
#include "base/log.h"
#include "hw-model/machine/audit.h"
#include "instrument/store_hooks.h"
#include "instrument/tlb_hooks.h"
#include "qemu/vcpu_stall.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace rmpopt
{

namespace
{

/// The limit of log lines of one kind, so that an endless failure does not fill the disk.
constexpr std::uint64_t most_lines = 100;

/// The name of an MSR on which RMP checks depend; nothing for any other.
std::optional<std::string_view> name_of(std::uint32_t msr)
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
    const auto *const found = std::ranges::find(registers, msr, &named::index);
    return found == registers.end() ? std::nullopt : std::optional(found->name);
}

std::string hex(std::uint64_t value)
{
    return formatted("{:#x}", value);
}

} // namespace

observers::observers(std::function<std::uint64_t()> clock)
    : clock_(std::move(clock)),
      firmware_events_([this](std::string_view type, const nlohmann::ordered_json &fields) {
          tell(type, fields);
      })
{
}

void observers::start(const settings &s)
{
    settings_ = s;
    measurement_ = std::make_unique<measurement>(measurement::settings{
        .machine = s.machine,
        .tlb = s.tlb,
        .clock = [this] { return guest_now(); },
        .event = [this](std::string_view type,
                        const nlohmann::ordered_json &fields) { tell(type, fields); },
        .is_over = s.is_over,
    });
    if (s.watches) {
        start_watch(s);
    }
}

void observers::start_watch(const settings &s)
{
    watch_ = std::make_unique<watch>(watch::settings{
        .machine = s.machine,
        .clock = [this] { return guest_now(); },
        .bound = s.watch_bound,
        .on_new =
            [this](const finding &f) {
                log("watch: {}", to_line(f));
                const finding_info &info = *f.kind;
                tell("finding",
                     {{"id", info.id}, {"severity", severity_name(info.level)}, {"what", f.what}});
            },
        .mapped_by_kernel = s.mapped_by_kernel,
    });
}

void observers::schedule_event(happening what, unsigned cpu,
                               const std::array<std::uint64_t, 3> &operands)
{
    if (keeps_schedule() && !settings_.is_over()) {
        const std::uint64_t now = clock_();
        schedule_.add({now, what, cpu, operands});
        last_scheduled_ns_ = now;
    }
}

void observers::rmpopt(const place &where, hw::spa_t rax, std::uint64_t rcx,
                       const hw::rmpopt_result &r)
{
    schedule_event(happening::instruction, *where.cpu, {rax, rcx, r.cf ? 1u : 0u});
    measurement_->rmpopt(*where.cpu, r);
    if (watch_ != nullptr) {
        watch_->rmpopt(where, rax, rcx, r);
    }
    if (r.exception == hw::fault::none) {
        look_at_region(rax);
    }
    reach(stall_site::rmpopt, *where.cpu);
}

void observers::rmpupdate(const place &where, hw::spa_t spa, const hw::rmp_record &record,
                          hw::rmp_status status)
{
    schedule_event(happening::instruction, *where.cpu, {spa, static_cast<unsigned>(status)});
    measurement_->rmpupdate(spa, status);
    if (status == hw::rmp_status::success) {
        measurement_->rmp_changed({spa, record.size_2m ? hw::page_2m : hw::page_4k});
    }
    if (watch_ != nullptr) {
        watch_->rmpupdate(where, spa, status);
    }
    look_at_region(spa);
    reach(stall_site::rmpupdate, *where.cpu);
}

void observers::psmash(const place &where, hw::spa_t spa, hw::rmp_status status)
{
    schedule_event(happening::instruction, *where.cpu, {spa, static_cast<unsigned>(status)});
    measurement_->psmash(spa, status);
    if (status == hw::rmp_status::success) {
        measurement_->rmp_changed({spa, hw::page_2m});
    }
    if (watch_ != nullptr) {
        watch_->psmash(where, spa, status);
    }
    look_at_region(spa);
    reach(stall_site::psmash, *where.cpu);
}

void observers::rdmsr(const place &where, std::uint32_t index, hw::msr_result r)
{
    schedule_event(happening::instruction, *where.cpu, {index, static_cast<unsigned>(r)});
    if (r == hw::msr_result::gp0) {
        hw::count(settings_.machine->counters().msr_gp);
    }
    if (watch_ != nullptr) {
        watch_->rdmsr(index);
    }
}

void observers::wrmsr(const place &where, std::uint32_t index, std::uint64_t value,
                      hw::msr_result r, const hw::rmp_changes &changes)
{
    schedule_event(happening::instruction, *where.cpu, {index, value, static_cast<unsigned>(r)});
    if (index == msr_lstar) {
        lstar_.store(value, std::memory_order_relaxed);
        if (settings_.points != nullptr) {
            settings_.points->set_entry(value);
        }
        return;
    }
    if (r == hw::msr_result::gp0) {
        hw::count(settings_.machine->counters().msr_gp);
    }
    measurement_->machine_changed();
    if (const auto name = name_of(index)) {
        tell("msr", {{"cpu", *where.cpu}, {"msr", *name}, {"value", hex(value)}});
    }
    if (watch_ != nullptr) {
        if (!changes.ranges().empty()) {
            watch_->rmp_changed(changes);
        }
        watch_->wrmsr(where, index, value, r);
    }
    if (settings_.points != nullptr && settings_.machine->snp_enabled(*where.cpu)) {
        settings_.points->snp_is_on();
    }
    reach(stall_site::wrmsr, *where.cpu);
}

void observers::vmrun(const vmrun_event &e)
{
    static std::atomic<std::uint64_t> failed{0};
    schedule_event(happening::instruction, e.cpu, {e.vmcb, e.asid});
    if (e.failed == nullptr) {
        measurement_->vcpu(e.cpu).guest =
            e.guest == hw::initiator::snp_guest ? cell_accessor::snp_guest : cell_accessor::guest;
        tlb_hooks::guest_starts(vcpu::by_index(e.cpu), e.asid, e.tlb_control);
    } else if (failed.fetch_add(1, std::memory_order_relaxed) < most_lines) {
        log("vCPU {}: VMRUN of the VMCB at {:#x} ends with VMEXIT_INVALID: {}", e.cpu, e.vmcb,
            e.failed);
    }
}

void observers::halted_for_good(unsigned cpu)
{
    if (watch_ != nullptr) {
        watch_->cpu_offline(cpu);
    }
}

void observers::cpu_started(unsigned cpu)
{
    schedule_event(happening::started, cpu);
    measurement_->machine_changed();
    measurement_->tlb_reset(cpu);
}

void observers::excepted(unsigned cpu, std::uint64_t rip)
{
    schedule_event(happening::exception, cpu, {rip});
}

void observers::interrupted(unsigned cpu, std::uint64_t rip)
{
    schedule_event(happening::exception, cpu, {rip});
    reach(stall_site::interrupt, cpu);
}

void observers::doorbell(unsigned cpu)
{
    reach(stall_site::doorbell, cpu);
}

void observers::reach(stall_site site, unsigned cpu)
{
    if (settings_.points == nullptr) {
        return;
    }
    if (const stall_time time = settings_.points->reach(site, cpu); time.ns != 0) {
        tell_stall({site, 0, cpu}, time);
        stall(vcpu::by_index(cpu), time.ns, time.until_idle);
    }
}

bool observers::takes_interrupt(unsigned cpu)
{
    if (settings_.points == nullptr) {
        return true;
    }
    const stall_time time = settings_.points->reach(stall_site::pending, cpu);
    if (time.ns != 0) {
        tell_stall({stall_site::pending, 0, cpu}, time);
        hold_interrupts(vcpu::by_index(cpu), time.ns, time.until_idle);
    }
    return time.ns == 0;
}

stall_time observers::reach_code(std::uint64_t address, unsigned cpu)
{
    const stall_time time = settings_.points->reach_code(address, cpu);
    if (time.ns != 0) {
        tell_stall({stall_site::code, static_cast<std::int64_t>(address - lstar_), cpu}, time);
    }
    return time;
}

void observers::tell_stall(const stall_point &where, const stall_time &time)
{
    tell("stall", {{"cpu", where.cpu},
                   {"site", site_text(where)},
                   {"ns", time.ns},
                   {"until_idle", time.until_idle}});
}

void observers::denied(const place &where, const denied_access &access)
{
    hw::counter_set::counter &faults = settings_.machine->counters().rmp_faults;
    if (faults.fetch_add(1, std::memory_order_relaxed) < most_lines) {
        log("vCPU {}: RMP fault, RIP {:#x}, address {:#x}, error code {:#x}: {}", *where.cpu,
            where.rip().value_or(0), access.address, access.code,
            hw::rule_name(access.verdict.rule));
    }
    if (watch_ != nullptr && access.verdict.outcome == hw::rmp_outcome::page_fault) {
        watch_->write_refused(where, access.spa, access.verdict.rule);
    }
}

void observers::guest_page(const guest_page_event &e)
{
    if (watch_ != nullptr) {
        watch_->guest_page(e);
    }
}

void observers::dma_blocked(hw::spa_t spa)
{
    hw::counter_set::counter &blocked = settings_.machine->counters().dma_blocked;
    if (blocked.fetch_add(1, std::memory_order_relaxed) < most_lines) {
        log("IOMMU: RMP_PAGE_FAULT: a device's write to system address {:#x} is blocked", spa);
    }
}

void observers::phase(std::string_view name)
{
    store_hooks::end_phase();
    measurement_->mark(name);
}

bool observers::awaits_finding() const
{
    return watch_ != nullptr && !watch_->awaited().empty();
}

void observers::command(std::uint16_t command, const hw::firmware_result &result)
{
    schedule_event(happening::command, 0, {command, result.status});
    measurement_->machine_changed();
    for (const hw::rmp_change &r : result.rmp_changes.ranges()) {
        measurement_->rmp_changed({r.base, r.bytes});
    }
    firmware_events_.executed(command, result);
    measurement_->guests(firmware_events_.launched(), firmware_events_.ended());
    if (watch_ != nullptr) {
        watch_->command(command, result);
    }
}

void observers::firmware_reset(const hw::firmware_result &result)
{
    schedule_event(happening::reset, 0);
    measurement_->machine_changed();
    firmware_events_.reset(result);
    measurement_->guests(firmware_events_.launched(), firmware_events_.ended());
    if (watch_ != nullptr) {
        watch_->firmware_reset(result);
    }
}

/// The audit. It holds the RMP lock while it looks, and releases the lock before it reports a
/// finding, because the last report takes locks that come before the RMP lock.
void observers::look_at_region(hw::spa_t spa)
{
    if (settings_.audit == 0 ||
        (since_audit_.fetch_add(1, std::memory_order_relaxed) + 1) % settings_.audit != 0) {
        return;
    }
    std::vector<std::string> findings;
    {
        const std::scoped_lock lock(settings_.machine->rmp_lock());
        hw::count(settings_.machine->counters().audits);
        findings = hw::audit_region(*settings_.machine, spa);
    }
    if (!findings.empty()) {
        refuse("audit: " + findings.front());
    }
}

void observers::booted()
{
    measurement_->clock_restarts();
    boot_started_ns_ = clock_();
    tell("boot", nlohmann::ordered_json::object());
}

void observers::reset()
{
    schedule_event(happening::reset, 0);
    if (watch_ != nullptr) {
        watch_->reset();
    }
    measurement_->machine_changed();
    for (unsigned thread = 0; thread < settings_.machine->cpus().threads(); ++thread) {
        measurement_->tlb_reset(thread);
    }
    tell("reset", nlohmann::ordered_json::object());
}

void observers::tell(std::string_view type, const nlohmann::ordered_json &fields)
{
    if (!keeps_schedule() || !settings_.is_over()) {
        events_.add(guest_now(), type, fields);
    }
}

void observers::tick()
{
    if (watch_ != nullptr) {
        watch_->tick();
    }
    firmware_events_.flush();
    measurement_->tick();
    if (!events_.write_file()) {
        log("the file of events cannot be written any more: {}", std::strerror(errno));
    }
}

void observers::guest_ends()
{
    store_hooks::end_phase();
    measurement_->tick();
}

void observers::finish()
{
    firmware_events_.flush();
    measurement_->tick();
    // Of the end itself, the guest's last sign of life is the last thing that is the same each
    // time.
    events_.add(keeps_schedule() ? since_boot(last_scheduled_ns_) : guest_now(), "end",
                nlohmann::ordered_json::object());
    tick();
    if (!schedule_.finish_file()) {
        log("the file of the schedule is incomplete: {}", std::strerror(errno));
    }
}

guest_time observers::guest_now() const
{
    return since_boot(clock_());
}

guest_time observers::since_boot(std::uint64_t ns) const
{
    const std::uint64_t started = boot_started_ns_;
    return started != 0 && ns > started ? ns - started : 0;
}

void observers::add_to(report_snapshot &s) const
{
    s.watcher = watch_.get();
    s.measure = measurement_->report();
    s.lstar = lstar_;
    if (settings_.points != nullptr) {
        s.points = settings_.points->counts();
    }
    if (keeps_schedule()) {
        s.schedule = schedule_.so_far();
    }
}

} // namespace rmpopt
