// SPDX-License-Identifier: GPL-2.0-or-later
// The handlers of all commands, in the order of the manuals. A handler that takes its buffer as
// non-const answers in it (firmware_call::write_back).
#pragma once

#include "hw-model/firmware/internal.h"
#include "hw-model/firmware/sev/command_buffers.h"
#include "hw-model/firmware/snp/command_buffers.h"

namespace rmpopt::hw
{

// SEV (AMD 55766). sev/platform.cc
firmware_status platform_init(firmware_call &c, const init_buffer &b);
firmware_status platform_shutdown(firmware_call &c);
firmware_status platform_status(firmware_call &c, platform_status_buffer &b);
firmware_status df_flush(firmware_call &c);
firmware_status download_firmware(firmware_call &c, const download_firmware_buffer &b);
firmware_status get_id(firmware_call &c, get_id_buffer &b);
// sev/non_volatile.cc
firmware_status platform_init_ex(firmware_call &c, const init_ex_buffer &b);
// sev/platform_certificates.cc
firmware_status factory_reset(firmware_call &c);
firmware_status pek_gen(firmware_call &c);
firmware_status pek_csr(firmware_call &c, pek_csr_buffer &b);
firmware_status pek_cert_import(firmware_call &c, const pek_cert_import_buffer &b);
firmware_status pdh_gen(firmware_call &c);
firmware_status pdh_cert_export(firmware_call &c, pdh_cert_export_buffer &b);
// sev/guest.cc
firmware_status launch_start(firmware_call &c, launch_start_buffer &b);
firmware_status activate(firmware_call &c, const activate_buffer &b);
firmware_status deactivate(firmware_call &c, const handle_buffer &b);
firmware_status decommission(firmware_call &c, const handle_buffer &b);
firmware_status guest_status(firmware_call &c, guest_status_buffer &b);
// sev/launch.cc
firmware_status launch_update_data(firmware_call &c, const launch_update_buffer &b);
firmware_status launch_update_vmsa(firmware_call &c, const launch_update_buffer &b);
firmware_status launch_measure(firmware_call &c, launch_measure_buffer &b);
firmware_status launch_finish(firmware_call &c, const handle_buffer &b);
firmware_status attestation_report(firmware_call &c, attestation_report_buffer &b);
// sev/inject.cc
firmware_status launch_update_secret(firmware_call &c, const launch_secret_buffer &b);
firmware_status debug_copy(firmware_call &c, const dbg_buffer &b);

// SNP (AMD 56860). snp/platform.cc
firmware_status snp_init(firmware_call &c);
firmware_status snp_init_ex(firmware_call &c, const snp_init_ex_buffer &b);
firmware_status snp_shutdown_ex(firmware_call &c, const snp_shutdown_ex_buffer &b);
firmware_status snp_platform_status(firmware_call &c, const snp_platform_status_buffer &b);
firmware_status snp_df_flush(firmware_call &c);
firmware_status snp_config(firmware_call &c, const snp_config_buffer &b);
firmware_status snp_commit(firmware_call &c, const snp_commit_buffer &b);
firmware_status snp_feature_info(firmware_call &c, const snp_feature_info_buffer &b);
// snp/load.cc
firmware_status snp_vlek_load(firmware_call &c, const snp_vlek_load_buffer &b);
firmware_status snp_download_firmware_ex(firmware_call &c,
                                         const snp_download_firmware_ex_buffer &b);
// snp/guest.cc
firmware_status snp_gctx_create(firmware_call &c, const snp_gctx_buffer &b);
firmware_status snp_activate(firmware_call &c, const snp_activate_buffer &b);
firmware_status snp_activate_ex(firmware_call &c, const snp_activate_ex_buffer &b);
firmware_status snp_decommission(firmware_call &c, const snp_gctx_buffer &b);
firmware_status snp_guest_status(firmware_call &c, const snp_guest_status_buffer &b);
firmware_status snp_guest_request(firmware_call &c, const snp_guest_request_buffer &b);
// snp/launch_start.cc, snp/launch_update.cc, snp/launch_finish.cc
firmware_status snp_launch_start(firmware_call &c, const snp_launch_start_buffer &b);
firmware_status snp_launch_update(firmware_call &c, const snp_launch_update_buffer &b);
firmware_status snp_launch_finish(firmware_call &c, const snp_launch_finish_buffer &b);
// snp/guest_pages.cc
firmware_status snp_page_unsmash(firmware_call &c, const snp_page_buffer &b);
firmware_status snp_page_move(firmware_call &c, const snp_page_move_buffer &b);
firmware_status snp_dbg_decrypt(firmware_call &c, const snp_dbg_buffer &b);
firmware_status snp_dbg_encrypt(firmware_call &c, const snp_dbg_buffer &b);
// snp/pages.cc
firmware_status snp_page_reclaim(firmware_call &c, const snp_page_buffer &b);
// snp/page_purposes.cc
firmware_status snp_page_md_init(firmware_call &c, const snp_page_buffer &b);
firmware_status snp_page_set_state(firmware_call &c, const snp_page_set_state_buffer &b);

} // namespace rmpopt::hw
