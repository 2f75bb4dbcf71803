// SPDX-License-Identifier: GPL-2.0-or-later
// The dispatcher: which commands exist and what happens around each.
#include "hw-model/firmware/firmware.h"

#include "hw-model/firmware/sev/commands.h"
#include "hw-model/firmware/snp/snp.h"

#include <algorithm>
#include <type_traits>

namespace rmpopt::hw
{

namespace
{

struct command_info {
    firmware_command id;
    std::string_view name;
    firmware_status (*run)(firmware_call &);
};

/// Calls a handler, if it takes a command buffer with a copy of that: it cannot change under the
/// handler.
template <auto handler> struct runner;
template <firmware_status (*handler)(firmware_call &)> struct runner<handler> {
    static firmware_status run(firmware_call &c) { return handler(c); }
};
template <class Buffer, firmware_status (*handler)(firmware_call &, Buffer &)>
struct runner<handler> {
    static firmware_status run(firmware_call &c)
    {
        std::remove_const_t<Buffer> copy{};
        static_assert(std::is_trivially_copyable_v<decltype(copy)> && alignof(Buffer) == 1);
        c.buffer.bytes = sizeof copy;
        if (!c.m.memory().read(c.buffer.base, &copy, sizeof copy)) {
            return invalid_address;
        }
        const firmware_status status = handler(c, copy);
        if (c.write_back) {
            c.m.memory().write(c.buffer.base, &copy, sizeof copy);
        }
        return status;
    }
};

template <auto handler> constexpr command_info entry(firmware_command id, std::string_view name)
{
    return {.id = id, .name = name, .run = runner<handler>::run};
}

/// Commands that hosts do without: guests can be neither migrated, because the keys that this would
/// wrap do not exist, nor swapped out.
firmware_status not_offered(firmware_call &)
{
    return unsupported;
}
firmware_status swap_not_offered(firmware_call &, const reserved_bytes<64> &)
{
    return unsupported;
}

constexpr std::array command_table{
    entry<platform_init>(firmware_command::init, "INIT"),
    entry<platform_shutdown>(firmware_command::shutdown, "SHUTDOWN"),
    entry<factory_reset>(firmware_command::factory_reset, "FACTORY_RESET"),
    entry<platform_status>(firmware_command::platform_status, "PLATFORM_STATUS"),
    entry<pek_gen>(firmware_command::pek_gen, "PEK_GEN"),
    entry<pek_csr>(firmware_command::pek_csr, "PEK_CSR"),
    entry<pek_cert_import>(firmware_command::pek_cert_import, "PEK_CERT_IMPORT"),
    entry<pdh_cert_export>(firmware_command::pdh_cert_export, "PDH_CERT_EXPORT"),
    entry<pdh_gen>(firmware_command::pdh_gen, "PDH_GEN"),
    entry<df_flush>(firmware_command::df_flush, "DF_FLUSH"),
    entry<download_firmware>(firmware_command::download_firmware, "DOWNLOAD_FIRMWARE"),
    entry<get_id>(firmware_command::get_id, "GET_ID"),
    entry<platform_init_ex>(firmware_command::init_ex, "INIT_EX"),
    entry<decommission>(firmware_command::decommission, "DECOMMISSION"),
    entry<activate>(firmware_command::activate, "ACTIVATE"),
    entry<deactivate>(firmware_command::deactivate, "DEACTIVATE"),
    entry<guest_status>(firmware_command::guest_status, "GUEST_STATUS"),
    entry<launch_start>(firmware_command::launch_start, "LAUNCH_START"),
    entry<launch_update_data>(firmware_command::launch_update_data, "LAUNCH_UPDATE_DATA"),
    entry<launch_update_vmsa>(firmware_command::launch_update_vmsa, "LAUNCH_UPDATE_VMSA"),
    entry<launch_measure>(firmware_command::launch_measure, "LAUNCH_MEASURE"),
    entry<launch_update_secret>(firmware_command::launch_update_secret, "LAUNCH_UPDATE_SECRET"),
    entry<launch_finish>(firmware_command::launch_finish, "LAUNCH_FINISH"),
    entry<attestation_report>(firmware_command::attestation_report, "ATTESTATION_REPORT"),
    entry<not_offered>(firmware_command::send_start, "SEND_START"),
    entry<not_offered>(firmware_command::send_update_data, "SEND_UPDATE_DATA"),
    entry<not_offered>(firmware_command::send_update_vmsa, "SEND_UPDATE_VMSA"),
    entry<not_offered>(firmware_command::send_finish, "SEND_FINISH"),
    entry<not_offered>(firmware_command::send_cancel, "SEND_CANCEL"),
    entry<not_offered>(firmware_command::receive_start, "RECEIVE_START"),
    entry<not_offered>(firmware_command::receive_update_data, "RECEIVE_UPDATE_DATA"),
    entry<not_offered>(firmware_command::receive_update_vmsa, "RECEIVE_UPDATE_VMSA"),
    entry<not_offered>(firmware_command::receive_finish, "RECEIVE_FINISH"),
    entry<debug_copy>(firmware_command::dbg_decrypt, "DBG_DECRYPT"),
    entry<debug_copy>(firmware_command::dbg_encrypt, "DBG_ENCRYPT"),
    entry<snp_init>(firmware_command::snp_init, "SNP_INIT"),
    entry<snp_platform_status>(firmware_command::snp_platform_status, "SNP_PLATFORM_STATUS"),
    entry<snp_df_flush>(firmware_command::snp_df_flush, "SNP_DF_FLUSH"),
    entry<snp_init_ex>(firmware_command::snp_init_ex, "SNP_INIT_EX"),
    entry<snp_shutdown_ex>(firmware_command::snp_shutdown_ex, "SNP_SHUTDOWN_EX"),
    entry<snp_decommission>(firmware_command::snp_decommission, "SNP_DECOMMISSION"),
    entry<snp_activate>(firmware_command::snp_activate, "SNP_ACTIVATE"),
    entry<snp_guest_status>(firmware_command::snp_guest_status, "SNP_GUEST_STATUS"),
    entry<snp_gctx_create>(firmware_command::snp_gctx_create, "SNP_GCTX_CREATE"),
    entry<snp_guest_request>(firmware_command::snp_guest_request, "SNP_GUEST_REQUEST"),
    entry<snp_activate_ex>(firmware_command::snp_activate_ex, "SNP_ACTIVATE_EX"),
    entry<snp_launch_start>(firmware_command::snp_launch_start, "SNP_LAUNCH_START"),
    entry<snp_launch_update>(firmware_command::snp_launch_update, "SNP_LAUNCH_UPDATE"),
    entry<snp_launch_finish>(firmware_command::snp_launch_finish, "SNP_LAUNCH_FINISH"),
    entry<snp_dbg_decrypt>(firmware_command::snp_dbg_decrypt, "SNP_DBG_DECRYPT"),
    entry<snp_dbg_encrypt>(firmware_command::snp_dbg_encrypt, "SNP_DBG_ENCRYPT"),
    entry<snp_verify_mitigation>(firmware_command::snp_verify_mitigation, "SNP_VERIFY_MITIGATION"),
    entry<swap_not_offered>(firmware_command::snp_page_swap_out, "SNP_PAGE_SWAP_OUT"),
    entry<swap_not_offered>(firmware_command::snp_page_swap_in, "SNP_PAGE_SWAP_IN"),
    entry<snp_page_move>(firmware_command::snp_page_move, "SNP_PAGE_MOVE"),
    entry<snp_page_md_init>(firmware_command::snp_page_md_init, "SNP_PAGE_MD_INIT"),
    entry<snp_page_set_state>(firmware_command::snp_page_set_state, "SNP_PAGE_SET_STATE"),
    entry<snp_page_reclaim>(firmware_command::snp_page_reclaim, "SNP_PAGE_RECLAIM"),
    entry<snp_page_unsmash>(firmware_command::snp_page_unsmash, "SNP_PAGE_UNSMASH"),
    entry<snp_config>(firmware_command::snp_config, "SNP_CONFIG"),
    entry<snp_download_firmware_ex>(firmware_command::snp_download_firmware_ex,
                                    "SNP_DOWNLOAD_FIRMWARE_EX"),
    entry<snp_commit>(firmware_command::snp_commit, "SNP_COMMIT"),
    entry<snp_vlek_load>(firmware_command::snp_vlek_load, "SNP_VLEK_LOAD"),
    entry<snp_feature_info>(firmware_command::snp_feature_info, "SNP_FEATURE_INFO"),
};

const command_info *find_command(std::uint16_t command)
{
    const auto *it = std::ranges::find_if(command_table, [command](const command_info &i) {
        return static_cast<std::uint16_t>(i.id) == command;
    });
    return it == command_table.end() ? nullptr : it;
}

} // namespace

std::string_view firmware_command_name(std::uint16_t command)
{
    const command_info *info = find_command(command);
    return info == nullptr ? "unknown" : info->name;
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
    firmware_status status = invalid_command;
    if (const command_info *info = find_command(command)) {
        const std::scoped_lock rmp_lock(machine_.rmp_lock());
        firmware_call call{
            .m = machine_, .s = *state_, .result = result, .buffer = {.base = buffer & ~c_bit}};
        status = info->run(call);
        ++state_->by_command[command];
    }
    ++state_->commands;
    state_->failed += status != success ? 1 : 0;
    state_->last_command = command;
    result.status = state_->last_status = static_cast<std::uint16_t>(status);
    return result;
}

firmware_result firmware::reset()
{
    const std::scoped_lock lock(lock_);
    firmware_result result{.snp_init = false};
    for (const auto &[context, guest] : state_->guests) {
        result.guests.push_back({guest_event::kind::ended, context, guest.asid});
    }
    const std::uint64_t tcb = firmware_tcb(machine_.cpu());
    static_cast<volatile_state &>(*state_) = {.current_tcb = tcb, .reported_tcb = tcb};
    for (auto &pending : state_->wbinvd_pending) {
        pending.store(false);
    }
    result.own_memory = own_memory_of(machine_, *state_);
    return result;
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

} // namespace rmpopt::hw
