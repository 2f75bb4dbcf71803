// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_START: the policy that a guest is launched under.
#include "hw-model/firmware/snp/snp.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t known_policy =
    guest_policy::abi_minor | guest_policy::abi_major | guest_policy::smt |
    guest_policy::must_be_one | guest_policy::migrate_ma | guest_policy::debug |
    guest_policy::single_socket | guest_policy::cxl_allow | guest_policy::aes_256_xts |
    guest_policy::rapl_disable | guest_policy::ciphertext_hiding;
/// Later versions of the ABI know more.
constexpr std::uint8_t minor_with_page_swap_disable = 58;

/// The version that the guest asks for at least.
bool is_too_old(const firmware_version &firmware, std::uint64_t policy)
{
    const std::uint64_t wanted = policy & (guest_policy::abi_major | guest_policy::abi_minor);
    return wanted > (std::uint64_t{firmware.major} << 8 | firmware.minor);
}

std::uint64_t policy_bits(const firmware_version &firmware)
{
    return known_policy |
           (firmware.minor >= minor_with_page_swap_disable ? guest_policy::page_swap_disable : 0);
}

/// What SNP_INIT_EX has not switched on, the platform cannot promise. Pages are never swapped.
std::uint64_t absent_features(const firmware_state &s)
{
    return guest_policy::aes_256_xts | (s.rapl_disabled ? 0 : guest_policy::rapl_disable) |
           (s.max_snp_asid != 0 ? 0 : guest_policy::ciphertext_hiding);
}

/// AMD 56860, SNP_LAUNCH_START and guest policy.
firmware_status check_policy(const firmware_call &c, std::uint64_t policy)
{
    const firmware_version &firmware = c.m.cpu().firmware;
    const bool well_formed =
        (policy & ~policy_bits(firmware)) == 0 && (policy & guest_policy::must_be_one) != 0;
    const bool can_be_kept = !is_too_old(firmware, policy) &&
                             (policy & absent_features(c.s)) == 0 &&
                             ((policy & guest_policy::smt) != 0 || !smt_is_on(c.m));
    return in_order(must(well_formed, invalid_param), must(can_be_kept, policy_failure));
}

/// The migration agent must be a different guest and must not itself have one.
firmware_status check_agent(const firmware_call &c, const snp_launch_start_buffer &b)
{
    snp_guest *agent = nullptr;
    return in_order([&] { return find_guest(c, b.ma_gctx_paddr, agent); },
                    must(b.ma_gctx_paddr != b.gctx_paddr, invalid_guest),
                    [&] {
                        return must((b.policy & guest_policy::migrate_ma) != 0 &&
                                        (agent->policy & guest_policy::migrate_ma) == 0,
                                    policy_failure);
                    });
}

} // namespace

bool smt_is_on(const machine &m)
{
    return m.cpus().threads() > m.cpus().cores();
}

/// AMD 56860, SNP_LAUNCH_START. The wanted TSC frequency matters to guests with a secure TSC only,
/// which no CPU model offers.
firmware_status snp_launch_start(firmware_call &c, const snp_launch_start_buffer &b)
{
    const std::uint32_t known_flags = b.ma_en | b.imi_en;
    snp_guest *guest = nullptr;
    return in_order(
        [&] { return find_guest(c, b.gctx_paddr, guest); },
        [&] { return must(guest->state == snp_guest_state::init, invalid_guest_state); },
        must((b.flags & ~known_flags) == 0, invalid_param),
        [&] { return check_policy(c, b.policy); },
        [&] { return (b.flags & b.ma_en) != 0 ? check_agent(c, b) : success; },
        [&] {
            guest->state = snp_guest_state::launch;
            guest->policy = b.policy;
            guest->imi = (b.flags & b.imi_en) != 0;
            guest->gosvw = b.gosvw;
            guest->launch_tcb = c.s.current_tcb;
            guest->launch_mitigations = c.s.mitigations_verified;
            guest->agent_serial =
                (b.flags & b.ma_en) != 0 ? c.s.guests.at(b.ma_gctx_paddr).serial : 0;
        });
}

} // namespace rmpopt::hw
