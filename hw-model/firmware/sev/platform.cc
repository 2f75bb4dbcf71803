// SPDX-License-Identifier: GPL-2.0-or-later
// Platform commands of SEV and SEV-ES: initialisation, status, versions (AMD 55766).
#include "hw-model/firmware/common/chip.h"
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t min_tmr_bytes = 1ull << 20;

/// AMD 55766, INIT: 1 MB, which with SNP has to be a whole 2 MB page of firmware.
firmware_status check_tmr(const firmware_call &c, spa_range tmr)
{
    const std::uint64_t alignment = c.s.snp_init ? page_2m : min_tmr_bytes;
    const bool is_ram = c.m.memory().at(tmr.base, tmr.bytes) != nullptr;
    const auto is_free_firmware_page = [&] {
        return std::ranges::none_of(c.m.rmp().table_memory(),
                                    [&tmr](const spa_range &r) { return r.overlaps(tmr); }) &&
               all_pages_are(c.m, tmr, page_state::firmware);
    };
    return in_order(must(tmr.bytes >= alignment, invalid_length),
                    must(is_aligned(tmr.base, alignment) && is_ram, invalid_address), [&] {
                        return must(!c.s.snp_init || is_free_firmware_page(), invalid_page_state);
                    });
}

} // namespace

platform_phase phase_of(const firmware_state &s)
{
    if (!s.platform_init) {
        return platform_phase::uninit;
    }
    return s.sev_guests.empty() ? platform_phase::init : platform_phase::working;
}

/// With SNP_EN set the platform waits for SNP_INIT first (AMD 56860, SEV commands after SNP_INIT).
firmware_status check_init(const firmware_call &c, std::uint32_t flags, spa_range tmr)
{
    const bool waits_for_snp = c.m.snp_enabled_somewhere() && !c.s.snp_init;
    return in_order(must(!c.s.platform_init && !waits_for_snp, invalid_platform_state),
                    must((flags & ~init_buffer::es) == 0, invalid_param),
                    [&] { return (flags & init_buffer::es) != 0 ? check_tmr(c, tmr) : success; });
}

void enter_init(firmware_call &c, std::uint32_t flags, spa_range tmr)
{
    c.s.platform_init = true;
    c.s.platform_es = (flags & init_buffer::es) != 0;
    c.s.tmr = c.s.platform_es ? tmr : spa_range{};
    // Nobody knows what caches hold of guests before this.
    c.s.asids.require_flush_of_all();
    require_wbinvd(c);
    c.result.own_memory = own_memory_of(c.m, c.s);
}

/// AMD 55766, INIT.
firmware_status platform_init(firmware_call &c, const init_buffer &b)
{
    return in_order([&] { return check_init(c, b.flags, b.tmr()); },
                    [&] { enter_init(c, b.flags, b.tmr()); });
}

/// AMD 55766, SHUTDOWN: in any state.
firmware_status platform_shutdown(firmware_call &c)
{
    forget_sev_guests(c);
    c.s.platform_init = c.s.platform_es = false;
    c.s.tmr = c.s.nv = {};
    c.result.own_memory = own_memory_of(c.m, c.s);
    return success;
}

/// AMD 55766, PLATFORM_STATUS.
firmware_status platform_status(firmware_call &c, platform_status_buffer &b)
{
    return in_order([&] { return check_output(c, c.buffer.base, c.buffer.bytes, false); },
                    [&] {
                        b = {.api_major = c.m.cpu().firmware.major,
                             .api_minor = c.m.cpu().firmware.minor,
                             .state = phase_of(c.s),
                             .flags = (c.s.identity.owned ? b.owned : 0) |
                                      (c.s.platform_es ? b.config_es : 0),
                             .build = c.m.cpu().firmware.build,
                             .guest_count = static_cast<std::uint32_t>(c.s.sev_guests.size())};
                        c.write_back = true;
                    });
}

firmware_status df_flush(firmware_call &c)
{
    return in_order(must(c.s.platform_init, invalid_platform_state),
                    [&] { return flush_asids(c); });
}

/// AMD 55766, DOWNLOAD_FIRMWARE. The model is no processor that AMD's signature could be checked
/// on; hosts go on with the firmware that is there.
firmware_status download_firmware(firmware_call &c, const download_firmware_buffer &b)
{
    const bool is_ram = c.m.memory().at(b.fw_paddr, b.fw_len) != nullptr;
    return in_order(must(!c.s.platform_init && !c.s.snp_init, invalid_platform_state),
                    must(b.fw_len != 0, invalid_length), must(is_ram, invalid_address),
                    [] { return bad_signature; });
}

/// AMD 55766, GET_ID. A caller without enough room is told how much it takes.
firmware_status get_id(firmware_call &c, get_id_buffer &b)
{
    const chip_id id = own_chip_id();
    const spa_t out = b.id_paddr;
    const auto answer_length = [&] {
        b.id_len = id.size();
        c.write_back = true;
    };
    return in_order([&] { return check_output(c, c.buffer.base, c.buffer.bytes, false); },
                    [&] { return check_room(b.id_len >= id.size(), answer_length); },
                    [&] { return check_output(c, out, id.size(), false); },
                    [&] {
                        c.m.memory().write(out, id.data(), id.size());
                        answer_length();
                    });
}

} // namespace rmpopt::hw
