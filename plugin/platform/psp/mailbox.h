// SPDX-License-Identifier: GPL-2.0-or-later
// Registers of the SEV mailbox in BAR 2, with the offsets of PCI function 1022:14ca.
//
// Thread-safety: all members may be called from any thread; none waits for anything.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

namespace rmpopt::psp
{

namespace reg
{
inline constexpr std::uint32_t interrupt_enable = 0x10690;
inline constexpr std::uint32_t interrupt_status = 0x10694; ///< write 1 to clear
inline constexpr std::uint32_t command = 0x10980;
inline constexpr std::uint32_t address_low = 0x109e0;
inline constexpr std::uint32_t address_high = 0x109e4;
inline constexpr std::uint32_t bootloader_version = 0x109ec;
inline constexpr std::uint32_t capability = 0x109fc;
} // namespace reg

inline constexpr std::uint32_t bar2_bytes = 1u << 20;
inline constexpr std::uint32_t response_bit = 1u << 31;
inline constexpr std::uint32_t interrupt_on_completion = 1u
                                                         << 0; ///< request: interrupt on completion
inline constexpr std::uint32_t command_shift = 16;             ///< bits 26:16
inline constexpr std::uint32_t command_interrupt = 1u << 1;

class mailbox
{
  public:
    struct request {
        std::uint16_t command = 0;
        std::uint64_t buffer = 0;
        bool interrupt = false;
        std::uint64_t life = 0; ///< number of resets before it
    };

    std::uint32_t read(std::uint32_t offset) const;

    /// Returns the request if the write started one. A write to the command register while a
    /// command runs is ignored.
    std::optional<request> write(std::uint32_t offset, std::uint32_t value);

    /// False if the mailbox was reset after the request came.
    bool is_pending(const request &r) const;

    /// Answers a request; returns true when an interrupt is due. If the mailbox was reset after the
    /// request came, the answer is dropped.
    bool complete(const request &r, std::uint16_t status);

    void reset();

  private:
    std::optional<request> start(std::uint32_t value);

    mutable std::mutex lock_;
    std::uint32_t enable_ = 0;
    std::uint32_t status_ = 0;
    std::uint32_t command_ = response_bit;
    std::uint32_t low_ = 0, high_ = 0;
    std::uint64_t life_ = 0;
    bool busy_ = false;
};

} // namespace rmpopt::psp
