// SPDX-License-Identifier: GPL-2.0-or-later
// Random numbers of a guest, which hardware draws when the guest is launched.
#include "hw-model/firmware/snp/snp.h"

namespace rmpopt::hw
{

namespace
{

sha384_digest drawn(std::uint64_t purpose, std::uint64_t serial, std::uint64_t number)
{
    const std::array seed{purpose, serial, number};
    return sha384(std::as_bytes(std::span(seed)));
}

std::array<std::byte, 32> first_32(const sha384_digest &of)
{
    std::array<std::byte, 32> out;
    std::copy_n(of.begin(), out.size(), out.begin());
    return out;
}

constexpr std::uint64_t vmpck = 0x564d50434b, vmrk = 0x564d524b, report = 0x5245504f5254;

} // namespace

aes256_key communication_key(const snp_guest &guest, unsigned vmpl)
{
    return first_32(drawn(vmpck, guest.serial, vmpl));
}

sha384_digest guest_root_key(const snp_guest &guest)
{
    return drawn(vmrk, guest.serial, 0);
}

std::array<std::byte, 32> report_id(std::uint64_t serial)
{
    return first_32(drawn(report, serial, 0));
}

} // namespace rmpopt::hw
