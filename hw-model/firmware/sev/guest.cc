// SPDX-License-Identifier: GPL-2.0-or-later
// The life of SEV and SEV-ES guests: handles, ASIDs, states (AMD 55766).
#include "hw-model/firmware/sev/sev.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint32_t session_bytes = 128; ///< nonce, wrapped keys, their IV and MAC, policy MAC

/// The guest asks for an API of at least this version: major in 23:16, minor in 31:24.
bool api_suffices(std::uint32_t policy)
{
    const std::uint32_t major = policy >> 16 & 0xff, minor = policy >> 24;
    return major < api_major || (major == api_major && minor <= api_minor);
}

/// Which status a policy that cannot be kept gets when it asks for SEV-ES is nowhere written.
firmware_status check_policy(const firmware_call &c, std::uint32_t policy)
{
    if ((policy & sev_policy::reserved) != 0) {
        return firmware_status::invalid_param;
    }
    const bool es_missing = (policy & sev_policy::es) != 0 && !c.s.platform_es;
    return es_missing || !api_suffices(policy) ? firmware_status::policy_failure
                                               : firmware_status::success;
}

/// A guest may share the key of another, of the same policy, that does not forbid it.
firmware_status check_key_sharing(const firmware_call &c, std::uint32_t handle,
                                  std::uint32_t policy)
{
    if (handle == 0) {
        return firmware_status::success;
    }
    const auto it = c.s.sev_guests.find(handle);
    if (it == c.s.sev_guests.end()) {
        return firmware_status::invalid_guest;
    }
    const std::uint32_t other = it->second.policy;
    return (other & sev_policy::no_key_sharing) != 0 || other != policy
               ? firmware_status::policy_failure
               : firmware_status::success;
}

/// The guest owner's key and session, both or none. They are read and their form is checked, but
/// no key comes out of them: the platform has none to agree with (see psp_cert.h).
firmware_status check_session(const firmware_call &c)
{
    const spa_t owner_cert = c.get_address(8);
    if (owner_cert == 0) {
        return firmware_status::success;
    }
    if (c.get<std::uint32_t>(16) != cert_bytes || c.get<std::uint32_t>(32) != session_bytes) {
        return firmware_status::invalid_length;
    }
    sev_cert pdh;
    if (!c.m.memory().read(owner_cert, pdh.data(), pdh.size()) ||
        c.m.memory().at(c.get_address(24), session_bytes) == nullptr) {
        return firmware_status::invalid_address;
    }
    return is_cert_for(pdh, key_usage::pdh) ? firmware_status::success
                                            : firmware_status::invalid_certificate;
}

firmware_status check_start(const firmware_call &c)
{
    const auto handle = c.get<std::uint32_t>(0);
    const auto policy = c.get<std::uint32_t>(4);
    firmware_status status = check_policy(c, policy);
    if (status == firmware_status::success) {
        status = check_key_sharing(c, handle, policy);
    }
    if (status == firmware_status::success) {
        status = check_session(c);
    }
    return status;
}

/// The lowest number without a guest; as many as the CPU has ASIDs.
std::uint32_t free_handle(const firmware_call &c)
{
    for (std::uint32_t h = 1; h <= c.m.cpu().asids; ++h) {
        if (!c.s.sev_guests.contains(h)) {
            return h;
        }
    }
    return 0;
}

void deactivate_guest(firmware_call &c, sev_guest &guest)
{
    if (guest.asid != 0) {
        give_back_asid(c, guest.asid);
        guest.asid = 0;
    }
}

} // namespace

firmware_status find_sev_guest(const firmware_call &c, sev_guest *&out)
{
    if (phase_of(c.s) != platform_phase::working) {
        return firmware_status::invalid_platform_state;
    }
    const auto it = c.s.sev_guests.find(c.get<std::uint32_t>(0));
    if (it == c.s.sev_guests.end()) {
        return firmware_status::invalid_guest;
    }
    out = &it->second;
    return firmware_status::success;
}

firmware_status find_sev_guest_in(const firmware_call &c, sev_guest_state state, sev_guest *&out)
{
    const firmware_status status = find_sev_guest(c, out);
    if (status != firmware_status::success) {
        return status;
    }
    return out->state == state ? firmware_status::success : firmware_status::invalid_guest_state;
}

void forget_sev_guests(firmware_call &c)
{
    for (auto &[handle, guest] : c.s.sev_guests) {
        deactivate_guest(c, guest);
    }
    c.s.sev_guests.clear();
}

firmware_status launch_start(firmware_call &c)
{
    if (phase_of(c.s) == platform_phase::uninit) {
        return firmware_status::invalid_platform_state;
    }
    firmware_status status = check_answer(c);
    if (status == firmware_status::success) {
        status = check_start(c);
    }
    if (status != firmware_status::success) {
        return status;
    }
    const std::uint32_t handle = free_handle(c);
    if (handle == 0) {
        return firmware_status::resource_limit;
    }
    c.s.sev_guests[handle] = {.handle = handle, .policy = c.get<std::uint32_t>(4)};
    c.put(0, handle);
    c.write_back = true;
    return firmware_status::success;
}

/// SEV-ES guests have the ASIDs below the least one of SEV (CPUID 8000_001F EDX), SEV guests those
/// from there on. Guests that share a key have an ASID each: whether hardware lets them share one
/// is not modelled.
firmware_status activate(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_sev_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->asid != 0) {
        return firmware_status::active;
    }
    const auto asid = c.get<std::uint32_t>(4);
    const cpu_model &cpu = c.m.cpu();
    status = guest->is_es() ? check_free_asid(c, asid, 1, cpu.min_sev_asid - 1)
                            : check_free_asid(c, asid, cpu.min_sev_asid, cpu.asids);
    if (status != firmware_status::success) {
        return status;
    }
    c.s.asids.take(asid, {asid_owner_kind::sev, guest->handle});
    guest->asid = asid;
    return firmware_status::success;
}

/// Of a guest that is not active: no error.
firmware_status deactivate(firmware_call &c)
{
    sev_guest *guest = nullptr;
    const firmware_status status = find_sev_guest(c, guest);
    if (status == firmware_status::success) {
        deactivate_guest(c, *guest);
    }
    return status;
}

firmware_status decommission(firmware_call &c)
{
    sev_guest *guest = nullptr;
    const firmware_status status = find_sev_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->asid != 0) {
        return firmware_status::active;
    }
    c.s.sev_guests.erase(guest->handle);
    return firmware_status::success;
}

firmware_status guest_status(firmware_call &c)
{
    sev_guest *guest = nullptr;
    firmware_status status = find_sev_guest(c, guest);
    if (status == firmware_status::success) {
        status = check_answer(c);
    }
    if (status != firmware_status::success) {
        return status;
    }
    c.put(4, guest->policy);
    c.put(8, guest->asid);
    c.put(12, guest->state);
    c.write_back = true;
    return firmware_status::success;
}

} // namespace rmpopt::hw
