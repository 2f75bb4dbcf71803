// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest and firmware say to each other: the header that all messages have, the messages,
// and the attestation report (AMD 56860, chapter on guest messages; field names as there).
#pragma once

#include "hw-model/firmware/snp/ecdsa.h"
#include "hw-model/firmware/snp/snp.h"

#include <cstddef>

namespace rmpopt::hw
{

#pragma pack(push, 1)

struct guest_message_header {
    static constexpr std::uint8_t aes_256_gcm = 1, version = 1;

    gcm_tag authtag;
    std::array<std::byte, 16> authtag_rest; ///< algorithms with a longer tag do not exist
    std::uint64_t msg_seqno;
    reserved_bytes<8> reserved_28;
    std::uint8_t algo;
    std::uint8_t hdr_version;
    std::uint16_t hdr_size;
    std::uint8_t msg_type, msg_version;
    std::uint16_t msg_size;
    reserved_bytes<4> reserved_38;
    std::uint8_t msg_vmpck; ///< VMPL whose key seals the message
    reserved_bytes<35> reserved_3d;

    /// What the tag authenticates besides the payload: from ALGO on.
    std::span<const std::byte> authenticated() const
    {
        return std::as_bytes(std::span(this, 1)).subspan(offsetof(guest_message_header, algo));
    }
    /// The sequence number, to 12 bytes.
    gcm_nonce nonce() const
    {
        gcm_nonce out{};
        std::memcpy(out.data(), &msg_seqno, sizeof msg_seqno);
        return out;
    }
};
static_assert(sizeof(guest_message_header) == 0x60);

struct guest_message {
    guest_message_header header;
    std::array<std::byte, page_4k - sizeof(guest_message_header)> payload;
};
static_assert(sizeof(guest_message) == page_4k);

/// MSG_KEY_REQ, version 1
struct key_request {
    static constexpr std::uint32_t root_is_vmrk = 1u << 0;
    static constexpr std::uint64_t guest_policy = 1u << 0, image_id = 1u << 1, family_id = 1u << 2,
                                   measurement = 1u << 3, guest_svn = 1u << 4,
                                   tcb_version = 1u << 5, launch_mit_vector = 1u << 6;

    std::uint32_t root_key_select; ///< and KEY_SEL in bits 2:1
    reserved_bytes<4> reserved_04;
    std::uint64_t guest_field_select;
    std::uint32_t vmpl;
    std::uint32_t svn;
    std::uint64_t tcb;
};
static_assert(sizeof(key_request) == 0x20);
/// MSG_KEY_REQ, version 2
struct key_request_2 {
    key_request first;
    std::uint64_t mit_vector;
};
static_assert(sizeof(key_request_2) == 0x28);
/// MSG_KEY_RSP
struct key_response {
    std::uint32_t status;
    reserved_bytes<28> reserved;
    std::array<std::byte, 32> derived_key;
};
static_assert(sizeof(key_response) == 0x40);

struct snp_report {
    static constexpr std::uint32_t author_key_en = 1u << 0, mask_chip_key = 1u << 1,
                                   signed_by_nobody = 7u << 2; ///< VCEK: 0, VLEK: 1
    static constexpr std::uint64_t smt_en = 1u << 0, rapl_dis = 1u << 3,
                                   ciphertext_hiding = 1u << 4, alias_check_complete = 1u << 5;
    static constexpr std::uint32_t ecdsa_p384_sha384 = 1;
    struct firmware_number {
        std::uint8_t build, minor, major;
        reserved_bytes<1> reserved;
    };

    std::uint32_t version;
    std::uint32_t guest_svn;
    std::uint64_t policy;
    std::array<std::byte, 16> family_id, image_id;
    std::uint32_t vmpl;
    std::uint32_t signature_algo;
    std::uint64_t current_tcb;
    std::uint64_t platform_info;
    std::uint32_t key_info;
    reserved_bytes<4> reserved_4c;
    std::array<std::byte, 64> report_data;
    sha384_digest measurement;
    std::array<std::byte, 32> host_data;
    sha384_digest id_key_digest, author_key_digest;
    std::array<std::byte, 32> report_id, report_id_ma;
    std::uint64_t reported_tcb;
    std::uint8_t cpuid_fam_id, cpuid_mod_id, cpuid_step; ///< from version 3 on
    reserved_bytes<21> reserved_18b;
    std::array<std::byte, 64> chip_id;
    std::uint64_t committed_tcb;
    firmware_number current, committed;
    std::uint64_t launch_tcb;
    std::uint64_t launch_mit_vector, current_mit_vector; ///< from version 5 on
    reserved_bytes<152> reserved_208;
    ecdsa_signature signature;

    std::span<const std::byte> signed_part() const
    {
        return std::as_bytes(std::span(this, 1)).first(offsetof(snp_report, signature));
    }
};
static_assert(offsetof(snp_report, report_data) == 0x50 &&
              offsetof(snp_report, reported_tcb) == 0x180 &&
              offsetof(snp_report, chip_id) == 0x1a0 && offsetof(snp_report, launch_tcb) == 0x1f0 &&
              offsetof(snp_report, signature) == 0x2a0 && sizeof(snp_report) == 0x4a0);

/// MSG_REPORT_REQ
struct report_request {
    std::array<std::byte, 64> report_data;
    std::uint32_t vmpl;
    std::uint32_t key_sel;
    reserved_bytes<24> reserved;
};
static_assert(sizeof(report_request) == 0x60);
/// MSG_REPORT_RSP
struct report_response {
    std::uint32_t status;
    std::uint32_t report_size;
    reserved_bytes<24> reserved;
    snp_report report;
};
static_assert(sizeof(report_response) == 0x4c0);

/// MSG_TSC_INFO_REQ
struct tsc_info_request {
    reserved_bytes<128> reserved;
};
/// MSG_TSC_INFO_RSP
struct tsc_info_response {
    std::uint32_t status;
    reserved_bytes<4> reserved_04;
    std::uint64_t guest_tsc_scale; ///< 32 bits of it are behind the point
    std::uint64_t guest_tsc_offset;
    std::uint32_t tsc_factor;
    reserved_bytes<100> reserved_1c;
};
static_assert(sizeof(tsc_info_response) == 128);

#pragma pack(pop)

/// A message whose seal was right.
struct guest_call {
    const firmware_call &c;
    const snp_guest &guest;
    unsigned vmpl; ///< of the key that sealed it
};

/// Whether a sender may speak for this VMPL: its own or a less privileged one.
inline bool speaks_for(const guest_call &call, std::uint32_t vmpl)
{
    return vmpl >= call.vmpl && vmpl < vmpls;
}

/// KEY_SEL of a message: INVALID_PARAM if there is no such key, INVALID_KEY if it can't be used.
/// 0 is a VLEK if the host has loaded one, else the VCEK; 1 is the VCEK, 2 a VLEK. The model cannot
/// unwrap a VLEK, so it never has one.
inline firmware_status check_endorsement_key(const guest_call &call, std::uint32_t key_sel)
{
    constexpr std::uint32_t vlek = 2;
    return in_order(must(key_sel <= vlek, invalid_param),
                    must(key_sel != vlek && !call.guest.vcek_disabled, invalid_key));
}

// attestation_report.cc
report_response answer_report_request(const guest_call &call, const report_request &r);
/// Version of the format that this firmware writes.
std::uint32_t report_version(const firmware_version &firmware);

// derived_key.cc
key_response answer_key_request(const guest_call &call, const key_request &r);
key_response answer_key_request_2(const guest_call &call, const key_request_2 &r);

} // namespace rmpopt::hw
