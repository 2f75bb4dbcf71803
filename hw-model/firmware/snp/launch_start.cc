// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_LAUNCH_START: the policy that a guest is launched under.
#include "hw-model/firmware/internal.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

namespace field
{
constexpr std::size_t policy = 8, agent = 16, flags = 24, gosvw = 32;
}
constexpr std::uint32_t agent_enable = 1u << 0, imi_enable = 1u << 1;

constexpr std::uint64_t known_policy =
    guest_policy::abi_minor | guest_policy::abi_major | guest_policy::smt |
    guest_policy::must_be_one | guest_policy::migrate_ma | guest_policy::debug |
    guest_policy::single_socket | guest_policy::cxl_allow | guest_policy::aes_256_xts |
    guest_policy::rapl_disable | guest_policy::ciphertext_hiding;
/// What this platform cannot promise: SNP_FEATURE_INFO does not offer it.
constexpr std::uint64_t absent_features =
    guest_policy::aes_256_xts | guest_policy::rapl_disable | guest_policy::ciphertext_hiding;

bool smt_is_on(const machine &m)
{
    return m.cpus().threads() > m.cpus().cores();
}

/// The version that the guest asks for at least.
bool firmware_is_too_old(std::uint64_t policy)
{
    const std::uint64_t wanted = policy & (guest_policy::abi_major | guest_policy::abi_minor);
    return wanted > (std::uint64_t{api_major} << 8 | api_minor);
}

firmware_status check_policy(const firmware_call &c, std::uint64_t policy)
{
    if ((policy & ~known_policy) != 0 || (policy & guest_policy::must_be_one) == 0) {
        return firmware_status::invalid_param;
    }
    const bool fails = firmware_is_too_old(policy) || (policy & absent_features) != 0 ||
                       ((policy & guest_policy::smt) == 0 && smt_is_on(c.m));
    return fails ? firmware_status::policy_failure : firmware_status::success;
}

/// A migration agent is another guest, which itself has none.
firmware_status check_agent(const firmware_call &c, std::uint64_t policy)
{
    const spa_t agent = c.get_address(field::agent);
    snp_guest *guest = nullptr;
    const firmware_status status = find_guest_at(c, agent, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (agent == c.get_address(0)) {
        return firmware_status::invalid_guest;
    }
    const bool agrees =
        (policy & guest_policy::migrate_ma) != 0 && (guest->policy & guest_policy::migrate_ma) == 0;
    return agrees ? firmware_status::success : firmware_status::policy_failure;
}

} // namespace

/// AMD 56860, SNP_LAUNCH_START. The wanted TSC frequency counts for guests with a secure TSC only,
/// which no CPU model offers.
firmware_status snp_launch_start(firmware_call &c)
{
    snp_guest *guest = nullptr;
    firmware_status status = find_guest(c, guest);
    if (status != firmware_status::success) {
        return status;
    }
    if (guest->state != snp_guest_state::init) {
        return firmware_status::invalid_guest_state;
    }
    const auto flags = c.get<std::uint32_t>(field::flags);
    if ((flags & ~(agent_enable | imi_enable)) != 0) {
        return firmware_status::invalid_param;
    }
    const auto policy = c.get<std::uint64_t>(field::policy);
    status = check_policy(c, policy);
    if (status == firmware_status::success && (flags & agent_enable) != 0) {
        status = check_agent(c, policy);
    }
    if (status != firmware_status::success) {
        return status;
    }
    guest->state = snp_guest_state::launch;
    guest->policy = policy;
    guest->imi = (flags & imi_enable) != 0;
    std::ranges::copy(c.buffer.subspan(field::gosvw, guest->gosvw.size()), guest->gosvw.begin());
    return firmware_status::success;
}

} // namespace rmpopt::hw
