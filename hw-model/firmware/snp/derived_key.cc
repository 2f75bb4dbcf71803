// SPDX-License-Identifier: GPL-2.0-or-later
// MSG_KEY_REQ: a key that a guest gets again only if it is what it says it is (AMD 56860). How
// hardware mixes the fields into the key is not public.
#include "hw-model/firmware/common/chip.h"
#include "hw-model/firmware/snp/guest_messages.h"

namespace rmpopt::hw
{

namespace
{

using request = key_request;

constexpr unsigned key_sel_shift = 1;
constexpr std::uint32_t root_key_bits = 7;
constexpr std::uint64_t fields_of_version_1 = 0x3f, fields_of_version_2 = 0x7f;

/// All that a key depends on; fields that the guest has not selected are zero.
struct key_ingredients {
    sha384_digest root_key{};
    std::uint64_t guest_field_select = 0;
    std::uint64_t vmpl = 0;
    std::uint64_t policy = 0;
    std::array<std::byte, 16> image_id{}, family_id{};
    sha384_digest measurement{};
    std::uint64_t guest_svn = 0;
    std::uint64_t tcb_version = 0;
    std::uint64_t launch_mit_vector = 0;
};
static_assert(std::has_unique_object_representations_v<key_ingredients>);

key_ingredients ingredients(const snp_guest &guest, const key_request_2 &r)
{
    const bool own_root = (r.first.root_key_select & request::root_is_vmrk) != 0;
    const auto selected = [&r](std::uint64_t field, auto value) {
        return (r.first.guest_field_select & field) != 0 ? value : decltype(value){};
    };
    return {.root_key = own_root ? guest_root_key(guest) : chip_root_key(),
            .guest_field_select = r.first.guest_field_select,
            .vmpl = r.first.vmpl,
            .policy = selected(request::guest_policy, guest.policy),
            .image_id = selected(request::image_id, guest.identity.image_id),
            .family_id = selected(request::family_id, guest.identity.family_id),
            .measurement = selected(request::measurement, guest.launch_digest),
            .guest_svn = selected(request::guest_svn, r.first.svn),
            .tcb_version = selected(request::tcb_version, r.first.tcb),
            .launch_mit_vector = selected(request::launch_mit_vector, r.mit_vector)};
}

/// A guest can go back to what it was, but not ahead to what it is not yet.
bool is_ahead(const guest_call &call, const key_request_2 &r)
{
    return r.first.svn > call.guest.identity.guest_svn ||
           tcb_exceeds(r.first.tcb, call.c.s.current_tcb) ||
           (r.mit_vector & ~call.guest.launch_mitigations) != 0;
}

key_response derive(const guest_call &call, const key_request_2 &r, std::uint64_t known_fields)
{
    const std::uint32_t select = r.first.root_key_select;
    const bool own_root = (select & request::root_is_vmrk) != 0;
    const std::uint32_t key_sel = select >> key_sel_shift;
    key_response out{};
    const firmware_status status = in_order(
        must((select & ~root_key_bits) == 0 && reserved_zero(r.first.reserved_04) &&
                 (r.first.guest_field_select & ~known_fields) == 0 &&
                 speaks_for(call, r.first.vmpl) && !is_ahead(call, r),
             invalid_param),
        [&] { return own_root ? success : check_endorsement_key(call, key_sel); },
        [&] {
            const key_ingredients in = ingredients(call.guest, r);
            const sha384_digest key = sha384(std::as_bytes(std::span(&in, 1)));
            std::copy_n(key.begin(), out.derived_key.size(), out.derived_key.begin());
        });
    out.status = static_cast<std::uint32_t>(status);
    return out;
}

} // namespace

key_response answer_key_request(const guest_call &call, const key_request &r)
{
    return derive(call, {.first = r, .mit_vector = 0}, fields_of_version_1);
}

key_response answer_key_request_2(const guest_call &call, const key_request_2 &r)
{
    return derive(call, r, fields_of_version_2);
}

} // namespace rmpopt::hw
