// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_UPDATE: one page more in the guest's initial memory and in its launch digest.
#include "hw-model/firmware/internal.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t size_2m = 1u << 0, imi_page = 1u << 4;
constexpr unsigned type_shift = 1, type_mask = 7;

constexpr std::uint8_t known_permissions = vmpl_perm::all | vmpl_perm::sss;

struct update {
    page_operand page;
    measured_page measured;
};

/// Fields as such, before any page is looked at.
firmware_status decode(const firmware_call &c, const snp_guest &guest, update &u)
{
    const auto flags = c.get<std::uint32_t>(8);
    const unsigned type = flags >> type_shift & type_mask;
    if ((flags & ~(size_2m | type_mask << type_shift | imi_page)) != 0 || !c.is_zero(12, 4) ||
        !c.is_zero(24, 1) || !c.is_zero(28, 4)) {
        return firmware_status::invalid_param;
    }
    if (type < static_cast<unsigned>(launch_page::normal) ||
        type > static_cast<unsigned>(launch_page::cpuid)) {
        return firmware_status::invalid_param;
    }
    u.page = {.spa = c.get_address(16), .size_2m = (flags & size_2m) != 0};
    u.measured.type = static_cast<launch_page>(type);
    u.measured.imi = (flags & imi_page) != 0;
    u.measured.vmpl[0] = vmpl_perm::all;
    for (unsigned level = 1; level < u.measured.vmpl.size(); ++level) {
        u.measured.vmpl[level] = c.get<std::uint8_t>(24 + level);
        if ((u.measured.vmpl[level] & ~known_permissions) != 0) {
            return firmware_status::invalid_param;
        }
    }
    return u.measured.imi && !guest.imi ? firmware_status::invalid_param : firmware_status::success;
}

/// Pages with a structure in them are 4 KB.
bool may_be_2m(launch_page type)
{
    return type == launch_page::normal || type == launch_page::zero ||
           type == launch_page::unmeasured;
}

firmware_status check_page(const firmware_call &c, const snp_guest &guest, const update &u)
{
    const firmware_status status = check_guest_page(c, u.page, guest, {page_state::pre_guest});
    if (status != firmware_status::success) {
        return status;
    }
    return u.page.size_2m && !may_be_2m(u.measured.type) ? firmware_status::invalid_page_size
                                                         : firmware_status::success;
}

/// What firmware writes into the page.
firmware_status fill(const firmware_call &c, const snp_guest &guest, const update &u)
{
    switch (u.measured.type) {
    case launch_page::zero:
        std::memset(c.m.memory().at(u.page.spa, u.page.bytes()), 0, u.page.bytes());
        return firmware_status::success;
    case launch_page::secrets:
        write_secrets_page(c, guest, u.page.spa);
        return firmware_status::success;
    case launch_page::cpuid:
        return check_cpuid_page(c, u.page.spa);
    default:
        return firmware_status::success;
    }
}

/// 4 KB by 4 KB in ascending order, so that the digest does not depend on the size of pages.
void measure(const firmware_call &c, snp_guest &guest, const update &u)
{
    measured_page part = u.measured;
    const std::byte *content = c.m.memory().at(u.page.spa, u.page.bytes());
    for (std::uint64_t offset = 0; offset < u.page.bytes(); offset += page_4k) {
        guest.launch_digest =
            extend_digest(guest.launch_digest, part, std::span(content + offset, page_4k));
        part.gpa += page_4k;
    }
}

/// Pre-Guest becomes Guest-Valid.
void hand_over(firmware_call &c, const update &u)
{
    rmp_entry e = c.m.rmp().load(u.page.spa);
    e.immutable = false;
    e.validated = true;
    e.vmsa = u.measured.type == launch_page::vmsa;
    e.vmpl = u.measured.vmpl;
    c.m.replace_entry(u.page.spa, e, c.result.rmp_changes);
}

} // namespace

/// AMD 56860, SNP_LAUNCH_UPDATE. Memory is not encrypted in the model.
firmware_status snp_launch_update(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->state != snp_guest_state::launch) {
        return firmware_status::invalid_guest_state;
    }
    if (!guest->active()) {
        return firmware_status::inactive;
    }
    update u;
    status = decode(c, *guest, u);
    if (status == firmware_status::success) {
        status = check_page(c, *guest, u);
    }
    if (status == firmware_status::success) {
        status = fill(c, *guest, u);
    }
    if (status != firmware_status::success) {
        return status;
    }
    u.measured.gpa = c.m.rmp().load(u.page.spa).gpa;
    measure(c, *guest, u);
    hand_over(c, u);
    return firmware_status::success;
}

} // namespace rmpopt::hw
