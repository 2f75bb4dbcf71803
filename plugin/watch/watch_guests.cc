// SPDX-License-Identifier: GPL-2.0-or-later
// What SNP guests do wrong by themselves. Each kind is reported once for a guest, with the first
// page.
#include "base/format.h"
#include "watch/watch.h"

namespace rmpopt
{

namespace
{

struct guest_rule {
    finding_kind finding;
    std::string_view did;
};

guest_rule rule_of(guest_page_event::kind what)
{
    switch (what) {
    case guest_page_event::kind::not_validated:
        return {"guest-unvalidated-page", "accesses a page that is not validated"};
    case guest_page_event::kind::shared_access:
        return {"guest-shared-access", "accesses a page as shared that it has validated"};
    case guest_page_event::kind::shared_request:
        return {"guest-shares-validated", "asks to share a page that is still validated"};
    case guest_page_event::kind::validated_again:
        break;
    }
    return {"guest-validates-twice", "validates a page that is validated"};
}

} // namespace

void watch::guest_page(const guest_page_event &e)
{
    const guest_rule rule = rule_of(e.what);
    // The kernel whose RIPs have names is the host's: the guest's RIP is part of the text.
    log_.add(rule.finding, std::to_string(e.asid), {.cpu = e.cpu}, now(), e.spa,
             formatted("the guest with ASID {} {}: guest address {:#x}, the guest's RIP {:#x}",
                       e.asid, rule.did, e.gpa, e.rip));
}

} // namespace rmpopt
