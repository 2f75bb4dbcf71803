// SPDX-License-Identifier: GPL-2.0-or-later
#include "emulation.h"

#include "base/log.h"
#include "enforce/enforcement.h"
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"
#include "insn/translate.h"
#include "instrument/store_hooks.h"
#include "platform/boot.h"
#include "platform/cpus.h"
#include "probe.h"
#include "qemu/layout.h"
#include "qemu/machine.h"
#include "qemu/stale_code.h"
#include "qemu/tlb_fill.h"
#include "qemu/vcpu.h"
#include "qemu/vcpu_stall.h"
#include "qemu/vcpu_turns.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"
#include "x86/page_tables.h"

#include <array>
#include <chrono>
#include <utility>

namespace rmpopt
{

namespace
{

constexpr std::chrono::milliseconds tick_period{200};

void refuse_any(const std::string &error)
{
    if (!error.empty()) {
        refuse(error);
    }
}

} // namespace

emulation::emulation(options opt, unsigned vcpus)
    : options_(std::move(opt)), cpu_(options_.cpu()), vcpus_(vcpus), observers_(virtual_clock_ns)
{
}

std::string emulation::listen()
{
    std::string error;
    if (!options_.report.empty()) {
        before_refusal([this] { reporter_.write_now(); });
        error =
            reporter_.start(options_.report, [this](bool complete) { return snapshot(complete); });
    }
    if (error.empty() && !options_.events.empty()) {
        error = observers_.open_events(options_.events);
    }
    if (error.empty() && !options_.schedule.empty()) {
        error = options_.deterministic ? observers_.open_schedule(options_.schedule)
                                       : "schedule=PATH needs deterministic=on";
    }
    if (error.empty() && !options_.control.empty()) {
        error = control_.start(
            options_.control,
            [this](const nlohmann::json &request) { return control_command(target(), request); },
            observers_.events());
    }
    if (error.empty() && options_.deterministic && !clock_counts_instructions()) {
        error = "deterministic=on needs a clock that counts instructions; give QEMU "
                "-icount shift=3,sleep=off";
    }
    return error;
}

void emulation::offer_devices()
{
    secure_processor_.offer(options_.psp_latency);
}

void emulation::start_machine(std::uintptr_t ra)
{
    if (started()) {
        return;
    }
    // What tries QEMU may leave the function by longjmp, and the function is then called again.
    if (machine_ == nullptr) {
        vcpu::find_all();
        const std::string error = layout::try_facts(layout::fact::stage::cpu, ra);
        if (!error.empty() && !options_.probe.empty()) {
            end_probe(options_.probe, error);
        }
        refuse_any(error);
        make_machine();
    }
    start_checks(ra);
    start_parts();
    log("persona {} ({}), {} CPUs in {} cores, {} MiB of RAM", options_.persona->name,
        options_.persona->description, machine_->cpus().threads(), machine_->cpus().cores(),
        ram_.bytes() >> 20);
    if (const std::string why = translator::why_all_blocks(); !why.empty()) {
        log("all code is translated for plugins: {}", why);
    }
    started_.store(true, std::memory_order_release);
}

void emulation::make_machine()
{
    if (options_.probe.empty()) {
        refuse_any(check_cpu(cpu_));
    }
    guest_ram_block block;
    refuse_any(find_guest_ram(block));
    refuse_any(ram_.map(block));
    machine_ = std::make_unique<hw::machine>(hw::machine::settings{
        .cpu = &cpu_,
        .choices = options_.policy,
        .cpus = read_topology(vcpus_),
        .memory = ram_.hardware_view(),
        .phys_bits = read_phys_bits(),
    });
    secure_processor_.start(*machine_);
}

void emulation::start_checks(std::uintptr_t ra)
{
    const std::string error = install_checks(
        {.level = options_.enforce, .machine = machine_.get(), .ram = &ram_, .heard = &observers_},
        add_encrypted_guest_rules, block_rules(options_.audit != 0), ra);
    if (!options_.probe.empty()) {
        end_probe(options_.probe, error);
    }
    refuse_any(error.empty() ? "" : error + "; use a QEMU 11.1 as Debian builds it");
    refuse_any(start_protection());
}

void emulation::start_parts()
{
    points_.start(options_.stalls);
    stall_points *const points = points_.is_on() ? &points_ : nullptr;
    observers_.start({.machine = machine_.get(),
                      .tlb = options_.tlb,
                      .watches = options_.watch,
                      .watch_bound = options_.watch_bound * guest_second,
                      .audit = options_.audit,
                      .is_over = options_.deterministic ? is_end_requested : nullptr,
                      .mapped_by_kernel =
                          [this](const hw::memory_view &of) {
                              const hw::spa_t end = machine_->memory().end();
                              return mapped_by_kernel(of, vcpu::current().paging(), hw::region_1g,
                                                      (end + hw::region_1g - 1) / hw::region_1g);
                          },
                      .points = points});
    store_hooks::start(observers_.measuring());
    store_hooks::set_mode(options_.measure);
    if (options_.measure.mode != measure_mode::off) {
        observers_.measuring().switched(options_.measure);
    }
    start_emulation(
        {.machine = machine_.get(),
         .heard = &observers_,
         .enforces = enforces(),
         .rmpupdate_failure = [this] { return injections_.take_rmpupdate(); },
         .enter_operating_system = [this](std::uint32_t rsi,
                                          std::uint32_t rbx) { enter_operating_system(rsi, rbx); },
         .set_measure = [this](measure_request to) { set_measure(to); },
         .end_run =
             [this] {
                 if (options_.deterministic) {
                     observers_.guest_ends();
                     request_power_off();
                 }
             },
         .points = points,
         .reach_code = [this](std::uint64_t address,
                              unsigned cpu) { return observers_.reach_code(address, cpu); }});
    for (const injection_request &r : options_.injections) {
        inject(r);
    }
    if (options_.time_limit != 0) {
        time_limit_.once(options_.time_limit * guest_second, [this] {
            log("the time limit of {} s of the guest's clock is over", options_.time_limit);
            request_power_off();
        });
    }
    if (options_.deterministic) {
        refuse_any(keep_turns());
        notice_end();
        guest_timer_.start(std::chrono::nanoseconds(tick_period).count(),
                           [this] { observers_.tick(); });
    } else {
        ticker_.start(tick_period, [this] { observers_.tick(); });
    }
}

void emulation::enter_operating_system(std::uint32_t rsi, std::uint32_t rbx)
{
    if (booted_.exchange(true)) {
        return;
    }
    observers_.booted();
    secure_processor_.set_iommu(hand_over({.machine = machine_.get(),
                                           .layout = options_.layout(),
                                           .rsi = rsi,
                                           .rbx = rbx,
                                           .zero = [this, warm = warm_](hw::spa_range r) {
                                               if (warm) {
                                                   ram_.zero(r);
                                               }
                                           }}));
    warm_ = true;
}

void emulation::set_measure(measure_request to)
{
    struct switching {
        measurement &measured;
        measure_request to;
    };
    tlb_fill::retranslate_then(
        [](void *data) {
            const std::unique_ptr<switching> s(static_cast<switching *>(data));
            store_hooks::set_mode(s->to);
            s->measured.switched(s->to);
        },
        new switching{observers_.measuring(), to});
}

control_target emulation::target()
{
    if (!started()) {
        return {};
    }
    return {
        .machine = machine_.get(),
        .measured = &observers_.measuring(),
        .set_measure = [this](measure_request to) { set_measure(to); },
        .inject = [this](const injection_request &r) { inject(r); },
        .report = [this] { return nlohmann::ordered_json::parse(render_report(snapshot(false))); },
        .memory = [this] { return observers_.measuring().bytes() + observers_.events().bytes(); },
        .seconds = static_cast<double>(observers_.guest_now()) / guest_second};
}

void emulation::inject(const injection_request &r)
{
    using kind = injection_request::kind;
    constexpr std::array names{"psp", "rmpupdate", "rmpopt-clear"};
    observers_.tell("inject", {{"fault", names[static_cast<unsigned>(r.what)]}});
    if (r.what == kind::psp) {
        injections_.arm_psp(r.command, static_cast<std::uint16_t>(r.status), r.count);
    } else if (r.what == kind::rmpupdate) {
        injections_.arm_rmpupdate(static_cast<hw::rmp_status>(r.status), r.count);
    } else {
        const std::scoped_lock lock(machine_->rmp_lock());
        if (r.gb.has_value()) {
            machine_->clear_rmpopt_bit(*r.gb * hw::region_1g);
        } else {
            machine_->clear_rmpopt_tables();
        }
        observers_.measuring().machine_changed();
    }
}

void emulation::reset()
{
    if (!started()) {
        if (const auto turns = std::exchange(options_.turns, {}); !turns.empty()) {
            const std::string error = order_turns(turns);
            refuse_any(error.empty() ? "" : "option turns: " + error);
        }
        return;
    }
    secure_processor_.reset_with([this] {
        machine_->reset();
        forget_guests();
        forget_encrypted_guests();
        release_protection();
    });
    observers_.reset();
    booted_ = false;
    log("machine reset");
}

void emulation::finish()
{
    control_.stop();
    ticker_.stop();
    if (started()) {
        observers_.finish();
    }
    reporter_.finish();
}

report_snapshot emulation::snapshot(bool complete) const
{
    report_snapshot s;
    s.machine = started() ? machine_.get() : nullptr;
    s.persona = options_.persona->name;
    s.psp_present = psp::device::exists();
    if (started()) {
        s.psp = secure_processor_.snapshot();
        observers_.add_to(s);
        s.encrypted_guests = guest_counts_json();
    }
    s.guard_changes = protection_changes();
    s.stale_breakpoints = stale_code::seen().breakpoints;
    s.changed_blocks = stale_code::seen().blocks;
    s.enforcement = !enforces() ? "off" : options_.enforce == enforcement::strict ? "strict" : "on";
    s.messages = logged_lines();
    s.complete = complete;
    return s;
}

} // namespace rmpopt
