// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/psp/mailbox.h"

namespace rmpopt::psp
{

namespace
{

constexpr std::uint32_t command_mask = 0x7ffu << command_shift;

/// The device has only the SEV mailbox: no TEE, no doorbell, no security attributes.
constexpr std::uint32_t capability_sev = 1u << 0;
constexpr std::uint32_t bootloader = 0x00370019; // arbitrary, except that all ones means none

} // namespace

std::uint32_t mailbox::read(std::uint32_t offset) const
{
    const std::scoped_lock lock(lock_);
    switch (offset) {
    case reg::interrupt_enable:
        return enable_;
    case reg::interrupt_status:
        return status_;
    case reg::command:
        return command_;
    case reg::address_low:
        return low_;
    case reg::address_high:
        return high_;
    case reg::bootloader_version:
        return bootloader;
    case reg::capability:
        return capability_sev;
    default:
        return 0;
    }
}

std::optional<mailbox::request> mailbox::write(std::uint32_t offset, std::uint32_t value)
{
    const std::scoped_lock lock(lock_);
    switch (offset) {
    case reg::interrupt_enable:
        enable_ = value;
        break;
    case reg::interrupt_status:
        status_ &= ~value;
        break;
    case reg::address_low:
        low_ = value;
        break;
    case reg::address_high:
        high_ = value;
        break;
    case reg::command:
        return start(value);
    default:
        break;
    }
    return std::nullopt;
}

std::optional<mailbox::request> mailbox::start(std::uint32_t value)
{
    if (busy_ || (value & response_bit) != 0) {
        return std::nullopt;
    }
    busy_ = true;
    command_ = value;
    return request{.command = static_cast<std::uint16_t>((value & command_mask) >> command_shift),
                   .buffer = static_cast<std::uint64_t>(high_) << 32 | low_,
                   .interrupt = (value & interrupt_on_completion) != 0,
                   .life = life_};
}

// The driver may poll the response bit, or read it after the interrupt. Either way it must find all
// registers of the answer in place: they change in one step, before the interrupt is raised.
bool mailbox::complete(const request &r, std::uint16_t status)
{
    const std::scoped_lock lock(lock_);
    if (r.life != life_) {
        return false;
    }
    busy_ = false;
    command_ = response_bit | static_cast<std::uint32_t>(r.command) << command_shift | status;
    status_ |= command_interrupt;
    return r.interrupt && (enable_ & command_interrupt) != 0;
}

bool mailbox::is_pending(const request &r) const
{
    const std::scoped_lock lock(lock_);
    return r.life == life_;
}

void mailbox::reset()
{
    const std::scoped_lock lock(lock_);
    enable_ = status_ = low_ = high_ = 0;
    command_ = response_bit;
    busy_ = false;
    ++life_;
}

} // namespace rmpopt::psp
