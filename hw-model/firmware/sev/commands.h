// SPDX-License-Identifier: GPL-2.0-or-later
// The handlers of the SEV API (AMD 55766), in its order. A handler that takes its buffer as
// non-const answers in it (firmware_call::write_back).
#pragma once

#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/pages.h"
#include "hw-model/firmware/common/state.h"
#include "hw-model/firmware/sev/command_buffers.h"

namespace rmpopt::hw
{

// platform.cc
firmware_status platform_init(firmware_call &c, const init_buffer &b);
firmware_status platform_shutdown(firmware_call &c);
firmware_status platform_status(firmware_call &c, platform_status_buffer &b);
firmware_status df_flush(firmware_call &c);
firmware_status download_firmware(firmware_call &c, const download_firmware_buffer &b);
firmware_status get_id(firmware_call &c, get_id_buffer &b);
// non_volatile.cc
firmware_status platform_init_ex(firmware_call &c, const init_ex_buffer &b);
// platform_certificates.cc
firmware_status factory_reset(firmware_call &c);
firmware_status pek_gen(firmware_call &c);
firmware_status pek_csr(firmware_call &c, pek_csr_buffer &b);
firmware_status pek_cert_import(firmware_call &c, const pek_cert_import_buffer &b);
firmware_status pdh_gen(firmware_call &c);
firmware_status pdh_cert_export(firmware_call &c, pdh_cert_export_buffer &b);
// guest.cc
firmware_status launch_start(firmware_call &c, launch_start_buffer &b);
firmware_status activate(firmware_call &c, const activate_buffer &b);
firmware_status deactivate(firmware_call &c, const handle_buffer &b);
firmware_status decommission(firmware_call &c, const handle_buffer &b);
firmware_status guest_status(firmware_call &c, guest_status_buffer &b);
// launch.cc
firmware_status launch_update_data(firmware_call &c, const launch_update_buffer &b);
firmware_status launch_update_vmsa(firmware_call &c, const launch_update_buffer &b);
firmware_status launch_measure(firmware_call &c, launch_measure_buffer &b);
firmware_status launch_finish(firmware_call &c, const handle_buffer &b);
firmware_status attestation_report(firmware_call &c, attestation_report_buffer &b);
// inject.cc
firmware_status launch_update_secret(firmware_call &c, const launch_secret_buffer &b);
firmware_status debug_copy(firmware_call &c, const dbg_buffer &b);

} // namespace rmpopt::hw
