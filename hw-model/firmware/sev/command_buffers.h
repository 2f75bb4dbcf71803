// SPDX-License-Identifier: GPL-2.0-or-later
// Command buffers and other structures of the SEV API, with the field names of AMD 55766. Of
// its reserved fields only that of INIT_EX is checked: whether the others are is not documented.
#pragma once

#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/crypto.h"

namespace rmpopt::hw
{

/// States that PLATFORM_STATUS reports.
enum class platform_phase : std::uint8_t { uninit = 0, init = 1, working = 2 };

#pragma pack(push, 1)

/// INIT
struct init_buffer {
    static constexpr std::uint32_t es = 1u << 0; ///< flag: SEV-ES

    std::uint32_t flags;
    reserved_bytes<4> reserved;
    paddr tmr_paddr;
    std::uint32_t tmr_length;

    spa_range tmr() const { return {tmr_paddr, tmr_length}; }
};
static_assert(sizeof(init_buffer) == 20);

/// INIT_EX
struct init_ex_buffer {
    std::uint32_t length;
    std::uint32_t flags;
    paddr tmr_paddr;
    std::uint32_t tmr_length;
    reserved_bytes<4> reserved;
    paddr nv_paddr;
    std::uint32_t nv_length;

    spa_range tmr() const { return {tmr_paddr, tmr_length}; }
    spa_range nv() const { return {nv_paddr, nv_length}; }
};
static_assert(sizeof(init_ex_buffer) == 36);

/// PLATFORM_STATUS
struct platform_status_buffer {
    static constexpr std::uint32_t owned = 1u << 0, config_es = 1u << 8;

    std::uint8_t api_major, api_minor;
    platform_phase state;
    std::uint32_t flags;
    std::uint8_t build;
    std::uint32_t guest_count;
};
static_assert(sizeof(platform_status_buffer) == 12);

/// DOWNLOAD_FIRMWARE
struct download_firmware_buffer {
    paddr fw_paddr;
    std::uint32_t fw_len;
};
static_assert(sizeof(download_firmware_buffer) == 12);

/// GET_ID
struct get_id_buffer {
    paddr id_paddr;
    std::uint32_t id_len;
};
static_assert(sizeof(get_id_buffer) == 12);

/// PEK_CSR
struct pek_csr_buffer {
    paddr csr_paddr;
    std::uint32_t csr_len;
};
static_assert(sizeof(pek_csr_buffer) == 12);

/// PEK_CERT_IMPORT
struct pek_cert_import_buffer {
    paddr pek_cert_paddr;
    std::uint32_t pek_cert_len;
    reserved_bytes<4> reserved;
    paddr oca_cert_paddr;
    std::uint32_t oca_cert_len;
};
static_assert(sizeof(pek_cert_import_buffer) == 28);

/// PDH_CERT_EXPORT
struct pdh_cert_export_buffer {
    paddr pdh_cert_paddr;
    std::uint32_t pdh_cert_len;
    reserved_bytes<4> reserved;
    paddr cert_chain_paddr;
    std::uint32_t cert_chain_len;
};
static_assert(sizeof(pdh_cert_export_buffer) == 28);

/// LAUNCH_START
struct launch_start_buffer {
    std::uint32_t handle; ///< in: guest to share a key with; out: the new guest
    std::uint32_t policy;
    paddr dh_cert_paddr;
    std::uint32_t dh_cert_len;
    reserved_bytes<4> reserved;
    paddr session_paddr;
    std::uint32_t session_len;
};
static_assert(sizeof(launch_start_buffer) == 36);

/// ACTIVATE
struct activate_buffer {
    std::uint32_t handle;
    std::uint32_t asid;
};
static_assert(sizeof(activate_buffer) == 8);

/// DEACTIVATE, DECOMMISSION, LAUNCH_FINISH
struct handle_buffer {
    std::uint32_t handle;
};
static_assert(sizeof(handle_buffer) == 4);

/// GUEST_STATUS
struct guest_status_buffer {
    std::uint32_t handle;
    std::uint32_t policy;
    std::uint32_t asid;
    sev_guest_state state;
};
static_assert(sizeof(guest_status_buffer) == 13);

/// LAUNCH_UPDATE_DATA and LAUNCH_UPDATE_VMSA
struct launch_update_buffer {
    std::uint32_t handle;
    reserved_bytes<4> reserved;
    paddr data_paddr;
    std::uint32_t length;

    spa_range data() const { return {data_paddr, length}; }
};
static_assert(sizeof(launch_update_buffer) == 20);

/// LAUNCH_MEASURE
struct launch_measure_buffer {
    std::uint32_t handle;
    reserved_bytes<4> reserved;
    paddr measure_paddr;
    std::uint32_t measure_len;
};
static_assert(sizeof(launch_measure_buffer) == 20);
/// What LAUNCH_MEASURE writes.
struct launch_measurement {
    sha256_digest measure;
    std::array<std::byte, 16> mnonce;
};
static_assert(sizeof(launch_measurement) == 48);

/// LAUNCH_UPDATE_SECRET
struct launch_secret_buffer {
    std::uint32_t handle;
    reserved_bytes<4> reserved_04;
    paddr hdr_paddr;
    std::uint32_t hdr_len;
    reserved_bytes<4> reserved_14;
    paddr guest_paddr;
    std::uint32_t guest_len;
    reserved_bytes<4> reserved_24;
    paddr trans_paddr;
    std::uint32_t trans_len;

    spa_range guest() const { return {guest_paddr, guest_len}; }
};
static_assert(sizeof(launch_secret_buffer) == 52);
/// Header of the packet that LAUNCH_UPDATE_SECRET takes.
struct secret_header {
    std::uint32_t flags; ///< bit 0: compressed
    aes128_block iv;
    sha256_digest mac;
};
static_assert(sizeof(secret_header) == 52);

/// ATTESTATION_REPORT
struct attestation_report_buffer {
    std::uint32_t handle;
    reserved_bytes<4> reserved;
    paddr report_paddr;
    std::array<std::byte, 16> mnonce;
    std::uint32_t report_len;
};
static_assert(sizeof(attestation_report_buffer) == 36);
/// What ATTESTATION_REPORT writes.
struct attestation_report_structure {
    std::array<std::byte, 16> mnonce;
    sha256_digest launch_digest;
    std::uint32_t policy;
    std::uint32_t sig_usage;
    std::uint32_t sig_algo;
    reserved_bytes<4> reserved;
    std::array<std::byte, 144> sig1;
};
static_assert(sizeof(attestation_report_structure) == 208);

/// DBG_DECRYPT and DBG_ENCRYPT
struct dbg_buffer {
    std::uint32_t handle;
    reserved_bytes<4> reserved;
    paddr src_paddr, dst_paddr;
    std::uint32_t length;
};
static_assert(sizeof(dbg_buffer) == 28);

#pragma pack(pop)

} // namespace rmpopt::hw
