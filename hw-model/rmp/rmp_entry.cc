// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/rmp/rmp_entry.h"

#include <cstring>

namespace rmpopt::hw
{

namespace
{

// Raw layout of the low half (Linux names the fields up to `validated`; sub-page count and lock
// are seen in dumps of real tables).
constexpr unsigned assigned_bit = 0, size_bit = 1, immutable_bit = 2, subpage_shift = 3;
constexpr unsigned asid_shift = 51, vmsa_bit = 61, validated_bit = 62, lock_bit = 63;
constexpr std::uint64_t subpage_mask = 0x1ff, asid_mask = 0x3ff;
constexpr std::uint64_t gpa_mask = ((1ull << 51) - 1) & ~(page_4k - 1);

constexpr std::uint64_t bit(bool v, unsigned n)
{
    return static_cast<std::uint64_t>(v) << n;
}
constexpr bool has(std::uint64_t v, unsigned n)
{
    return ((v >> n) & 1) != 0;
}

// Offsets in the architectural record (APM vol. 3, RMPUPDATE and RMPREAD).
constexpr std::size_t rec_gpa = 0, rec_assigned = 8, rec_size = 9, rec_immutable = 10,
                      rec_asid = 12;

} // namespace

rmp_entry rmp_entry::decode(rmp_entry_raw raw)
{
    rmp_entry e;
    e.assigned = has(raw.lo, assigned_bit);
    e.size_2m = has(raw.lo, size_bit);
    e.immutable = has(raw.lo, immutable_bit);
    e.subpage_count = static_cast<std::uint16_t>((raw.lo >> subpage_shift) & subpage_mask);
    e.gpa = raw.lo & gpa_mask;
    e.asid = static_cast<std::uint16_t>((raw.lo >> asid_shift) & asid_mask);
    e.vmsa = has(raw.lo, vmsa_bit);
    e.validated = has(raw.lo, validated_bit);
    e.lock = has(raw.lo, lock_bit);
    for (unsigned i = 0; i < e.vmpl.size(); ++i) {
        e.vmpl[i] = static_cast<std::uint8_t>(raw.hi >> (8 * i));
    }
    return e;
}

rmp_entry_raw rmp_entry::encode() const
{
    rmp_entry_raw raw;
    raw.lo = bit(assigned, assigned_bit) | bit(size_2m, size_bit) | bit(immutable, immutable_bit) |
             (subpage_count & subpage_mask) << subpage_shift | (gpa & gpa_mask) |
             (asid & asid_mask) << asid_shift | bit(vmsa, vmsa_bit) |
             bit(validated, validated_bit) | bit(lock, lock_bit);
    for (unsigned i = 0; i < vmpl.size(); ++i) {
        raw.hi |= static_cast<std::uint64_t>(vmpl[i]) << (8 * i);
    }
    return raw;
}

rmp_record rmp_record::decode(const std::array<std::byte, bytes> &raw)
{
    rmp_record r;
    std::memcpy(&r.gpa, &raw[rec_gpa], sizeof r.gpa);
    r.assigned = (raw[rec_assigned] & std::byte{1}) != std::byte{0};
    r.size_2m = (raw[rec_size] & std::byte{1}) != std::byte{0};
    r.hpage_region_status = (raw[rec_size] & std::byte{2}) != std::byte{0};
    r.immutable = (raw[rec_immutable] & std::byte{1}) != std::byte{0};
    std::memcpy(&r.asid, &raw[rec_asid], sizeof r.asid);
    return r;
}

std::array<std::byte, rmp_record::bytes> rmp_record::encode() const
{
    std::array<std::byte, bytes> raw{};
    std::memcpy(&raw[rec_gpa], &gpa, sizeof gpa);
    raw[rec_assigned] = std::byte{assigned};
    raw[rec_size] = std::byte{size_2m} | (std::byte{hpage_region_status} << 1);
    raw[rec_immutable] = std::byte{immutable};
    std::memcpy(&raw[rec_asid], &asid, sizeof asid);
    return raw;
}

} // namespace rmpopt::hw
