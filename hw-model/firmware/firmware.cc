// SPDX-License-Identifier: GPL-2.0-or-later
// The dispatcher: which commands exist, how long their buffers are, what happens around each.
#include "hw-model/firmware/internal.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

struct command_info {
    firmware_command id;
    std::string_view name;
    std::size_t buffer_bytes;
    command_handler run;
};

/// Commands that hosts do without: guests cannot be swapped out.
firmware_status unsupported(firmware_call &)
{
    return firmware_status::unsupported;
}

/// Sizes are those of the structures in the SEV and SEV-SNP firmware ABIs.
constexpr std::array command_table{
    command_info{firmware_command::init, "INIT", 20, platform_init},
    command_info{firmware_command::shutdown, "SHUTDOWN", 0, platform_shutdown},
    command_info{firmware_command::factory_reset, "FACTORY_RESET", 0, factory_reset},
    command_info{firmware_command::platform_status, "PLATFORM_STATUS", 12, platform_status},
    command_info{firmware_command::pek_gen, "PEK_GEN", 0, pek_gen},
    command_info{firmware_command::pek_csr, "PEK_CSR", 12, pek_csr},
    command_info{firmware_command::pek_cert_import, "PEK_CERT_IMPORT", 28, pek_cert_import},
    command_info{firmware_command::pdh_cert_export, "PDH_CERT_EXPORT", 28, pdh_cert_export},
    command_info{firmware_command::pdh_gen, "PDH_GEN", 0, pdh_gen},
    command_info{firmware_command::df_flush, "DF_FLUSH", 0, df_flush},
    command_info{firmware_command::download_firmware, "DOWNLOAD_FIRMWARE", 12, download_firmware},
    command_info{firmware_command::get_id, "GET_ID", 12, get_id},
    command_info{firmware_command::init_ex, "INIT_EX", 36, platform_init_ex},
    command_info{firmware_command::decommission, "DECOMMISSION", 4, decommission},
    command_info{firmware_command::activate, "ACTIVATE", 8, activate},
    command_info{firmware_command::deactivate, "DEACTIVATE", 4, deactivate},
    command_info{firmware_command::guest_status, "GUEST_STATUS", 13, guest_status},
    command_info{firmware_command::launch_start, "LAUNCH_START", 36, launch_start},
    command_info{firmware_command::launch_update_data, "LAUNCH_UPDATE_DATA", 20,
                 launch_update_data},
    command_info{firmware_command::launch_update_vmsa, "LAUNCH_UPDATE_VMSA", 20,
                 launch_update_vmsa},
    command_info{firmware_command::launch_measure, "LAUNCH_MEASURE", 20, launch_measure},
    command_info{firmware_command::launch_update_secret, "LAUNCH_UPDATE_SECRET", 52,
                 launch_update_secret},
    command_info{firmware_command::launch_finish, "LAUNCH_FINISH", 4, launch_finish},
    command_info{firmware_command::attestation_report, "ATTESTATION_REPORT", 36,
                 attestation_report},
    // migration: the keys it would wrap do not exist
    command_info{firmware_command::send_start, "SEND_START", 0, unsupported},
    command_info{firmware_command::send_update_data, "SEND_UPDATE_DATA", 0, unsupported},
    command_info{firmware_command::send_update_vmsa, "SEND_UPDATE_VMSA", 0, unsupported},
    command_info{firmware_command::send_finish, "SEND_FINISH", 0, unsupported},
    command_info{firmware_command::send_cancel, "SEND_CANCEL", 0, unsupported},
    command_info{firmware_command::receive_start, "RECEIVE_START", 0, unsupported},
    command_info{firmware_command::receive_update_data, "RECEIVE_UPDATE_DATA", 0, unsupported},
    command_info{firmware_command::receive_update_vmsa, "RECEIVE_UPDATE_VMSA", 0, unsupported},
    command_info{firmware_command::receive_finish, "RECEIVE_FINISH", 0, unsupported},
    command_info{firmware_command::dbg_decrypt, "DBG_DECRYPT", 28, debug_copy},
    command_info{firmware_command::dbg_encrypt, "DBG_ENCRYPT", 28, debug_copy},
    command_info{firmware_command::snp_init, "SNP_INIT", 0, snp_init},
    command_info{firmware_command::snp_platform_status, "SNP_PLATFORM_STATUS", 8,
                 snp_platform_status},
    command_info{firmware_command::snp_df_flush, "SNP_DF_FLUSH", 0, snp_df_flush},
    command_info{firmware_command::snp_init_ex, "SNP_INIT_EX", 64, snp_init_ex},
    command_info{firmware_command::snp_shutdown_ex, "SNP_SHUTDOWN_EX", 8, snp_shutdown_ex},
    command_info{firmware_command::snp_decommission, "SNP_DECOMMISSION", 8, snp_decommission},
    command_info{firmware_command::snp_activate, "SNP_ACTIVATE", 12, snp_activate},
    command_info{firmware_command::snp_guest_status, "SNP_GUEST_STATUS", 16, snp_guest_status},
    command_info{firmware_command::snp_gctx_create, "SNP_GCTX_CREATE", 8, snp_gctx_create},
    command_info{firmware_command::snp_guest_request, "SNP_GUEST_REQUEST", 24, snp_guest_request},
    command_info{firmware_command::snp_activate_ex, "SNP_ACTIVATE_EX", 32, snp_activate_ex},
    command_info{firmware_command::snp_launch_start, "SNP_LAUNCH_START", 48, snp_launch_start},
    command_info{firmware_command::snp_launch_update, "SNP_LAUNCH_UPDATE", 32, snp_launch_update},
    command_info{firmware_command::snp_launch_finish, "SNP_LAUNCH_FINISH", 64, snp_launch_finish},
    command_info{firmware_command::snp_dbg_decrypt, "SNP_DBG_DECRYPT", 24, snp_dbg_decrypt},
    command_info{firmware_command::snp_dbg_encrypt, "SNP_DBG_ENCRYPT", 24, snp_dbg_encrypt},
    command_info{firmware_command::snp_page_swap_out, "SNP_PAGE_SWAP_OUT", 64, unsupported},
    command_info{firmware_command::snp_page_swap_in, "SNP_PAGE_SWAP_IN", 64, unsupported},
    command_info{firmware_command::snp_page_move, "SNP_PAGE_MOVE", 32, snp_page_move},
    command_info{firmware_command::snp_page_md_init, "SNP_PAGE_MD_INIT", 8, snp_page_md_init},
    command_info{firmware_command::snp_page_set_state, "SNP_PAGE_SET_STATE", 16,
                 snp_page_set_state},
    command_info{firmware_command::snp_page_reclaim, "SNP_PAGE_RECLAIM", 8, snp_page_reclaim},
    command_info{firmware_command::snp_page_unsmash, "SNP_PAGE_UNSMASH", 8, snp_page_unsmash},
    command_info{firmware_command::snp_config, "SNP_CONFIG", 64, snp_config},
    command_info{firmware_command::snp_download_firmware_ex, "SNP_DOWNLOAD_FIRMWARE_EX", 24,
                 snp_download_firmware_ex},
    command_info{firmware_command::snp_commit, "SNP_COMMIT", 4, snp_commit},
    command_info{firmware_command::snp_vlek_load, "SNP_VLEK_LOAD", 16, snp_vlek_load},
    command_info{firmware_command::snp_feature_info, "SNP_FEATURE_INFO", 16, snp_feature_info},
};

const command_info *find_command(std::uint16_t command)
{
    const auto *it = std::ranges::find_if(command_table, [command](const command_info &i) {
        return static_cast<std::uint16_t>(i.id) == command;
    });
    return it == command_table.end() ? nullptr : it;
}

/// Runs the handler on a copy of the command buffer, which then cannot change under it.
firmware_status run(const command_info &info, firmware_call &call)
{
    std::array<std::byte, max_command_bytes> copy{};
    call.buffer = std::span(copy).first(info.buffer_bytes);
    if (!call.m.memory().read(call.buffer_spa, copy.data(), info.buffer_bytes) &&
        info.buffer_bytes != 0) {
        return firmware_status::invalid_address;
    }
    const firmware_status status = info.run(call);
    if (call.write_back) {
        call.m.memory().write(call.buffer_spa, copy.data(), info.buffer_bytes);
    }
    return status;
}

} // namespace

std::string_view firmware_command_name(std::uint16_t command)
{
    const command_info *info = find_command(command);
    return info == nullptr ? "unknown" : info->name;
}

bool firmware_call::is_zero(std::size_t offset, std::size_t bytes) const
{
    return std::ranges::all_of(buffer.subspan(offset, bytes),
                               [](std::byte b) { return b == std::byte{0}; });
}

std::vector<spa_range> own_memory_of(const machine &m, const firmware_state &s)
{
    std::vector<spa_range> out = m.rmp().table_memory();
    out.insert(out.end(), s.iommu_pages.begin(), s.iommu_pages.end());
    if (s.tmr.bytes != 0) {
        out.push_back(s.tmr);
    }
    return out;
}

firmware::firmware(machine &m, settings s) : machine_(m), state_(std::make_unique<firmware_state>())
{
    state_->tracks_wbinvd = s.tracks_wbinvd;
    state_->wbinvd_pending = std::vector<std::atomic<bool>>(m.cpus().cores());
    reset();
}

firmware::~firmware() = default;

firmware_result firmware::execute(std::uint16_t command, spa_t buffer)
{
    firmware_result result;
    const std::scoped_lock lock(lock_);
    firmware_status status = firmware_status::invalid_command;
    if (const command_info *info = find_command(command)) {
        const std::scoped_lock rmp_lock(machine_.rmp_lock());
        firmware_call call{
            .m = machine_, .s = *state_, .result = result, .buffer_spa = buffer & ~c_bit};
        status = run(*info, call);
        ++state_->by_command[command];
    }
    ++state_->commands;
    state_->failed += status != firmware_status::success ? 1 : 0;
    state_->last_command = command;
    result.status = state_->last_status = static_cast<std::uint16_t>(status);
    return result;
}

std::uint16_t firmware::execute(std::uint16_t command, spa_t buffer, rmp_changes &changes)
{
    const firmware_result result = execute(command, buffer);
    for (const rmp_change &r : result.rmp_changes.ranges()) {
        changes.add(r.base, r.bytes, r.host_writable);
    }
    return result.status;
}

void firmware::reset()
{
    const std::scoped_lock lock(lock_);
    firmware_state &s = *state_;
    s.platform_init = s.platform_es = false;
    s.tmr = s.nv = {};
    s.sev_guests.clear();
    s.snp_init = s.rmp_init = false;
    s.asids.reset();
    s.iommu_pages.clear();
    s.current_tcb = s.reported_tcb = firmware_tcb(machine_.cpu());
    s.mask_chip_id = s.mask_chip_key = s.vlek_loaded = false;
    s.guests.clear();
    for (auto &pending : s.wbinvd_pending) {
        pending.store(false);
    }
}

void firmware::note_wbinvd(unsigned thread)
{
    state_->wbinvd_pending[machine_.cpus().core_of_thread[thread]].store(false);
}

firmware_snapshot firmware::snapshot() const
{
    const std::scoped_lock lock(lock_);
    const firmware_state &s = *state_;
    return {.platform_init = s.platform_init,
            .snp_init = s.snp_init,
            .rmp_init = s.rmp_init,
            .commands = s.commands,
            .failed = s.failed,
            .last_command = s.last_command,
            .last_status = s.last_status,
            .guests = s.guests.size(),
            .by_command = s.by_command};
}

std::vector<snp_guest_info> firmware::active_guests() const
{
    const std::scoped_lock lock(lock_);
    std::vector<snp_guest_info> out;
    for (const auto &[context, guest] : state_->guests) {
        out.push_back({.context = context,
                       .asid = guest.asid,
                       .state = guest.state,
                       .launch_digest = guest.launch_digest});
    }
    return out;
}

std::vector<spa_range> firmware::own_memory() const
{
    const std::scoped_lock lock(lock_);
    const std::scoped_lock rmp_lock(machine_.rmp_lock());
    return own_memory_of(machine_, *state_);
}

} // namespace rmpopt::hw
