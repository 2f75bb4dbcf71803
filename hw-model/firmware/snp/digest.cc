// SPDX-License-Identifier: GPL-2.0-or-later
// The launch digest: SHA-384 over a chain of PAGE_INFO structures (AMD 56860, SNP_LAUNCH_UPDATE).
// The VMPL permissions come in the order of the command's buffer (AMD's published definition,
// snp_launch_update_page_info; seen in reports of hardware by Freax13/mushroom). Tools that have
// them the other way round have only been compared with zeros.

#include "hw-model/firmware/snp/snp.h"

#include <cstring>

namespace rmpopt::hw
{

namespace
{

struct page_info {
    sha384_digest digest_current;
    sha384_digest contents;
    std::uint16_t length;
    std::uint8_t page_type;
    std::uint8_t imi_page;
    std::uint8_t reserved;
    std::uint8_t vmpl1, vmpl2, vmpl3;
    std::uint64_t gpa;
};
static_assert(sizeof(page_info) == 112);

} // namespace

sha384_digest extend_digest(const sha384_digest &current, const measured_page &page,
                            std::span<const std::byte> content)
{
    const bool measured = page.type == launch_page::normal || page.type == launch_page::vmsa;
    const page_info info{
        .digest_current = current,
        .contents = measured ? sha384(content) : sha384_digest{},
        .length = sizeof(page_info),
        .page_type = static_cast<std::uint8_t>(page.type),
        .imi_page = static_cast<std::uint8_t>(page.imi ? 1 : 0),
        .reserved = 0,
        .vmpl1 = page.vmpl[1],
        .vmpl2 = page.vmpl[2],
        .vmpl3 = page.vmpl[3],
        .gpa = page.gpa,
    };
    return sha384(std::as_bytes(std::span(&info, 1)));
}

} // namespace rmpopt::hw
