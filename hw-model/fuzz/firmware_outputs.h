// SPDX-License-Identifier: GPL-2.0-or-later
// What each firmware command may write, as the ABI says it.
#pragma once

#include "hw-model/firmware/common/abi.h"
#include "hw-model/firmware/common/command.h"
#include "sev_fields.h"

#include <algorithm>
#include <array>
#include <vector>

namespace rmpopt::hw
{

/// Bytes that a command on guests may have written outside the RMP.
inline std::vector<spa_range> guest_outputs(firmware_command command, firmware_status status,
                                            const command_fields &fields)
{
    using enum firmware_command;
    const auto page = [&fields](unsigned i, bool size_2m = false) {
        return std::vector<spa_range>{{fields[i] & ~c_bit, size_2m ? page_2m : page_4k}};
    };
    constexpr std::uint64_t type_mask = 7u << 1, cpuid_page = 6u << 1;
    const bool corrected =
        status == firmware_status::invalid_param && (fields[1] & type_mask) == cpuid_page;
    if (command == snp_launch_update && (corrected || status == firmware_status::success)) {
        return page(2, (fields[1] & 1) != 0);
    }
    if (status != firmware_status::success) {
        return {};
    }
    switch (command) {
    case snp_guest_status:
        return {{fields[1] & ~c_bit, 32}};
    case snp_guest_request:
    case snp_dbg_decrypt:
    case snp_dbg_encrypt:
        return page(2);
    case snp_page_move:
        return page(3, (fields[1] & 1) != 0);
    case snp_page_md_init:
        return page(1);
    default:
        return {};
    }
}

/// Bytes that a command may have written outside the RMP.
inline std::vector<spa_range> outputs(firmware_command command, firmware_status status,
                                      spa_t buffer, const command_fields &fields)
{
    using enum firmware_command;
    const bool success = status == firmware_status::success;
    if (command == get_id) { // also how long the id is, when there was too little room
        std::vector<spa_range> out{{buffer + 8, 4}};
        if (success) {
            out.push_back({fields[0] & ~c_bit, 64});
        }
        return out;
    }
    if (!success) {
        return guest_outputs(command, status, fields);
    }
    switch (command) {
    case platform_status:
        return {{buffer, 12}};
    case snp_platform_status:
        return {{fields[0] & ~c_bit, 32}};
    case snp_feature_info:
        return {{fields[1] & ~c_bit, 16}};
    default:
        return guest_outputs(command, status, fields);
    }
}

/// Bytes that a SEV command may have written. `nv` is the storage that INIT_EX gave.
inline std::vector<spa_range> sev_outputs(firmware_command c, firmware_status status, spa_t buffer,
                                          const command_fields &fields, spa_range nv)
{
    using enum firmware_command;
    constexpr spa_t address_bits = (1ull << 51) - 1;
    const bool done = status == firmware_status::success;
    const auto range = [&](unsigned field, std::uint64_t bytes) {
        return done ? spa_range{fields.at(field) & address_bits, bytes} : spa_range{};
    };
    const auto length_at = [&](std::uint64_t offset) {
        return done || status == firmware_status::invalid_length ? spa_range{buffer + offset, 4}
                                                                 : spa_range{};
    };
    switch (c) {
    case init_ex:
        return done || status == firmware_status::secure_data_invalid
                   ? std::vector<spa_range>{{fields[3] & address_bits, 32 * 1024}}
                   : std::vector<spa_range>{};
    case pek_gen:
    case pdh_gen:
    case pek_cert_import:
        return {done ? nv : spa_range{}};
    case pek_csr:
        return {length_at(8), range(0, 2084)};
    case pdh_cert_export:
        return {length_at(8), length_at(24), range(0, 2084), range(2, 6252)};
    case guest_status:
        return {done ? spa_range{buffer, 13} : spa_range{}};
    case launch_start:
        return {done ? spa_range{buffer, 4} : spa_range{}};
    case launch_measure:
        return {length_at(16), range(1, 48)};
    case launch_update_secret:
        return {range(3, fields[4] & 0xffffffff)};
    case attestation_report:
        return {length_at(32), range(1, 208)};
    case dbg_decrypt:
    case dbg_encrypt:
        return {range(2, fields[3] & 0xffffffff)};
    default:
        return {};
    }
}

inline bool may_change_rmp(firmware_command command)
{
    using enum firmware_command;
    constexpr std::array all{
        snp_init,          snp_init_ex,     snp_page_reclaim, snp_platform_status,
        snp_shutdown_ex,   snp_gctx_create, snp_decommission, snp_guest_status,
        snp_launch_update, snp_page_move,   snp_page_md_init, snp_page_set_state,
        snp_page_unsmash};
    return std::ranges::find(all, command) != all.end();
}

/// Commands that write to pages which are a guest's already.
inline bool writes_to_guests(firmware_command command)
{
    using enum firmware_command;
    return command == snp_launch_update || command == snp_dbg_encrypt || command == snp_page_move;
}

} // namespace rmpopt::hw
