// SPDX-License-Identifier: GPL-2.0-or-later
// Command buffers and other structures of the SNP firmware ABI, with the field names of AMD 56860.
// Bits that share a word are constants beside it.
#pragma once

#include "hw-model/firmware/common/command.h"

namespace rmpopt::hw
{

#pragma pack(push, 1)

/// SNP_INIT_EX
struct snp_init_ex_buffer {
    static constexpr std::uint32_t init_rmp = 1u << 0, list_paddr_en = 1u << 1, rapl_dis = 1u << 2,
                                   ciphertext_hiding_en = 1u << 3, tio_en = 1u << 4;

    std::uint32_t flags;
    reserved_bytes<4> reserved_04;
    paddr list_paddr;
    std::uint16_t max_snp_asid; ///< with ciphertext_hiding_en
    reserved_bytes<46> reserved_12;
};
static_assert(sizeof(snp_init_ex_buffer) == 64);

/// Page of ranges for SNP_INIT_EX and SNP_PAGE_SET_STATE: a header, then the ranges.
struct range_list_header {
    std::uint32_t num_elements;
    reserved_bytes<4> reserved;
};
static_assert(sizeof(range_list_header) == 8);
struct range_list_element {
    paddr base;
    std::uint32_t page_count;
    reserved_bytes<4> reserved;
};
static_assert(sizeof(range_list_element) == 16);

/// SNP_SHUTDOWN_EX
struct snp_shutdown_ex_buffer {
    static constexpr std::uint32_t iommu_snp_shutdown = 1u << 0, x86_snp_shutdown = 1u << 1;

    std::uint32_t length;
    std::uint32_t flags;
};
static_assert(sizeof(snp_shutdown_ex_buffer) == 8);

/// SNP_PLATFORM_STATUS
struct snp_platform_status_buffer {
    paddr status_paddr;
};
static_assert(sizeof(snp_platform_status_buffer) == 8);
/// What SNP_PLATFORM_STATUS returns.
struct snp_platform_status_structure {
    static constexpr std::uint8_t is_rmp_init = 1u << 0, alias_check_complete = 1u << 1;
    static constexpr std::uint32_t mask_chip_id = 1u << 0, mask_chip_key = 1u << 1,
                                   vlek_en = 1u << 2, feature_info = 1u << 3, rapl_dis = 1u << 4,
                                   ciphertext_hiding_cap = 1u << 5, ciphertext_hiding_en = 1u << 6;

    std::uint8_t api_major, api_minor;
    std::uint8_t state; ///< 0 UNINIT, 1 INIT
    std::uint8_t rmp_flags;
    std::uint32_t build_id;
    std::uint32_t flags;
    std::uint32_t guest_count;
    std::uint64_t current_tcb_version, reported_tcb_version;
};
static_assert(sizeof(snp_platform_status_structure) == 32);

/// SNP_CONFIG
struct snp_config_buffer {
    static constexpr std::uint32_t mask_chip_id = 1u << 0, mask_chip_key = 1u << 1;

    std::uint64_t reported_tcb;
    std::uint32_t flags;
    reserved_bytes<52> reserved;
};
static_assert(sizeof(snp_config_buffer) == 64);

/// SNP_COMMIT
struct snp_commit_buffer {
    std::uint32_t length;
};
static_assert(sizeof(snp_commit_buffer) == 4);

/// SNP_FEATURE_INFO
struct snp_feature_info_buffer {
    std::uint32_t length;
    std::uint32_t ecx_in;
    paddr feature_info_paddr;
};
static_assert(sizeof(snp_feature_info_buffer) == 16);
/// What SNP_FEATURE_INFO returns: registers as of CPUID 8000_0024.
struct feature_info {
    static constexpr std::uint32_t ecx_x86_snp_shutdown = 1u << 1, ecx_rapl_disable = 1u << 2,
                                   ecx_ciphertext_hiding = 1u << 3,
                                   ecx_verify_mitigation = 1u << 13;

    std::uint32_t eax, ebx, ecx, edx;
};
static_assert(sizeof(feature_info) == 16);

/// SNP_VERIFY_MITIGATION
struct snp_verify_mitigation_buffer {
    static constexpr std::uint16_t status = 0, verify = 1;
    static constexpr std::uint32_t dst_paddr_en = 1u << 0, src_paddr_en = 1u << 1;

    std::uint32_t length;
    std::uint16_t subcommand;
    reserved_bytes<2> reserved_06;
    std::uint64_t vector;
    std::uint32_t flags;
    reserved_bytes<4> reserved_14;
    paddr src_paddr, dst_paddr;
    reserved_bytes<24> reserved_28;
};
static_assert(sizeof(snp_verify_mitigation_buffer) == 64);
/// What SNP_VERIFY_MITIGATION returns.
struct mitigation_result {
    std::uint64_t mit_verified_vector, mit_supported_vector;
    std::uint32_t mit_failure_status;
};
static_assert(sizeof(mitigation_result) == 20);

/// SNP_VLEK_LOAD
struct snp_vlek_load_buffer {
    std::uint32_t length;
    std::uint8_t vlek_wrapped_version;
    reserved_bytes<3> reserved;
    paddr vlek_wrapped_paddr;
};
static_assert(sizeof(snp_vlek_load_buffer) == 16);

/// SNP_DOWNLOAD_FIRMWARE_EX
struct snp_download_firmware_ex_buffer {
    static constexpr std::uint32_t commit = 1u << 0;

    std::uint32_t length;
    std::uint32_t flags;
    paddr fw_paddr;
    std::uint32_t fw_len;
    reserved_bytes<4> reserved;
};
static_assert(sizeof(snp_download_firmware_ex_buffer) == 24);

/// SNP_GCTX_CREATE and SNP_DECOMMISSION
struct snp_gctx_buffer {
    paddr gctx_paddr;
};
static_assert(sizeof(snp_gctx_buffer) == 8);

/// SNP_ACTIVATE
struct snp_activate_buffer {
    paddr gctx_paddr;
    std::uint32_t asid;
};
static_assert(sizeof(snp_activate_buffer) == 12);

/// SNP_ACTIVATE_EX
struct snp_activate_ex_buffer {
    std::uint32_t ex_len;
    reserved_bytes<4> reserved;
    paddr gctx_paddr;
    std::uint32_t asid;
    std::uint32_t num_ids;
    paddr id_paddr; ///< list of APIC ids, 4 bytes each
};
static_assert(sizeof(snp_activate_ex_buffer) == 32);

/// SNP_GUEST_STATUS
struct snp_guest_status_buffer {
    paddr gctx_paddr, status_paddr;
};
static_assert(sizeof(snp_guest_status_buffer) == 16);
/// What SNP_GUEST_STATUS returns.
struct snp_guest_status_structure {
    std::uint64_t policy;
    std::uint32_t asid;
    snp_guest_state state;
    reserved_bytes<19> reserved;
};
static_assert(sizeof(snp_guest_status_structure) == 32);

/// SNP_GUEST_REQUEST
struct snp_guest_request_buffer {
    paddr gctx_paddr, request_paddr, response_paddr;
};
static_assert(sizeof(snp_guest_request_buffer) == 24);

/// SNP_LAUNCH_START
struct snp_launch_start_buffer {
    static constexpr std::uint32_t ma_en = 1u << 0, imi_en = 1u << 1;

    paddr gctx_paddr;
    std::uint64_t policy;
    paddr ma_gctx_paddr; ///< context of the migration agent, with ma_en
    std::uint32_t flags;
    std::uint32_t desired_tsc_freq; ///< kHz
    std::array<std::byte, 16> gosvw;
};
static_assert(sizeof(snp_launch_start_buffer) == 48);

/// SNP_LAUNCH_UPDATE
struct snp_launch_update_buffer {
    static constexpr std::uint32_t page_size = 1u << 0, imi_page = 1u << 4;
    static constexpr unsigned page_type_shift = 1, page_type_mask = 7;

    paddr gctx_paddr;
    std::uint32_t flags;
    reserved_bytes<4> reserved_0c;
    paddr page_paddr;
    reserved_bytes<1> reserved_18;
    std::array<std::uint8_t, 3> vmpl_perms; ///< of VMPL 1, 2 and 3
    reserved_bytes<4> reserved_1c;
};
static_assert(sizeof(snp_launch_update_buffer) == 32);

/// SNP_LAUNCH_FINISH
struct snp_launch_finish_buffer {
    static constexpr std::uint64_t id_block_en = 1u << 0, auth_key_en = 1u << 1, vcek_dis = 1u << 2;

    paddr gctx_paddr, id_block_paddr, id_auth_paddr;
    std::uint64_t flags;
    std::array<std::byte, 32> host_data;
};
static_assert(sizeof(snp_launch_finish_buffer) == 64);

/// SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT
struct snp_dbg_buffer {
    paddr gctx_paddr, src_paddr, dst_paddr;
};
static_assert(sizeof(snp_dbg_buffer) == 24);

/// SNP_PAGE_MOVE
struct snp_page_move_buffer {
    static constexpr std::uint32_t page_size = 1u << 0;

    paddr gctx_paddr;
    std::uint32_t flags;
    reserved_bytes<4> reserved;
    paddr src_paddr, dst_paddr;
};
static_assert(sizeof(snp_page_move_buffer) == 32);

/// SNP_PAGE_RECLAIM, SNP_PAGE_UNSMASH
struct snp_page_buffer {
    static constexpr spa_t page_size = 1u << 0;

    paddr page_paddr;
};
static_assert(sizeof(snp_page_buffer) == 8);

/// SNP_PAGE_MD_INIT (AMD's published definitions of the SNP commands)
struct snp_page_md_init_buffer {
    paddr gctx_paddr;
    paddr page_paddr;
};
static_assert(sizeof(snp_page_md_init_buffer) == 16);

/// SNP_PAGE_SET_STATE
struct snp_page_set_state_buffer {
    std::uint32_t length;
    reserved_bytes<4> reserved;
    paddr list_paddr;
};
static_assert(sizeof(snp_page_set_state_buffer) == 16);

#pragma pack(pop)

} // namespace rmpopt::hw
