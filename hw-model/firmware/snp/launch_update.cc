// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_UPDATE: one page more in the guest's initial memory and in its launch digest.
#include "hw-model/firmware/snp/snp.h"

#include <algorithm>
#include <array>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint8_t known_permissions = vmpl_perm::all | vmpl_perm::sss;

struct update {
    page_operand page;
    measured_page measured;
};

/// Fields as such, before any page is looked at.
firmware_status decode(const snp_launch_update_buffer &b, const snp_guest &guest, update &u)
{
    using buffer = snp_launch_update_buffer;
    constexpr std::uint32_t known_flags =
        buffer::page_size | buffer::page_type_mask << buffer::page_type_shift | buffer::imi_page;
    const unsigned type = b.flags >> buffer::page_type_shift & buffer::page_type_mask;
    const bool known_type = type >= static_cast<unsigned>(launch_page::normal) &&
                            type <= static_cast<unsigned>(launch_page::cpuid);
    const bool known_perms = std::ranges::all_of(
        b.vmpl_perms, [](std::uint8_t p) { return (p & ~known_permissions) == 0; });
    u.page = {.spa = b.page_paddr, .size_2m = (b.flags & buffer::page_size) != 0};
    u.measured.type = static_cast<launch_page>(type);
    u.measured.imi = (b.flags & buffer::imi_page) != 0;
    u.measured.vmpl = {vmpl_perm::all, b.vmpl_perms[0], b.vmpl_perms[1], b.vmpl_perms[2]};
    return must((b.flags & ~known_flags) == 0 &&
                    reserved_zero(b.reserved_0c, b.reserved_18, b.reserved_1c) && known_type &&
                    known_perms && (!u.measured.imi || guest.imi),
                invalid_param);
}

/// Pages with a structure in them are 4 KB.
bool may_be_2m(launch_page type)
{
    return type == launch_page::normal || type == launch_page::zero ||
           type == launch_page::unmeasured;
}

firmware_status check_page(const firmware_call &c, const snp_guest &guest, const update &u)
{
    return in_order([&] { return check_guest_page(c, u.page, guest, {page_state::pre_guest}); },
                    must(!u.page.size_2m || may_be_2m(u.measured.type), invalid_page_size));
}

/// What firmware writes into the page.
firmware_status fill(const firmware_call &c, const snp_guest &guest, const update &u)
{
    switch (u.measured.type) {
    case launch_page::zero:
        std::memset(c.m.memory().at(u.page.spa, u.page.bytes()), 0, u.page.bytes());
        return success;
    case launch_page::secrets:
        write_secrets_page(c, guest, u.page.spa);
        return success;
    case launch_page::cpuid:
        return check_cpuid_page(c, u.page.spa);
    default:
        return success;
    }
}

/// What the digest takes in of 4 KB: of a VMSA all but the guest's TSC scale and offset, which
/// firmware sets (Freax13/mushroom, whose digests agree with reports of hardware).
std::array<std::byte, page_4k> digested(launch_page type, const std::byte *content)
{
    constexpr std::size_t tsc_fields = 0x2f0, tsc_bytes = 16;
    std::array<std::byte, page_4k> out;
    std::copy_n(content, out.size(), out.begin());
    if (type == launch_page::vmsa) {
        std::fill_n(out.begin() + tsc_fields, tsc_bytes, std::byte{});
    }
    return out;
}

/// 4 KB by 4 KB in ascending order, so that the digest does not depend on the size of pages.
void measure(const firmware_call &c, snp_guest &guest, const update &u)
{
    measured_page part = u.measured;
    const std::byte *content = c.m.memory().at(u.page.spa, u.page.bytes());
    for (std::uint64_t offset = 0; offset < u.page.bytes(); offset += page_4k) {
        guest.launch_digest =
            extend_digest(guest.launch_digest, part, digested(part.type, content + offset));
        part.gpa += page_4k;
    }
}

/// The page is encrypted in place, and Pre-Guest becomes Guest-Valid.
void hand_over(firmware_call &c, const snp_guest &guest, const update &u)
{
    c.m.recode_page(guest.asid, u.page.spa, u.page.bytes());
    rmp_entry e = c.m.rmp().load(u.page.spa);
    e.immutable = false;
    e.validated = true;
    e.vmsa = u.measured.type == launch_page::vmsa;
    e.vmpl = u.measured.vmpl;
    c.m.replace_entry(u.page.spa, e, c.result.rmp_changes);
}

} // namespace

/// AMD 56860, SNP_LAUNCH_UPDATE.
firmware_status snp_launch_update(firmware_call &c, const snp_launch_update_buffer &b)
{
    snp_guest *guest = nullptr;
    update u;
    return in_order(
        [&] { return find_guest(c, b.gctx_paddr, guest); },
        [&] { return must(guest->state == snp_guest_state::launch, invalid_guest_state); },
        [&] { return must(guest->active(), inactive); }, [&] { return decode(b, *guest, u); },
        [&] { return check_page(c, *guest, u); }, [&] { return fill(c, *guest, u); },
        [&] {
            u.measured.gpa = c.m.rmp().load(u.page.spa).gpa;
            measure(c, *guest, u);
            hand_over(c, *guest, u);
        });
}

} // namespace rmpopt::hw
