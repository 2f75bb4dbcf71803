// SPDX-License-Identifier: GPL-2.0-or-later
// Commands on single pages of guests: size, place, and content for debuggers.
#include "hw-model/firmware/internal.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::initializer_list<page_state> guest_states{
    page_state::pre_guest, page_state::pre_swap, page_state::guest_invalid,
    page_state::guest_valid};

bool is_one_of(page_state state, std::initializer_list<page_state> states)
{
    return std::ranges::find(states, state) != states.end();
}

/// Entry `i` of a 2 MB region as it must be so that the whole region is one page.
rmp_entry part_of(const rmp_entry &first, unsigned i)
{
    rmp_entry e = first;
    e.gpa += i * page_4k;
    e.subpage_count = 0;
    return e;
}

/// AMD 56860, SNP_PAGE_UNSMASH. Of the guest's states only the immutable ones: in the others the
/// hypervisor could change an entry meanwhile.
firmware_status check_parts(const firmware_call &c, spa_t base)
{
    const rmp_entry first = c.m.rmp().load(base);
    for (unsigned i = 0; i < pages_per_2m; ++i) {
        const rmp_entry e = c.m.rmp().load(base + i * page_4k);
        if (!is_one_of(state_of(e), {page_state::pre_guest, page_state::pre_swap}) || e.vmsa) {
            return firmware_status::invalid_page_state;
        }
        if (e.size_2m) {
            return firmware_status::invalid_page_size;
        }
        if (e.asid != first.asid) {
            return firmware_status::invalid_page_owner;
        }
        if (i != 0 && e != part_of(first, i)) {
            return firmware_status::invalid_param;
        }
    }
    return is_aligned(first.gpa, page_2m) ? firmware_status::success
                                          : firmware_status::invalid_param;
}

/// Launched or running, and with an ASID that pages can belong to.
firmware_status find_active_guest(const firmware_call &c, snp_guest *&guest)
{
    const firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->state == snp_guest_state::init) {
        return firmware_status::invalid_guest_state;
    }
    return guest->active() ? firmware_status::success : firmware_status::inactive;
}

/// The page moves with all that its entry says; where it was is free for another.
void move(firmware_call &c, const page_operand &from, const page_operand &to)
{
    rmp_entry moved = c.m.rmp().load(from.spa), left = c.m.rmp().load(to.spa);
    std::memcpy(c.m.memory().at(to.spa, to.bytes()), c.m.memory().at(from.spa, from.bytes()),
                to.bytes());
    moved.immutable = false;
    moved.subpage_count = left.subpage_count = 0; // belongs to the region, not to the page
    c.m.replace_entry(to.spa, moved, c.result.rmp_changes);
    c.m.replace_entry(from.spa, left, c.result.rmp_changes);
}

/// AMD 56860, SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT: only where the policy allows it.
firmware_status find_guest_to_debug(const firmware_call &c, snp_guest *&guest)
{
    const firmware_status status = find_active_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    return (guest->policy & guest_policy::debug) != 0 ? firmware_status::success
                                                      : firmware_status::policy_failure;
}

firmware_status check_debug_buffer(const firmware_call &c, spa_t page, bool firmware_only)
{
    return is_aligned(page, page_4k) ? check_output(c, page, page_4k, firmware_only)
                                     : firmware_status::invalid_address;
}

/// A debugger may look at any 4 KB of a guest, also inside a 2 MB page.
firmware_status check_debugged_page(const firmware_call &c, spa_t page, const snp_guest &guest)
{
    const firmware_status status = check_page_address(c, {.spa = page});
    if (status != firmware_status::success) {
        return status;
    }
    const rmp_entry e = governing_entry(c.m, page);
    if (!is_one_of(state_of(e), guest_states)) {
        return firmware_status::invalid_page_state;
    }
    return e.asid == guest.asid ? firmware_status::success : firmware_status::invalid_page_owner;
}

void copy_page(const firmware_call &c, spa_t from, spa_t to)
{
    std::memcpy(c.m.memory().at(to, page_4k), c.m.memory().at(from, page_4k), page_4k);
}

} // namespace

firmware_status check_page_address(const firmware_call &c, const page_operand &page)
{
    const bool good =
        is_aligned(page.spa, page.bytes()) && c.m.memory().at(page.spa, page.bytes()) != nullptr &&
        c.m.rmp().covers(page.spa) && c.m.rmp().covers(page.spa + page.bytes() - page_4k);
    return good ? firmware_status::success : firmware_status::invalid_address;
}

firmware_status check_guest_page(const firmware_call &c, const page_operand &page,
                                 const snp_guest &guest, std::initializer_list<page_state> states)
{
    const firmware_status status = check_page_address(c, page);
    if (status != firmware_status::success) {
        return status;
    }
    const rmp_entry e = governing_entry(c.m, page.spa);
    if (!is_one_of(state_of(e), states)) {
        return firmware_status::invalid_page_state;
    }
    if (e.size_2m != page.size_2m) {
        return firmware_status::invalid_page_size;
    }
    return e.asid == guest.asid ? firmware_status::success : firmware_status::invalid_page_owner;
}

/// Bit 0 of the address tells a size, which can only be 2 MB.
firmware_status snp_page_unsmash(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const page_operand page{.spa = c.get_address(0) & ~spa_t{1}, .size_2m = true};
    firmware_status status = check_page_address(c, page);
    if (status == firmware_status::success) {
        status = check_parts(c, page.spa);
    }
    if (status != firmware_status::success) {
        return status;
    }
    rmp_entry whole = part_of(c.m.rmp().load(page.spa), 0);
    whole.size_2m = true;
    c.m.replace_entry(page.spa, whole, c.result.rmp_changes);
    return firmware_status::success;
}

/// AMD 56860, SNP_PAGE_MOVE: a page that the hypervisor has made immutable goes into a Pre-Guest
/// page of the same guest and guest address.
firmware_status snp_page_move(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_active_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    const auto flags = c.get<std::uint32_t>(8);
    if ((flags & ~1u) != 0 || !c.is_zero(12, 4)) {
        return firmware_status::invalid_param;
    }
    const bool size_2m = (flags & 1) != 0;
    const page_operand from{c.get_address(16), size_2m}, to{c.get_address(24), size_2m};
    if (from.spa == to.spa) {
        return firmware_status::invalid_address;
    }
    status = check_guest_page(c, from, *guest, {page_state::pre_guest, page_state::pre_swap});
    if (status == firmware_status::success) {
        status = check_guest_page(c, to, *guest, {page_state::pre_guest});
    }
    if (status != firmware_status::success) {
        return status;
    }
    if (c.m.rmp().load(from.spa).gpa != c.m.rmp().load(to.spa).gpa) {
        return firmware_status::invalid_page_owner;
    }
    move(c, from, to);
    return firmware_status::success;
}

firmware_status snp_dbg_decrypt(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest_to_debug(c, guest);
    const spa_t from = c.get_address(8), to = c.get_address(16);
    if (status == firmware_status::success) {
        status = check_debugged_page(c, from, *guest);
    }
    if (status == firmware_status::success) {
        status = check_debug_buffer(c, to, true);
    }
    if (status == firmware_status::success) {
        copy_page(c, from, to);
    }
    return status;
}

firmware_status snp_dbg_encrypt(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest_to_debug(c, guest);
    const spa_t from = c.get_address(8), to = c.get_address(16);
    if (status == firmware_status::success) {
        status = check_debug_buffer(c, from, false);
    }
    if (status == firmware_status::success) {
        status = check_debugged_page(c, to, *guest);
    }
    if (status == firmware_status::success) {
        copy_page(c, from, to);
    }
    return status;
}

} // namespace rmpopt::hw
