// SPDX-License-Identifier: GPL-2.0-or-later
#include "secure_processor.h"

#include "base/log.h"
#include "enforce/enforcement.h"
#include "platform/iommu_reader.h"
#include "qemu/vcpu.h"

#include <utility>

namespace rmpopt
{

void secure_processor::offer(const psp::latency &takes)
{
    device_.offer(
        {.announce = [this](std::uint16_t command) { prepare(command); },
         .run = [this](std::uint16_t command, hw::spa_t buffer) { return run(command, buffer); },
         .reset = [this] { reset(); }},
        takes);
}

void secure_processor::start(hw::machine &machine)
{
    machine_ = &machine;
    firmware_ = std::make_unique<hw::firmware>(machine);
    started_.store(true, std::memory_order_release);
}

/// Under QEMU's big lock, because only then its devices can be read.
void secure_processor::prepare(std::uint16_t command)
{
    if (vcpu::on_vcpu_thread()) {
        observers_.doorbell(vcpu::current().index());
    }
    const auto id = static_cast<hw::firmware_command>(command);
    if (!started() ||
        (id != hw::firmware_command::snp_init && id != hw::firmware_command::snp_init_ex)) {
        return;
    }
    auto iommu = read_iommu(iommu_base_);
    if (iommu.has_value()) {
        const std::scoped_lock lock(machine_->rmp_lock());
        machine_->set_iommu(*std::move(iommu));
    }
}

/// While no vCPU executes anything.
std::uint16_t secure_processor::run(std::uint16_t command, hw::spa_t buffer)
{
    const std::scoped_lock lock(command_lock_);
    if (!started()) {
        log("psp: a command came before the machine was set up; it fails");
        return static_cast<std::uint16_t>(hw::firmware_status::hardware_platform);
    }
    const auto failure = injections_.take_psp(command);
    const hw::firmware_result result = failure.has_value() ? hw::firmware_result{.status = *failure}
                                                           : firmware_->execute(command, buffer);
    take_effect_now(result.rmp_changes);
    observers_.command(command, result);
    return result.status;
}

void secure_processor::reset()
{
    const std::scoped_lock lock(command_lock_);
    if (started()) {
        observers_.firmware_reset(firmware_->reset());
    }
}

void secure_processor::reset_with(const std::function<void()> &reset_machine)
{
    const std::scoped_lock lock(command_lock_);
    reset_machine();
    firmware_->reset();
}

} // namespace rmpopt
