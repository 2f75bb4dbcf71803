// SPDX-License-Identifier: GPL-2.0-or-later
// What the legacy commands (SEV, SEV-ES; AMD 55766) share: platform states, non-volatile storage,
// guests, buffers.
#pragma once

#include "hw-model/firmware/internal.h"
#include "hw-model/firmware/sev/certificate.h"

#include <initializer_list>

namespace rmpopt::hw
{

inline constexpr std::uint64_t nv_bytes = 32ull * 1024;

/// Platform states, as PLATFORM_STATUS reports them.
enum class platform_phase : std::uint8_t { uninit = 0, init = 1, working = 2 };

/// WORKING from the first guest to the end of the last.
platform_phase phase_of(const firmware_state &s);

// psp_nv.cc
/// Takes the identity over from the buffer that INIT_EX gave; a buffer of zeros or of ones has
/// none yet. False when what stands there is damaged.
bool load_identity(firmware_call &c, spa_range nv);
/// Brings the buffer up to date, if INIT_EX gave one.
void store_identity(firmware_call &c);

// psp_legacy_guest.cc
/// The guest whose handle starts the command buffer.
firmware_status find_sev_guest(const firmware_call &c, sev_guest *&out);
/// The same, when it has to be in `state`.
firmware_status find_sev_guest_in(const firmware_call &c, sev_guest_state state, sev_guest *&out);
/// SHUTDOWN takes all guests with it.
void forget_sev_guests(firmware_call &c);

// psp_platform.cc
/// Common part of INIT and INIT_EX: state, flags and trusted memory region.
firmware_status check_init(const firmware_call &c, std::uint32_t flags, spa_range tmr);
void enter_init(firmware_call &c, std::uint32_t flags, spa_range tmr);

// psp_legacy_buffers.cc
/// check_output() for the buffers of one legacy command. After SNP_INIT each must be
/// firmware-owned. They may overlap neither each other nor the command buffer: which content would
/// win is nowhere written, so INVALID_ADDRESS is the model's choice.
firmware_status check_sev_outputs(const firmware_call &c, std::initializer_list<spa_range> outputs);
/// The command buffer itself, for commands that answer in it.
firmware_status check_answer(const firmware_call &c);
/// The caller's room is too small: the length that is needed goes into the command buffer.
firmware_status answer_length(firmware_call &c, std::size_t offset, std::uint32_t needed);

} // namespace rmpopt::hw
