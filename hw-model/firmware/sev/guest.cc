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
bool api_suffices(const firmware_version &api, std::uint32_t policy)
{
    const std::uint32_t major = policy >> 16 & 0xff, minor = policy >> 24;
    return major < api.major || (major == api.major && minor <= api.minor);
}

/// AMD 55766, LAUNCH_START and guest policy. Which status a policy gets that asks for SEV-ES on a
/// platform without it is not documented.
firmware_status check_policy(const firmware_call &c, std::uint32_t policy)
{
    const bool es_missing = (policy & sev_policy::es) != 0 && !c.s.platform_es;
    return in_order(must((policy & sev_policy::reserved) == 0, invalid_param),
                    must(!es_missing && api_suffices(c.m.cpu().firmware, policy), policy_failure));
}

/// A guest may share the key of another one of the same policy, if that does not forbid it. Handle
/// 0 asks for a key of its own.
firmware_status check_key_sharing(const firmware_call &c, std::uint32_t handle,
                                  std::uint32_t policy)
{
    if (handle == 0) {
        return success;
    }
    const auto it = c.s.sev_guests.find(handle);
    return in_order(must(it != c.s.sev_guests.end(), invalid_guest), [&] {
        const std::uint32_t other = it->second.policy;
        return must((other & sev_policy::no_key_sharing) == 0 && other == policy, policy_failure);
    });
}

/// The guest owner's key and session, both or none. They are read and their form is checked, but no
/// key comes out of them: the platform has none to agree with (see certificate.h).
firmware_status check_session(const firmware_call &c, const launch_start_buffer &b)
{
    if (b.dh_cert_paddr == 0) {
        return success;
    }
    sev_cert pdh;
    return in_order(
        must(b.dh_cert_len == cert_bytes && b.session_len == session_bytes, invalid_length),
        [&] {
            return must(c.m.memory().read(b.dh_cert_paddr, pdh.data(), pdh.size()) &&
                            c.m.memory().at(b.session_paddr, session_bytes) != nullptr,
                        invalid_address);
        },
        [&] { return must(is_cert_for(pdh, key_usage::pdh), invalid_certificate); });
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

firmware_status find_sev_guest(const firmware_call &c, std::uint32_t handle, sev_guest *&guest)
{
    const auto it = c.s.sev_guests.find(handle);
    guest = it == c.s.sev_guests.end() ? nullptr : &it->second;
    return in_order(must(phase_of(c.s) == platform_phase::working, invalid_platform_state),
                    must(guest != nullptr, invalid_guest));
}

firmware_status find_sev_guest_in(const firmware_call &c, std::uint32_t handle,
                                  sev_guest_state state, sev_guest *&guest)
{
    return in_order([&] { return find_sev_guest(c, handle, guest); },
                    [&] { return must(guest->state == state, invalid_guest_state); });
}

void forget_sev_guests(firmware_call &c)
{
    for (auto &[handle, guest] : c.s.sev_guests) {
        deactivate_guest(c, guest);
    }
    c.s.sev_guests.clear();
}

/// AMD 55766, LAUNCH_START.
firmware_status launch_start(firmware_call &c, launch_start_buffer &b)
{
    std::uint32_t handle = 0;
    return in_order(
        must(phase_of(c.s) != platform_phase::uninit, invalid_platform_state),
        [&] { return check_answer(c); }, [&] { return check_policy(c, b.policy); },
        [&] { return check_key_sharing(c, b.handle, b.policy); },
        [&] { return check_session(c, b); },
        [&] {
            handle = free_handle(c);
            return must(handle != 0, resource_limit);
        },
        [&] {
            c.s.sev_guests[handle] = {.handle = handle, .policy = b.policy};
            b.handle = handle;
            c.write_back = true;
        });
}

/// AMD 55766, ACTIVATE. SEV-ES guests have the ASIDs below the least one of SEV (CPUID 8000_001F
/// EDX), SEV guests those from there on. Guests that share a key have an ASID each: whether
/// hardware lets them share one is not modelled.
firmware_status activate(firmware_call &c, const activate_buffer &b)
{
    const cpu_model &cpu = c.m.cpu();
    sev_guest *guest = nullptr;
    return in_order([&] { return find_sev_guest(c, b.handle, guest); },
                    [&] { return must(guest->asid == 0, active); },
                    [&] {
                        return guest->is_es()
                                   ? check_free_asid(c, b.asid, 1, cpu.min_sev_asid - 1)
                                   : check_free_asid(c, b.asid, cpu.min_sev_asid, cpu.asids);
                    },
                    [&] {
                        c.s.asids.take(b.asid);
                        guest->asid = b.asid;
                    });
}

/// AMD 55766, DEACTIVATE: no error for a guest that is not active.
firmware_status deactivate(firmware_call &c, const handle_buffer &b)
{
    sev_guest *guest = nullptr;
    return in_order([&] { return find_sev_guest(c, b.handle, guest); },
                    [&] { deactivate_guest(c, *guest); });
}

/// AMD 55766, DECOMMISSION.
firmware_status decommission(firmware_call &c, const handle_buffer &b)
{
    sev_guest *guest = nullptr;
    return in_order([&] { return find_sev_guest(c, b.handle, guest); },
                    [&] { return must(guest->asid == 0, active); },
                    [&] { c.s.sev_guests.erase(guest->handle); });
}

/// AMD 55766, GUEST_STATUS.
firmware_status guest_status(firmware_call &c, guest_status_buffer &b)
{
    sev_guest *guest = nullptr;
    return in_order([&] { return find_sev_guest(c, b.handle, guest); },
                    [&] { return check_answer(c); },
                    [&] {
                        b.policy = guest->policy;
                        b.asid = guest->asid;
                        b.state = guest->state;
                        c.write_back = true;
                    });
}

} // namespace rmpopt::hw
