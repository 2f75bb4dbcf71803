// SPDX-License-Identifier: GPL-2.0-or-later
// What the legacy commands (SEV, SEV-ES; AMD 55766) share: platform states, non-volatile storage,
// guests, buffers.
#pragma once

#include "hw-model/firmware/sev/certificate.h"
#include "hw-model/firmware/internal.h"

#include <initializer_list>

namespace rmpopt::hw
{

inline constexpr std::uint64_t nv_bytes = 32ull * 1024;

/// Platform states, as PLATFORM_STATUS reports them.
enum class platform_phase : std::uint8_t { uninit = 0, init = 1, working = 2 };

/// WORKING from the first guest to the end of the last.
platform_phase phase_of(const psp_state &s);

// psp_nv.cc
/// Takes the identity over from the buffer that INIT_EX gave; a buffer of zeros or of ones has
/// none yet. False when what stands there is damaged.
bool load_identity(psp_call &c, spa_range nv);
/// Brings the buffer up to date, if INIT_EX gave one.
void store_identity(psp_call &c);

// psp_legacy_guest.cc
/// The guest whose handle starts the command buffer.
psp_status find_sev_guest(const psp_call &c, sev_guest *&out);
/// The same, when it has to be in `state`.
psp_status find_sev_guest_in(const psp_call &c, sev_guest_state state, sev_guest *&out);
/// SHUTDOWN takes all guests with it.
void forget_sev_guests(psp_call &c);

// psp_platform.cc
/// Common part of INIT and INIT_EX: state, flags and trusted memory region.
psp_status check_init(const psp_call &c, std::uint32_t flags, spa_range tmr);
void enter_init(psp_call &c, std::uint32_t flags, spa_range tmr);

// psp_legacy_buffers.cc
/// check_output() for the buffers of one legacy command. After SNP_INIT each must be
/// firmware-owned. They may overlap neither each other nor the command buffer: which content would
/// win is nowhere written, so INVALID_ADDRESS is the model's choice.
psp_status check_legacy_outputs(const psp_call &c, std::initializer_list<spa_range> outputs);
/// The command buffer itself, for commands that answer in it.
psp_status check_answer(const psp_call &c);
/// The caller's room is too small: the length that is needed goes into the command buffer.
psp_status answer_length(psp_call &c, std::size_t offset, std::uint32_t needed);

} // namespace rmpopt::hw
