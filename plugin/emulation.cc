// SPDX-License-Identifier: GPL-2.0-or-later
#include "emulation.h"

#include "base/log.h"
#include "control/control_commands.h"
#include "enforce/sigbus.h"
#include "enforce/svm_guest.h"
#include "enforce/write_check.h"
#include "hw-model/machine/audit.h"
#include "hw-model/machine/cpuid.h"
#include "insn/translate.h"
#include "instrument/store_hooks.h"
#include "probe.h"
#include "qemu/layout.h"
#include "qemu/machine.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <map>

namespace rmpopt
{

context *the_context = nullptr;

namespace
{

constexpr std::chrono::milliseconds tick_period{200};

std::string cpu_advice(const hw::cpu_model &p)
{
    return fmt::format("give QEMU a -cpu whose family is {} and whose model is {} to {}, with "
                       "-hypervisor,+svm,+npt (scripts/rmpopt boot --dry-run prints one)",
                       p.family, p.model_first, p.model_last);
}

/// Empty when the guest's CPU can be the persona.
std::string check_cpu(const hw::cpu_model &p, const vcpu &cpu)
{
    if (!cpu.is_amd()) {
        return "the guest CPU is no AMD one; use -cpu EPYC-Turin or another EPYC model";
    }
    const cpuid_result r = cpu.native_cpuid(1, 0);
    const unsigned family = ((r.eax >> 8) & 0xf) + ((r.eax >> 20) & 0xff);
    const unsigned model = ((r.eax >> 4) & 0xf) | ((r.eax >> 12) & 0xf0);
    if (family != p.family || model < p.model_first || model > p.model_last) {
        return fmt::format("persona {} cannot be CPU family {} model {}; {}", p.name, family, model,
                           cpu_advice(p));
    }
    if ((r.ecx >> 31) != 0) {
        return "the guest CPU shows the hypervisor bit, with which Linux refuses SNP; " +
               cpu_advice(p);
    }
    constexpr std::uint32_t svm = 1u << 2;
    if ((cpu.native_cpuid(0x80000001, 0).ecx & svm) == 0) {
        return "the guest CPU has no SVM; " + cpu_advice(p);
    }
    return {};
}

/// Cores from the same APIC ids that the guest reads (leaf 0Bh).
hw::topology read_topology(unsigned vcpus)
{
    hw::topology t;
    std::map<std::uint32_t, unsigned> core_numbers;
    for (unsigned i = 0; i < vcpus; ++i) {
        const cpuid_result r = vcpu::by_index(i).native_cpuid(0xb, 0);
        const std::uint32_t core_id = r.edx >> (r.eax & 0x1f);
        const auto number = static_cast<unsigned>(core_numbers.size());
        t.core_of_thread.push_back(core_numbers.emplace(core_id, number).first->second);
    }
    return t;
}

/// The IOMMU's registers, read by a vCPU for another thread.
struct iommu_reading {
    hw::spa_t base;
    std::promise<iommu_registers> result;

    /// On a vCPU's thread; owns `data`.
    static void read(void *data)
    {
        const std::unique_ptr<iommu_reading> self(static_cast<iommu_reading *>(data));
        iommu_registers r;
        read_system_memory(self->base + 0x10, &r.event_base, 8);
        read_system_memory(self->base + 0x38, &r.ppr_base, 8);
        read_system_memory(self->base + 0x20, &r.excl_base, 8);
        read_system_memory(self->base + 0x28, &r.excl_limit, 8);
        self->result.set_value(r);
    }
};

} // namespace

context::context(options opt, unsigned vcpus)
    : options_(std::move(opt)), vcpus_(vcpus),
      firmware_events_([this](std::string_view type, const nlohmann::ordered_json &fields) {
          tell(type, fields);
      })
{
}

std::string context::listen()
{
    if (!options_.report.empty()) {
        before_refusal([] { the_context->reporter_.write_now(); });
        std::string error =
            reporter_.start(options_.report, [this](bool complete) { return snapshot(complete); });
        if (!error.empty()) {
            return error;
        }
    }
    if (!options_.events.empty()) {
        std::string error = events_.open_file(options_.events);
        if (!error.empty()) {
            return error;
        }
    }
    if (!options_.control.empty()) {
        std::string error = start_control();
        if (!error.empty()) {
            return error;
        }
    }
    if (options_.psp.empty()) {
        return {};
    }
    return psp_.start(options_.psp,
                      {.before = [this](std::uint16_t c) { before_command(c); },
                       .fails = [this](std::uint16_t c) { return injections_.take_psp(c); },
                       .apply = [this](const hw::rmp_changes &e) { apply(e); },
                       .executed = [this](std::uint16_t command,
                                          std::uint16_t status) { after_command(command, status); },
                       .log = [](std::string_view line) { log("psp: {}", line); }});
}

std::string context::start_control()
{
    return control_.start(
        options_.control,
        [this](const nlohmann::json &request) {
            control_target target;
            if (started()) {
                target = {.machine = machine_.get(),
                          .measured = measurement_.get(),
                          .set_measure = [this](measure_request to) { set_measure(to); },
                          .inject = [this](const injection_request &r) { inject(r); },
                          .report =
                              [this] {
                                  return nlohmann::ordered_json::parse(
                                      render_report(snapshot(false)));
                              },
                          .memory = [this] { return measurement_->bytes() + events_.bytes(); },
                          .seconds = static_cast<double>(guest_time()) / guest_second};
            }
            return control_command(target, request);
        },
        events_);
}

void context::inject(const injection_request &r)
{
    using kind = injection_request::kind;
    constexpr std::array names{"psp", "rmpupdate", "rmpopt-clear"};
    tell("inject", {{"fault", names[static_cast<unsigned>(r.what)]}});
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
        measurement_->machine_changed();
    }
}

void context::start_machine(std::uintptr_t ra)
{
    if (started_) {
        return;
    }
    vcpu::find_all();
    // May leave this function by a jump and call it again.
    std::string error = layout::try_facts(layout::fact::stage::cpu, ra);
    const bool probes = !options_.probe.empty();
    if (error.empty() && !probes) {
        error = check_cpu(*options_.persona, vcpu::by_index(0));
    }
    guest_ram_block block;
    if (error.empty()) {
        error = find_guest_ram(block);
    }
    if (error.empty()) {
        error = ram_.map(block);
    }
    if (probes && !error.empty()) {
        end_probe(options_.probe, error);
    }
    if (!error.empty()) {
        refuse(error);
    }
    auto machine = std::make_unique<hw::machine>(hw::machine::settings{
        .cpu = options_.persona,
        .choices = options_.policy,
        .cpus = read_topology(vcpus_),
        .memory = ram_.hardware_view(),
        .phys_bits = vcpu::by_index(0).native_cpuid(0x80000008, 0).eax & 0xff,
    });
    error = tlb_fill::hook(rmp_translation_rules(enforces()), block_rules(options_.audit != 0), ra);
    if (probes) {
        end_probe(options_.probe, error);
    }
    if (!error.empty()) {
        refuse(error + "; use a QEMU 11.1 as Debian builds it");
    }
    if (enforces()) {
        error = guard_.start(ram_, *machine);
        if (!error.empty()) {
            refuse(error + "; run with enforce=off");
        }
        install_guard_signal();
    }
    machine_ = std::move(machine);
    firmware_ = std::make_unique<hw::firmware>(*machine_);
    start_measurement();
    if (options_.watch) {
        start_watch();
    }
    ticker_.start(tick_period, [this] { tick(); });
    psp_.attach_firmware(*firmware_);
    log("persona {} ({}), {} CPUs in {} cores, {} MiB of RAM", options_.persona->name,
        options_.persona->description, machine_->cpus().threads(), machine_->cpus().cores(),
        block.bytes >> 20);
    if (const std::string why = translator::why_all_blocks(); !why.empty()) {
        log("all code is translated for plugins: {}", why);
    }
    started_.store(true, std::memory_order_release);
}

std::uint64_t context::guest_time() const
{
    const std::uint64_t started = boot_started_ns_;
    const std::uint64_t now = virtual_clock_ns();
    return started != 0 && now > started ? now - started : 0;
}

void context::start_measurement()
{
    measurement_ = std::make_unique<measurement>(measurement::settings{
        .machine = machine_.get(),
        .tlb = options_.tlb,
        .clock = [this] { return guest_time(); },
        .event = [this](std::string_view type,
                        const nlohmann::ordered_json &fields) { tell(type, fields); },
    });
    store_hooks::start(*measurement_);
    store_hooks::set_mode(options_.measure);
    if (options_.measure.mode != measure_mode::off) {
        measurement_->switched(options_.measure);
    }
}

void context::set_measure(measure_request to)
{
    tlb_fill::retranslate_then(
        [](void *data) {
            const std::unique_ptr<measure_request> request(static_cast<measure_request *>(data));
            store_hooks::set_mode(*request);
            the_context->measurement_->switched(*request);
        },
        new measure_request(to));
}

void context::tick()
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

void context::start_watch()
{
    watch_ = std::make_unique<watch>(watch::settings{
        .machine = machine_.get(),
        .clock = [this] { return guest_time(); },
        .bound = options_.watch_bound * guest_second,
        .on_new =
            [this](const finding &f) {
                log("watch: {}", to_line(f));
                const finding_info &info = info_of(f.kind);
                tell("finding",
                     {{"id", info.id}, {"severity", severity_name(info.level)}, {"what", f.what}});
            },
    });
}

firmware_view context::view_firmware() const
{
    firmware_view view;
    view.snp_init = firmware_->snapshot().snp_init;
    view.memory = firmware_->own_memory();
    for (const hw::snp_guest_info &guest : firmware_->active_guests()) {
        view.contexts.insert(guest.context);
        if (guest.asid != 0) {
            view.asids.insert(guest.asid);
        }
    }
    return view;
}

void context::enter_operating_system(std::uint32_t rsi, std::uint32_t rbx)
{
    if (booted_.exchange(true)) {
        return;
    }
    measurement_->clock_restarts();
    boot_started_ns_ = virtual_clock_ns();
    tell("boot", nlohmann::ordered_json::object());
    const hw::memory_view &memory = machine_->memory();
    const iommu_setup iommu = announce_iommu_snp(memory);
    iommu_base_ = iommu.register_base;
    if (!iommu.error.empty()) {
        log("{}: Linux will not enable SNP", iommu.error);
    }
    if (options_.layout() == hw::rmp_layout::none) {
        log("no RMP, as asked");
        return;
    }
    rmp_request request;
    request.layout = options_.layout();
    request.segment_shift = options_.persona->segment_shift;
    if (is_boot_params(memory, rsi)) {
        request.boot_params = rsi;
    } else if (is_pvh_start_info(memory, rbx)) {
        request.pvh_start_info = rbx;
    }
    const bool has_map = request.boot_params.has_value() || request.pvh_start_info.has_value();
    request.zero = [this](hw::spa_range r) {
        if (warm_) {
            ram_.zero(r);
        }
    };
    const rmp_setup rmp = prepare_rmp(memory, request);
    warm_ = true;
    if (!rmp.error.empty()) {
        refuse(rmp.error);
    }
    machine_->bios_setup(rmp.config);
    log("RMP at {:#x}, {} MiB, {}{}", rmp.reserved.base, rmp.reserved.bytes >> 20,
        options_.layout() == hw::rmp_layout::segmented ? "segmented" : "contiguous",
        has_map ? ", cut out of the guest's memory map" : "; the guest must keep it free itself");
}

void context::before_command(std::uint16_t command)
{
    const auto id = static_cast<hw::firmware_command>(command);
    if (started() &&
        (id == hw::firmware_command::snp_init || id == hw::firmware_command::snp_init_ex)) {
        read_iommu();
    }
}

void context::after_command(std::uint16_t command, std::uint16_t status)
{
    measurement_->machine_changed();
    firmware_events_.executed(command, status, firmware_->active_guests());
    measurement_->guests(firmware_events_.launched(), firmware_events_.ended());
    if (watch_ != nullptr) {
        watch_->command(command, status, view_firmware());
    }
}

void context::read_iommu()
{
    if (iommu_base_ == 0) {
        return;
    }
    auto *reading = new iommu_reading{.base = iommu_base_, .result = {}};
    std::future<iommu_registers> result = reading->result.get_future();
    tlb_fill::flush_then(iommu_reading::read, reading);
    while (result.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
        if (finishing_) {
            return;
        }
    }
    const std::scoped_lock lock(machine_->rmp_lock());
    machine_->set_iommu_buffers(iommu_buffers(result.get()));
}

void context::apply(const hw::rmp_changes &effects)
{
    if (watch_ != nullptr && !effects.ranges().empty()) {
        watch_->rmp_changed(effects);
    }
    if (!vcpu::on_vcpu_thread()) { // firmware; instructions say it themselves
        for (const hw::rmp_change &r : effects.ranges()) {
            measurement_->rmp_changed({r.base, r.bytes});
        }
    }
    if (!enforces() || effects.ranges().empty()) {
        return;
    }
    const bool takes_away = std::ranges::any_of(
        effects.ranges(), [](const hw::rmp_change &r) { return !r.host_writable; });
    // A store that begins before a page is protected and reaches into it afterwards would be half
    // done; so on a vCPU the protection waits until no vCPU holds a translation.
    if (!takes_away || !vcpu::on_vcpu_thread()) {
        guard_.apply(effects);
    }
    if (takes_away) {
        tlb_fill::flush_then(
            [](void *data) {
                const std::unique_ptr<hw::rmp_changes> late(static_cast<hw::rmp_changes *>(data));
                the_context->guard_.apply(*late);
            },
            new hw::rmp_changes(effects));
    }
}

void context::audit(hw::spa_t spa)
{
    if (options_.audit == 0 ||
        (since_audit_.fetch_add(1, std::memory_order_relaxed) + 1) % options_.audit != 0) {
        return;
    }
    const std::scoped_lock lock(machine_->rmp_lock());
    hw::count(machine_->counters().audits);
    const std::vector<std::string> findings = hw::audit_region(*machine_, spa);
    if (!findings.empty()) {
        refuse(fmt::format("audit: {}", findings.front()));
    }
}

void context::drop_translations() const
{
    if (enforces()) {
        tlb_fill::flush_then([](void *) {}, nullptr);
    }
}

void context::reset()
{
    if (!started_) {
        return;
    }
    guard_.release_all();
    machine_->reset();
    firmware_->reset();
    forget_guests();
    if (watch_ != nullptr) {
        watch_->reset();
    }
    measurement_->machine_changed();
    for (unsigned thread = 0; thread < machine_->cpus().threads(); ++thread) {
        measurement_->tlb_reset(thread);
    }
    booted_ = false;
    firmware_events_.forget();
    tell("reset", nlohmann::ordered_json::object());
    log("machine reset");
}

void context::finish()
{
    finishing_ = true;
    control_.stop();
    psp_.stop();
    ticker_.stop();
    if (started_) {
        firmware_events_.flush();
        measurement_->tick();
        tell("end", nlohmann::ordered_json::object());
        tick();
    }
    reporter_.finish();
}

report_snapshot context::snapshot(bool complete) const
{
    report_snapshot s;
    s.machine = started_ ? machine_.get() : nullptr;
    s.persona = options_.persona->name;
    s.psp_present = !options_.psp.empty();
    if (started_) {
        s.psp = firmware_->snapshot();
        s.watcher = watch_.get();
        s.measure = measurement_->report();
    }
    s.lstar = lstar_;
    s.guard_changes = guard_.changes();
    s.enforcement = enforces() ? (is_strict() ? "strict" : "on") : "off";
    s.messages = logged_lines();
    s.complete = complete;
    return s;
}

} // namespace rmpopt
