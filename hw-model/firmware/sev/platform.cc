// SPDX-License-Identifier: GPL-2.0-or-later
// Platform commands of SEV and SEV-ES: initialisation, status, versions (AMD 55766).
#include "hw-model/firmware/sev/sev.h"

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t min_tmr_bytes = 1ull << 20;

constexpr std::size_t chip_id_bytes = 64;

/// Constant, so that two runs give the same; recognisable, so that nobody takes it for a real one.
constexpr std::array<std::uint8_t, chip_id_bytes> chip_id()
{
    std::array<std::uint8_t, chip_id_bytes> id{};
    std::uint64_t x = 0x524d504f5054; // "RMPOPT"
    for (auto &b : id) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        b = static_cast<std::uint8_t>(x >> 56);
    }
    return id;
}

/// With SNP the region is a whole 2 MB page; without, 1 MB is enough.
firmware_status check_tmr(const firmware_call &c, spa_range tmr)
{
    const std::uint64_t alignment = c.s.snp_init ? page_2m : min_tmr_bytes;
    if (tmr.bytes < alignment) {
        return firmware_status::invalid_length;
    }
    if (!is_aligned(tmr.base, alignment) || c.m.memory().at(tmr.base, tmr.bytes) == nullptr) {
        return firmware_status::invalid_address;
    }
    if (!c.s.snp_init) {
        return firmware_status::success;
    }
    for (const spa_range &r : c.m.rmp().table_memory()) {
        if (r.overlaps(tmr)) {
            return firmware_status::invalid_page_state;
        }
    }
    return all_pages_are(c.m, tmr, page_state::firmware) ? firmware_status::success
                                                         : firmware_status::invalid_page_state;
}

} // namespace

platform_phase phase_of(const firmware_state &s)
{
    if (!s.platform_init) {
        return platform_phase::uninit;
    }
    return s.sev_guests.empty() ? platform_phase::init : platform_phase::working;
}

firmware_status check_init(const firmware_call &c, std::uint32_t flags, spa_range tmr)
{
    // With SNP_EN set the platform waits for SNP_INIT first.
    if (c.s.platform_init || (c.m.snp_enabled_somewhere() && !c.s.snp_init)) {
        return firmware_status::invalid_platform_state;
    }
    if ((flags & ~init_es) != 0) {
        return firmware_status::invalid_param;
    }
    return (flags & init_es) != 0 ? check_tmr(c, tmr) : firmware_status::success;
}

void enter_init(firmware_call &c, std::uint32_t flags, spa_range tmr)
{
    c.s.platform_init = true;
    c.s.platform_es = (flags & init_es) != 0;
    c.s.tmr = c.s.platform_es ? tmr : spa_range{};
    // Nobody knows what caches hold of guests before this.
    c.s.asids.require_flush_of_all();
    require_wbinvd(c);
    c.result.own_memory = own_memory_of(c.m, c.s);
}

firmware_status platform_init(firmware_call &c)
{
    const auto flags = c.get<std::uint32_t>(0);
    const spa_range tmr{c.get_address(8), c.get<std::uint32_t>(16)};
    const firmware_status status = check_init(c, flags, tmr);
    if (status == firmware_status::success) {
        enter_init(c, flags, tmr);
    }
    return status;
}

firmware_status platform_shutdown(firmware_call &c)
{
    forget_sev_guests(c);
    c.s.platform_init = c.s.platform_es = false;
    c.s.tmr = c.s.nv = {};
    c.result.own_memory = own_memory_of(c.m, c.s);
    return firmware_status::success;
}

firmware_status platform_status(firmware_call &c)
{
    const firmware_status status = check_output(c, c.buffer_spa, c.buffer.size(), false);
    if (status != firmware_status::success) {
        return status;
    }
    c.put<std::uint8_t>(0, api_major);
    c.put<std::uint8_t>(1, api_minor);
    c.put(2, phase_of(c.s));
    c.put<std::uint32_t>(3, (c.s.identity.owned ? 1u : 0) | (c.s.platform_es ? 1u << 8 : 0));
    c.put<std::uint8_t>(7, api_build);
    c.put(8, static_cast<std::uint32_t>(c.s.sev_guests.size()));
    c.write_back = true;
    return firmware_status::success;
}

firmware_status df_flush(firmware_call &c)
{
    return c.s.platform_init ? flush_asids(c) : firmware_status::invalid_platform_state;
}

/// The model is no processor that AMD's signature could be checked on; hosts go on with the
/// firmware that is there.
firmware_status download_firmware(firmware_call &c)
{
    if (c.s.platform_init || c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const std::uint64_t bytes = c.get<std::uint32_t>(8);
    if (bytes == 0) {
        return firmware_status::invalid_length;
    }
    return c.m.memory().at(c.get_address(0), bytes) != nullptr ? firmware_status::bad_signature
                                                               : firmware_status::invalid_address;
}

firmware_status get_id(firmware_call &c)
{
    firmware_status status = check_output(c, c.buffer_spa, c.buffer.size(), false);
    if (status != firmware_status::success) {
        return status;
    }
    if (c.get<std::uint32_t>(8) < chip_id_bytes) {
        c.put<std::uint32_t>(8, chip_id_bytes);
        c.write_back = true;
        return firmware_status::invalid_length;
    }
    const spa_t out = c.get_address(0);
    status = check_output(c, out, chip_id_bytes, false);
    if (status != firmware_status::success) {
        return status;
    }
    static constexpr auto id = chip_id();
    c.m.memory().write(out, id.data(), id.size());
    c.put<std::uint32_t>(8, chip_id_bytes);
    c.write_back = true;
    return firmware_status::success;
}

} // namespace rmpopt::hw
