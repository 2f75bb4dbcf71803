// SPDX-License-Identifier: GPL-2.0-or-later
// SNP guests from SNP_GCTX_CREATE to SNP_DECOMMISSION: context pages, ASIDs, status.
#include "hw-model/firmware/snp/snp.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t max_apic_ids = page_4k / sizeof(std::uint32_t);

/// Pages that the RMP still has for an ASID: the CPU's counters in the bookkeeping area.
std::uint64_t pages_of(const machine &m, std::uint32_t asid)
{
    return m.memory().load<std::uint64_t>(m.rmp().config().base + 8ull * asid).value_or(0);
}

/// AMD 56860, SNP_ACTIVATE: the guest, then the ASID, then whether it can be bound now. Pages that
/// a former owner left behind would become this guest's. ASIDs from the lowest one of plain SEV on
/// are not for guests with encrypted state (CPUID 8000_001F EDX), and with ciphertext hiding those
/// above MAX_SNP_ASID are not for SNP guests.
firmware_status check_activation(const firmware_call &c, const snp_guest &guest, std::uint32_t asid)
{
    const unsigned last = c.s.max_snp_asid != 0 ? c.s.max_snp_asid : c.m.cpu().min_sev_asid - 1;
    return in_order(
        must(guest.state != snp_guest_state::init, invalid_guest_state),
        must(!guest.active(), active), [&] { return check_free_asid(c, asid, 1, last); },
        [&] { return must(pages_of(c.m, asid) == 0, invalid_config); });
}

firmware_status bind_asid(firmware_call &c, spa_t context, std::uint32_t asid)
{
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest(c, context, guest); },
                    [&] { return check_activation(c, *guest, asid); },
                    [&] {
                        guest->asid = asid;
                        c.s.asids.take(asid);
                        c.m.set_encryption_key(asid, guest->serial);
                        c.result.guests.push_back({guest_event::kind::activated, context, asid});
                    });
}

/// The ASID of a guest that is gone has to be flushed; its context page is firmware's again.
void end_guest(firmware_call &c, spa_t context, const snp_guest &guest)
{
    if (guest.active()) {
        give_back_asid(c, guest.asid);
    }
    c.m.replace_entry(context, firmware_entry(), c.result.rmp_changes);
    c.result.guests.push_back({guest_event::kind::ended, context, guest.asid});
}

} // namespace

firmware_status find_guest(const firmware_call &c, spa_t context, snp_guest *&guest)
{
    return in_order(
        must(c.s.snp_init, invalid_platform_state),
        [&] { return check_page_address(c, {.spa = context}); },
        [&] {
            const auto found = c.s.guests.find(context);
            guest = found == c.s.guests.end() ? nullptr : &found->second;
            return must(guest != nullptr, invalid_guest);
        });
}

void forget_guests(firmware_call &c)
{
    for (const auto &[context, guest] : c.s.guests) {
        end_guest(c, context, guest);
    }
    c.s.guests.clear();
}

/// AMD 56860, SNP_GCTX_CREATE: a firmware page of 4 KB becomes a context page.
firmware_status snp_gctx_create(firmware_call &c, const snp_gctx_buffer &b)
{
    const spa_t page = b.gctx_paddr;
    return in_order(
        must(c.s.snp_init, invalid_platform_state), [&] { return check_firmware_page(c, page); },
        [&] {
            c.m.replace_entry(page, context_entry(), c.result.rmp_changes);
            c.s.guests[page] = {.serial = ++c.s.guests_created};
            c.result.guests.push_back({guest_event::kind::created, page, 0});
        });
}

firmware_status snp_activate(firmware_call &c, const snp_activate_buffer &b)
{
    return bind_asid(c, b.gctx_paddr, b.asid);
}

/// AMD 56860, SNP_ACTIVATE_EX: on the cores of a list of APIC ids. The model does not know which
/// CPU has which id, so it assumes that the guest uses all cores; the flush before the next owner
/// then waits for more cores than it has to.
firmware_status snp_activate_ex(firmware_call &c, const snp_activate_ex_buffer &b)
{
    const bool good_count = b.num_ids != 0 && b.num_ids <= max_apic_ids;
    const std::uint64_t list_bytes = b.num_ids * sizeof(std::uint32_t);
    return in_order(
        must(c.s.snp_init, invalid_platform_state), must(b.ex_len == sizeof b, invalid_length),
        must(reserved_zero(b.reserved) && good_count, invalid_param),
        [&] { return must(c.m.memory().at(b.id_paddr, list_bytes) != nullptr, invalid_address); },
        [&] { return bind_asid(c, b.gctx_paddr, b.asid); });
}

/// In any state of the guest: a host whose launch failed gets rid of the guest like this.
firmware_status snp_decommission(firmware_call &c, const snp_gctx_buffer &b)
{
    const spa_t context = b.gctx_paddr;
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest(c, context, guest); },
                    [&] {
                        end_guest(c, context, *guest);
                        c.s.guests.erase(context);
                    });
}

firmware_status snp_guest_status(firmware_call &c, const snp_guest_status_buffer &b)
{
    snp_guest *guest = nullptr;
    return in_order([&] { return find_guest(c, b.gctx_paddr, guest); },
                    [&] {
                        const snp_guest_status_structure status{.policy = guest->policy,
                                                                .asid = guest->asid,
                                                                .state = guest->state,
                                                                .reserved = {}};
                        return write_status(c, b.status_paddr,
                                            std::as_bytes(std::span(&status, 1)));
                    });
}

} // namespace rmpopt::hw
