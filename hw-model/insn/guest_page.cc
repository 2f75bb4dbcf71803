// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/insn/guest_page.h"

#include "hw-model/access/rmp_check.h"

namespace rmpopt::hw
{

namespace
{

std::uint64_t npf_bits(const guest_operand &page)
{
    return rmp_error::rmp | rmp_error::final_access | (page.encrypted ? rmp_error::encrypted : 0);
}

guest_result npf(const guest_operand &page, std::uint64_t more_bits = 0)
{
    return raised(guest_exception::npf, npf_bits(page) | more_bits);
}

/// The verdict on the page, as on any private access to it. Its VMPL permissions do not matter
/// here, because each instruction has its own rules for them.
rmp_verdict judge(const machine &m, const guest_context &ctx, const guest_operand &page)
{
    return rmp_check(m, ctx.thread,
                     {.who = initiator::snp_guest,
                      .kind = rmp_access_kind::read,
                      .spa = page.spa,
                      .large_mapping = page.large_nested,
                      .encrypted = true,
                      .asid = ctx.asid,
                      .gpa = page.gpa,
                      .vmpl = ctx.vmpl});
}

/// True for the rules about whether the page has an entry and who owns it.
bool is_ownership(rmp_rule rule)
{
    switch (rule) {
    case rmp_rule::segment_reserved_bits:
    case rmp_rule::guest_covered:
    case rmp_rule::guest_assigned:
    case rmp_rule::guest_asid:
    case rmp_rule::guest_gpa:
    case rmp_rule::guest_immutable:
        return true;
    default:
        return false;
    }
}

/// The nested mapping and the entry must have the same size, as for every access. SIZEM stays
/// clear.
std::optional<guest_result> check_mapping(const rmp_entry &e, const guest_operand &page)
{
    return e.size_2m != page.large_nested ? std::optional(npf(page)) : std::nullopt;
}

/// The size that the instruction asks for. Asking for 4 KB of a 2 MB entry causes a fault, so that
/// the host can split the entry. Asking for 2 MB of a 4 KB entry fails with a status, so that the
/// guest can go on in 4 KB steps (APM vol. 2, 15.36.10; Linux).
std::optional<guest_result> check_asked(const rmp_entry &e, const guest_operand &page,
                                        std::optional<bool> asked_2m)
{
    if (!asked_2m.has_value() || *asked_2m == e.size_2m) {
        return std::nullopt;
    }
    return e.size_2m ? npf(page, rmp_error::size_mismatch) : failed(rmp_status::fail_sizemismatch);
}

std::optional<guest_result> check_size(const machine &m, const rmp_entry &e,
                                       const guest_operand &page, std::optional<bool> asked_2m)
{
    const auto asked = check_asked(e, page, asked_2m);
    const auto mapping = check_mapping(e, page);
    const bool asked_first = m.choices().guest_size_order == choice::guest_size_order::first;
    return asked_first ? (asked ? asked : mapping) : (mapping ? mapping : asked);
}

} // namespace

guest_page find_guest_page(const machine &m, const guest_context &ctx, const guest_operand &page,
                           std::optional<bool> asked_2m)
{
    guest_page found;
    const rmp_verdict verdict = judge(m, ctx, page);
    if (is_ownership(verdict.rule)) {
        const std::uint64_t c_bit = page.encrypted ? 0 : rmp_error::encrypted;
        found.refusal = raised(guest_exception::npf, verdict.error_bits & ~c_bit);
        return found;
    }
    const bool is_2m = rmp_owner(m.rmp(), page.spa).size_2m;
    found.slot = align_down(page.spa, is_2m ? page_2m : page_4k);
    found.entry = m.rmp().load(found.slot);
    found.refusal = check_size(m, found.entry, page, asked_2m);
    return found;
}

guest_result not_validated()
{
    return raised(guest_exception::vc, vc_page_not_validated);
}

} // namespace rmpopt::hw
