// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands of SEV and SEV-ES (AMD 55766) share: platform states, non-volatile storage,
// guests, buffers.
#pragma once

#include "hw-model/firmware/sev/certificate.h"
#include "hw-model/firmware/sev/commands.h"

#include <initializer_list>

namespace rmpopt::hw
{

/// Real keys come from the guest owner's key and session. The platform has no key to agree with, so
/// every guest gets these, which are text and known to everybody.
inline constexpr aes128_block text_key(const char (&text)[17])
{
    aes128_block key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::byte>(text[i]);
    }
    return key;
}
inline constexpr aes128_block transport_integrity_key = text_key("rmpopt fake TIK!");
inline constexpr aes128_block transport_encryption_key = text_key("rmpopt fake TEK!");

using sev_nonce = std::array<std::byte, 16>;

inline constexpr std::uint64_t nv_bytes = 32ull * 1024;

/// WORKING from the first guest to the end of the last.
platform_phase phase_of(const firmware_state &s);

// non_volatile.cc
/// Takes the identity from the buffer that INIT_EX gave. A buffer of zeros or of ones has none yet.
/// False when the content is damaged.
bool load_identity(firmware_call &c, spa_range nv);
/// Brings the buffer up to date, if INIT_EX gave one.
void store_identity(firmware_call &c);

// guest.cc
/// The guest of that handle; success only with `guest` set.
firmware_status find_sev_guest(const firmware_call &c, std::uint32_t handle, sev_guest *&guest);
/// The same, when it has to be in `state`.
firmware_status find_sev_guest_in(const firmware_call &c, std::uint32_t handle,
                                  sev_guest_state state, sev_guest *&guest);
/// SHUTDOWN takes all guests with it.
void forget_sev_guests(firmware_call &c);

// platform.cc
/// Common part of INIT and INIT_EX: state, flags and trusted memory region.
firmware_status check_init(const firmware_call &c, std::uint32_t flags, spa_range tmr);
void enter_init(firmware_call &c, std::uint32_t flags, spa_range tmr);

// buffers.cc
/// check_output() for the buffers of one SEV command. After SNP_INIT each must be firmware-owned.
/// They may overlap neither each other nor the command buffer: which content would win is not
/// documented, so INVALID_ADDRESS is the model's choice.
firmware_status check_sev_outputs(const firmware_call &c, std::initializer_list<spa_range> outputs);
/// The command buffer itself, for commands that answer in it.
firmware_status check_answer(const firmware_call &c);
/// INVALID_LENGTH for a caller without enough room, who is told how much it takes: `answer` puts
/// that into the command buffer.
template <class Answer> firmware_status check_room(bool fits, const Answer &answer)
{
    if (!fits) {
        answer();
    }
    return must(fits, invalid_length);
}

} // namespace rmpopt::hw
