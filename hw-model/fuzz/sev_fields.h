// SPDX-License-Identifier: GPL-2.0-or-later
// The commands of SEV and SEV-ES for the fuzzer, with fields that get as far as to their addresses.
#pragma once

#include "byte_source.h"
#include "hw-model/firmware/firmware.h"

#include <array>

namespace rmpopt::hw
{

using command_fields = std::array<std::uint64_t, 8>;

inline constexpr std::array sev_commands{
    firmware_command::init_ex,
    firmware_command::factory_reset,
    firmware_command::pek_gen,
    firmware_command::pek_csr,
    firmware_command::pek_cert_import,
    firmware_command::pdh_cert_export,
    firmware_command::pdh_gen,
    firmware_command::decommission,
    firmware_command::activate,
    firmware_command::deactivate,
    firmware_command::guest_status,
    firmware_command::launch_start,
    firmware_command::launch_update_data,
    firmware_command::launch_update_vmsa,
    firmware_command::launch_measure,
    firmware_command::launch_update_secret,
    firmware_command::launch_finish,
    firmware_command::attestation_report,
    firmware_command::dbg_decrypt,
    firmware_command::dbg_encrypt,
};

/// Fills `fields` for a SEV command. `address` draws an address.
template <class F>
void make_sev_fields(firmware_command c, byte_source &in, F address, command_fields &fields)
{
    using enum firmware_command;
    const std::uint64_t handle = 1 + in.pick(3);
    switch (c) {
    case init_ex: {
        const std::uint64_t flags = in.pick(2);
        fields = {36 | flags << 32, address(), page_2m, address(), 32 * 1024};
        break;
    }
    case pek_csr:
        fields = {address(), 2084u + in.pick(2)};
        break;
    case pek_cert_import:
        fields = {address(), 2084, address(), 2084};
        break;
    case pdh_cert_export:
        fields = {address(), 2084u + in.pick(2), address(), 6252};
        break;
    case activate:
        fields[0] = handle | std::uint64_t{in.pick(2) != 0 ? 1u + in.pick(4) : 100u + in.pick(4)}
                                 << 32;
        break;
    case launch_start:
        fields[0] = std::uint64_t{in.pick(8)} << 32;
        if (in.pick(4) == 0) {
            fields = {fields[0], address(), 2084, address(), 128};
        }
        break;
    case launch_update_data:
        fields = {handle, address(), in.pick(8) * 1024u};
        break;
    case launch_update_vmsa:
        fields = {handle, address(), page_4k};
        break;
    case launch_measure:
        fields = {handle, address(), 48u - in.pick(2)};
        break;
    case launch_update_secret:
        fields = {handle, address(), 52, address(), 32, address(), 32};
        break;
    case attestation_report:
        fields = {handle, address(), 1, 2, 208u - in.pick(2)};
        break;
    case dbg_decrypt:
    case dbg_encrypt:
        fields = {handle, address(), address(), 16u * in.pick(256)};
        break;
    default:
        fields[0] = handle;
    }
}

} // namespace rmpopt::hw
