// SPDX-License-Identifier: GPL-2.0-or-later
// SNP guests from SNP_GCTX_CREATE to SNP_DECOMMISSION: context pages, ASIDs, status.
#include "hw-model/firmware/internal.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::size_t guest_status_bytes = 32;
constexpr std::uint32_t max_apic_ids = page_4k / sizeof(std::uint32_t);

/// Pages that the RMP still has for an ASID: the CPU's counters in the bookkeeping area.
std::uint64_t pages_of(const machine &m, std::uint32_t asid)
{
    return m.memory().load<std::uint64_t>(m.rmp().config().base + 8ull * asid).value_or(0);
}

/// AMD 56860, SNP_ACTIVATE: the guest, then the ASID, then whether it can be bound now. Pages that
/// a former owner left behind would become this guest's.
firmware_status activate(firmware_call &c, snp_guest &guest, std::uint32_t asid)
{
    if (guest.state == snp_guest_state::init) {
        return firmware_status::invalid_guest_state;
    }
    if (guest.active()) {
        return firmware_status::active;
    }
    // ASIDs from the lowest one of plain SEV on are not for guests with encrypted state.
    const firmware_status status = check_free_asid(c, asid, 1, c.m.cpu().min_sev_asid - 1);
    if (status != firmware_status::success) {
        return status;
    }
    if (pages_of(c.m, asid) != 0) {
        return firmware_status::invalid_config;
    }
    guest.asid = asid;
    c.s.asids.take(asid, {.kind = asid_owner_kind::snp, .id = c.get_address(0)});
    c.result.guests.push_back({guest_event::kind::activated, c.get_address(0), asid});
    return firmware_status::success;
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

/// Header of a guest message (AMD 56860): algorithm AES-256-GCM, version and size of the header, a
/// key of one of four VMPLs.
bool is_message_header(const firmware_call &c, spa_t page)
{
    constexpr std::size_t algo = 0x30, version = 0x31, size = 0x32, vmpck = 0x3c;
    std::array<std::uint8_t, 0x60> header{};
    c.m.memory().read(page, header.data(), header.size());
    return header[algo] == 1 && header[version] == 1 && header[size] == header.size() &&
           header[size + 1] == 0 && header[vmpck] < 4;
}

} // namespace

firmware_status find_guest_at(const firmware_call &c, spa_t context, snp_guest *&guest)
{
    const firmware_status status = check_page_address(c, {.spa = context});
    if (status != firmware_status::success) {
        return status;
    }
    const auto found = c.s.guests.find(context);
    if (found == c.s.guests.end()) {
        return firmware_status::invalid_guest;
    }
    guest = &found->second;
    return firmware_status::success;
}

firmware_status find_guest(const firmware_call &c, snp_guest *&guest)
{
    return c.s.snp_init ? find_guest_at(c, c.get_address(0), guest)
                        : firmware_status::invalid_platform_state;
}

void forget_guests(firmware_call &c)
{
    for (const auto &[context, guest] : c.s.guests) {
        end_guest(c, context, guest);
    }
    c.s.guests.clear();
}

/// AMD 56860, SNP_GCTX_CREATE: a firmware page of 4 KB becomes a context page.
firmware_status snp_gctx_create(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const spa_t page = c.get_address(0);
    const firmware_status status = check_firmware_page(c, page);
    if (status != firmware_status::success) {
        return status;
    }
    c.m.replace_entry(page, context_entry(), c.result.rmp_changes);
    c.s.guests[page] = {.serial = ++c.s.guests_created};
    c.result.guests.push_back({guest_event::kind::created, page, 0});
    return firmware_status::success;
}

firmware_status snp_activate(firmware_call &c)
{
    snp_guest *guest = nullptr;
    const firmware_status status = find_guest(c, guest);
    return status == firmware_status::success ? activate(c, *guest, c.get<std::uint32_t>(8))
                                              : status;
}

/// AMD 56860, SNP_ACTIVATE_EX: on the cores of a list of APIC ids. The model does not know which
/// CPU has which id, so it takes all cores for used by the guest; then the flush before the next
/// owner waits for more cores than it has to.
firmware_status snp_activate_ex(firmware_call &c)
{
    constexpr std::size_t gctx = 8, asid = 16, ids = 20, list = 24;
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    const auto count = c.get<std::uint32_t>(ids);
    if (!c.is_zero(4, 4) || count == 0 || count > max_apic_ids) {
        return firmware_status::invalid_param;
    }
    if (c.m.memory().at(c.get_address(list), count * sizeof(std::uint32_t)) == nullptr) {
        return firmware_status::invalid_address;
    }
    c.put(0, c.get_address(gctx)); // as SNP_ACTIVATE has it; the buffer is not written back
    snp_guest *guest = nullptr;
    const firmware_status status = find_guest(c, guest);
    return status == firmware_status::success ? activate(c, *guest, c.get<std::uint32_t>(asid))
                                              : status;
}

/// In any state of the guest: a host whose launch failed gets rid of it like this.
firmware_status snp_decommission(firmware_call &c)
{
    snp_guest *guest = nullptr;
    const firmware_status status = find_guest(c, guest);
    if (status == firmware_status::success) {
        const spa_t context = c.get_address(0);
        end_guest(c, context, *guest);
        c.s.guests.erase(context);
    }
    return status;
}

firmware_status snp_guest_status(firmware_call &c)
{
    snp_guest *guest = nullptr;
    const firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    std::array<std::byte, guest_status_bytes> raw{};
    const auto put = [&raw](std::size_t offset, auto v) {
        std::memcpy(raw.data() + offset, &v, sizeof v);
    };
    put(0, guest->policy);
    put(8, guest->asid);
    put(12, guest->state);
    return write_status(c, c.get_address(8), raw);
}

/// Messages are sealed with keys that only a running guest has read from its secrets page, and no
/// guest runs here: whatever the request page holds, it does not authenticate. The response page
/// is not written.
firmware_status snp_guest_request(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->state != snp_guest_state::running) {
        return firmware_status::invalid_guest_state;
    }
    const page_operand request{c.get_address(8)}, response{c.get_address(16)};
    if (!is_aligned(request.spa, page_4k) || request.spa == response.spa ||
        c.m.memory().at(request.spa, page_4k) == nullptr) {
        return firmware_status::invalid_address;
    }
    status = check_firmware_page(c, response.spa);
    if (status != firmware_status::success) {
        return status;
    }
    return is_message_header(c, request.spa) ? firmware_status::bad_measurement
                                             : firmware_status::invalid_param;
}

} // namespace rmpopt::hw
