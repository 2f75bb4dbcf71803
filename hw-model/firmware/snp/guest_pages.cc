// SPDX-License-Identifier: GPL-2.0-or-later
// Commands on single pages of guests: size, place, and content for debuggers.
#include "hw-model/firmware/snp/snp.h"

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
firmware_status check_part(const rmp_entry &e, const rmp_entry &first, unsigned i)
{
    return in_order(
        must(is_one_of(state_of(e), {page_state::pre_guest, page_state::pre_swap}) && !e.vmsa,
             invalid_page_state),
        must(!e.size_2m, invalid_page_size), must(e.asid == first.asid, invalid_page_owner),
        must(i == 0 || e == part_of(first, i), invalid_param));
}

firmware_status check_parts(const firmware_call &c, spa_t base)
{
    const rmp_entry first = c.m.rmp().load(base);
    for (unsigned i = 0; i < pages_per_2m; ++i) {
        const firmware_status status = check_part(c.m.rmp().load(base + i * page_4k), first, i);
        if (status != success) {
            return status;
        }
    }
    return must(is_aligned(first.gpa, page_2m), invalid_param);
}

/// Launched or running, and with an ASID that pages can belong to.
firmware_status find_active_guest(const firmware_call &c, spa_t context, snp_guest *&guest)
{
    return in_order(
        [&] { return find_guest(c, context, guest); },
        [&] { return must(guest->state != snp_guest_state::init, invalid_guest_state); },
        [&] { return must(guest->active(), inactive); });
}

/// The page moves with all that its entry says, encrypted for its new place; where it was is free
/// for another.
void move(firmware_call &c, const page_operand &from, const page_operand &to)
{
    rmp_entry moved = c.m.rmp().load(from.spa), left = c.m.rmp().load(to.spa);
    std::memcpy(c.m.memory().at(to.spa, to.bytes()), c.m.memory().at(from.spa, from.bytes()),
                to.bytes());
    if (!moved.validated) {
        c.m.recode(moved.asid, from.spa, {c.m.memory().at(to.spa, to.bytes()), to.bytes()});
    }
    c.m.recode_page(moved.asid, to.spa, to.bytes());
    moved.immutable = false;
    moved.subpage_count = left.subpage_count = 0; // belongs to the region, not to the page
    c.m.replace_entry(to.spa, moved, c.result.rmp_changes);
    c.m.replace_entry(from.spa, left, c.result.rmp_changes);
}

/// AMD 56860, SNP_DBG_DECRYPT and SNP_DBG_ENCRYPT: only where the policy allows it.
firmware_status find_guest_to_debug(const firmware_call &c, spa_t context, snp_guest *&guest)
{
    return in_order(
        [&] { return find_active_guest(c, context, guest); },
        [&] { return must((guest->policy & guest_policy::debug) != 0, policy_failure); });
}

firmware_status check_debug_buffer(const firmware_call &c, spa_t page, bool firmware_only)
{
    return in_order(must(is_aligned(page, page_4k), invalid_address),
                    [&] { return check_output(c, page, page_4k, firmware_only); });
}

/// A debugger may look at any 4 KB of a guest, also inside a 2 MB page.
firmware_status check_debugged_page(const firmware_call &c, spa_t page, const snp_guest &guest)
{
    const rmp_entry e = c.m.rmp().governing(page);
    return in_order([&] { return check_page_address(c, {.spa = page}); },
                    must(is_one_of(state_of(e), guest_states), invalid_page_state),
                    must(e.asid == guest.asid, invalid_page_owner));
}

/// Copies a page in plain text; `guests` of the two is the guest's.
void copy_page(const firmware_call &c, spa_t from, spa_t to, spa_t guests)
{
    std::byte *const copy = c.m.memory().at(to, page_4k);
    std::memcpy(copy, c.m.memory().at(from, page_4k), page_4k);
    if (const rmp_entry e = c.m.rmp().governing(guests); !e.validated) {
        c.m.recode(e.asid, guests, {copy, page_4k});
    }
}

} // namespace

firmware_status check_guest_page(const firmware_call &c, const page_operand &page,
                                 const snp_guest &guest, std::initializer_list<page_state> states)
{
    const rmp_entry e = c.m.rmp().governing(page.spa);
    return in_order([&] { return check_page_address(c, page); },
                    must(is_one_of(state_of(e), states), invalid_page_state),
                    must(e.size_2m == page.size_2m, invalid_page_size),
                    must(e.asid == guest.asid, invalid_page_owner));
}

/// AMD 56860, SNP_PAGE_UNSMASH. Bit 0 of the address tells a size, which can only be 2 MB.
firmware_status snp_page_unsmash(firmware_call &c, const snp_page_buffer &b)
{
    const page_operand page{.spa = b.page_paddr & ~b.page_size, .size_2m = true};
    return in_order(
        must(c.s.snp_init, invalid_platform_state), [&] { return check_page_address(c, page); },
        [&] { return check_parts(c, page.spa); },
        [&] {
            rmp_entry whole = part_of(c.m.rmp().load(page.spa), 0);
            whole.size_2m = true;
            c.m.replace_entry(page.spa, whole, c.result.rmp_changes);
        });
}

/// AMD 56860, SNP_PAGE_MOVE: a page that the hypervisor has made immutable goes into a Pre-Guest
/// page of the same guest and guest address.
firmware_status snp_page_move(firmware_call &c, const snp_page_move_buffer &b)
{
    const bool size_2m = (b.flags & b.page_size) != 0;
    const page_operand from{b.src_paddr, size_2m}, to{b.dst_paddr, size_2m};
    snp_guest *guest = nullptr;
    return in_order(
        [&] { return find_active_guest(c, b.gctx_paddr, guest); },
        must((b.flags & ~b.page_size) == 0 && reserved_zero(b.reserved), invalid_param),
        must(from.spa != to.spa, invalid_address),
        [&] {
            return check_guest_page(c, from, *guest, {page_state::pre_guest, page_state::pre_swap});
        },
        [&] { return check_guest_page(c, to, *guest, {page_state::pre_guest}); },
        [&] {
            return must(c.m.rmp().load(from.spa).gpa == c.m.rmp().load(to.spa).gpa,
                        invalid_page_owner);
        },
        [&] { move(c, from, to); });
}

firmware_status snp_dbg_decrypt(firmware_call &c, const snp_dbg_buffer &b)
{
    const spa_t from = b.src_paddr, to = b.dst_paddr;
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest_to_debug(c, b.gctx_paddr, guest); },
                    [&] { return check_debugged_page(c, from, *guest); },
                    [&] { return check_debug_buffer(c, to, true); },
                    [&] { copy_page(c, from, to, from); });
}

firmware_status snp_dbg_encrypt(firmware_call &c, const snp_dbg_buffer &b)
{
    const spa_t from = b.src_paddr, to = b.dst_paddr;
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest_to_debug(c, b.gctx_paddr, guest); },
                    [&] { return check_debug_buffer(c, from, false); },
                    [&] { return check_debugged_page(c, to, *guest); },
                    [&] { copy_page(c, from, to, to); });
}

} // namespace rmpopt::hw
