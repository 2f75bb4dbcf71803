// SPDX-License-Identifier: GPL-2.0-or-later
// The handlers of the SNP firmware ABI (AMD 56860), in its order. A handler that takes its buffer
// as non-const answers in it (firmware_call::write_back).
#pragma once

#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/pages.h"
#include "hw-model/firmware/common/state.h"
#include "hw-model/firmware/snp/command_buffers.h"

namespace rmpopt::hw
{

// platform.cc
firmware_status snp_init(firmware_call &c);
firmware_status snp_init_ex(firmware_call &c, const snp_init_ex_buffer &b);
firmware_status snp_shutdown_ex(firmware_call &c, const snp_shutdown_ex_buffer &b);
firmware_status snp_platform_status(firmware_call &c, const snp_platform_status_buffer &b);
firmware_status snp_df_flush(firmware_call &c);
firmware_status snp_config(firmware_call &c, const snp_config_buffer &b);
firmware_status snp_commit(firmware_call &c, const snp_commit_buffer &b);
firmware_status snp_feature_info(firmware_call &c, const snp_feature_info_buffer &b);
firmware_status snp_verify_mitigation(firmware_call &c, const snp_verify_mitigation_buffer &b);
// load.cc
firmware_status snp_vlek_load(firmware_call &c, const snp_vlek_load_buffer &b);
firmware_status snp_download_firmware_ex(firmware_call &c,
                                         const snp_download_firmware_ex_buffer &b);
// guest.cc
firmware_status snp_gctx_create(firmware_call &c, const snp_gctx_buffer &b);
firmware_status snp_activate(firmware_call &c, const snp_activate_buffer &b);
firmware_status snp_activate_ex(firmware_call &c, const snp_activate_ex_buffer &b);
firmware_status snp_decommission(firmware_call &c, const snp_gctx_buffer &b);
firmware_status snp_guest_status(firmware_call &c, const snp_guest_status_buffer &b);
// launch_start.cc, launch_update.cc, launch_finish.cc
firmware_status snp_launch_start(firmware_call &c, const snp_launch_start_buffer &b);
firmware_status snp_launch_update(firmware_call &c, const snp_launch_update_buffer &b);
firmware_status snp_launch_finish(firmware_call &c, const snp_launch_finish_buffer &b);
// guest_request.cc
firmware_status snp_guest_request(firmware_call &c, const snp_guest_request_buffer &b);
// guest_pages.cc
firmware_status snp_page_unsmash(firmware_call &c, const snp_page_buffer &b);
firmware_status snp_page_move(firmware_call &c, const snp_page_move_buffer &b);
firmware_status snp_dbg_decrypt(firmware_call &c, const snp_dbg_buffer &b);
firmware_status snp_dbg_encrypt(firmware_call &c, const snp_dbg_buffer &b);
// pages.cc
firmware_status snp_page_reclaim(firmware_call &c, const snp_page_buffer &b);
// page_purposes.cc
firmware_status snp_page_md_init(firmware_call &c, const snp_page_md_init_buffer &b);
firmware_status snp_page_set_state(firmware_call &c, const snp_page_set_state_buffer &b);

} // namespace rmpopt::hw
