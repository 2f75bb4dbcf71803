// SPDX-License-Identifier: GPL-2.0-or-later
// Rules about pages: RMP instructions repeated in vain, refused stores, pages never returned.
#include "base/format.h"
#include "watch/watch.h"

#include "hw-model/firmware/common/page_state.h"
#include "watch/assigned_pages.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

/// A kernel rightly retries after FAIL_OVERLAP, which another CPU may cause. The other errors do
/// not go away by themselves.
constexpr unsigned most_overlaps = 1000;
constexpr unsigned most_failures = 3;

std::string_view status_name(hw::rmp_status s)
{
    switch (s) {
    case hw::rmp_status::success:
        break;
    case hw::rmp_status::fail_input:
        return "FAIL_INPUT";
    case hw::rmp_status::fail_permission:
        return "FAIL_PERMISSION";
    case hw::rmp_status::fail_inuse:
        return "FAIL_INUSE";
    case hw::rmp_status::fail_overlap:
        return "FAIL_OVERLAP";
    case hw::rmp_status::fail_sizemismatch:
        return "FAIL_SIZEMISMATCH";
    case hw::rmp_status::fail_badaddr:
        return "FAIL_BADADDR";
    }
    return "success";
}

/// Pages that should have been returned to the host.
struct leftovers {
    std::uint64_t pages = 0;
    hw::spa_t first = 0;

    void add(hw::spa_t spa, std::uint64_t n)
    {
        first = pages == 0 ? spa : first;
        pages += n;
    }
};

bool is_inside(const std::vector<hw::spa_range> &ranges, hw::spa_t spa)
{
    return std::ranges::any_of(ranges, [spa](const hw::spa_range &r) {
        return r.overlaps({spa, hw::page_4k});
    });
}

} // namespace

void watch::rmpupdate(const place &where, hw::spa_t spa, hw::rmp_status status)
{
    const std::scoped_lock lock(lock_);
    online(where);
    note_status(where, spa, status, "RMPUPDATE");
}

void watch::psmash(const place &where, hw::spa_t spa, hw::rmp_status status)
{
    const std::scoped_lock lock(lock_);
    online(where);
    note_status(where, spa, status, "PSMASH");
}

void watch::note_status(const place &where, hw::spa_t spa, hw::rmp_status status,
                        std::string_view insn)
{
    failure &last = failures_[*where.cpu];
    if (status == hw::rmp_status::success) {
        last = {};
        touch(spa, now());
        return;
    }
    if (last.spa != spa || last.status != status) {
        last = {.spa = spa, .status = status, .times = 0};
    }
    const unsigned most = status == hw::rmp_status::fail_overlap ? most_overlaps : most_failures;
    if (++last.times == most) {
        log_.add("rmp-retry", formatted("{} {:#x}", insn, spa), where, now(), spa,
                 formatted("{} of {:#x} failed {} times in a row with {}", insn, spa, most,
                           status_name(status)));
    }
}

void watch::write_refused(const place &where, std::optional<hw::spa_t> spa, hw::rmp_rule rule)
{
    if (rule == hw::rmp_rule::segment_reserved_bits) {
        return; // the page has no owner; the fault itself shows what is wrong
    }
    const std::scoped_lock lock(lock_);
    const std::string page =
        spa.has_value() ? formatted("{:#x}", hw::align_down(*spa, hw::page_4k)) : "unknown";
    log_.add("host-write", page, where, now(), spa,
             "store of the host to page " + page + ", which is assigned");
}

void watch::note_guest(const hw::guest_event &e, guest_time at)
{
    switch (e.what) {
    case hw::guest_event::kind::created:
        firmware_.contexts.insert(e.context);
        dead_contexts_.erase(e.context);
        break;
    case hw::guest_event::kind::activated:
        firmware_.asids.insert(e.asid);
        dead_asids_.erase(e.asid);
        break;
    case hw::guest_event::kind::launched:
        break;
    case hw::guest_event::kind::ended:
        firmware_.contexts.erase(e.context);
        dead_contexts_.insert(e.context);
        if (e.asid != 0) {
            firmware_.asids.erase(e.asid);
            dead_asids_.insert(e.asid);
        }
        guest_end_at_ = at;
        leftovers_due_ = true;
        break;
    }
}

/// Looks only after a while without page activity since a guest ended or SNP was shut down: until
/// then the kernel may still be returning pages.
void watch::look_for_leftovers(look &l) const
{
    if (!leftovers_due_ || !l.is_over(leftovers_since()) || !m().snp_enabled_somewhere()) {
        return;
    }
    std::map<std::uint32_t, leftovers> guests;
    leftovers firmware;
    const auto look_at = [&](hw::spa_t spa, const hw::rmp_entry &e, unsigned n) {
        const hw::page_state state = hw::state_of(e);
        if (e.asid != 0) {
            if (!firmware_.snp_init || dead_asids_.contains(e.asid)) {
                guests[e.asid].add(spa, n);
            }
        } else if (!is_inside(firmware_.memory, spa) &&
                   (state == hw::page_state::reclaim || !firmware_.snp_init ||
                    dead_contexts_.contains(spa))) {
            firmware.add(spa, n);
        }
        return false; // go on
    };
    {
        const std::scoped_lock rmp_lock(m().rmp_lock());
        for (const hw::rmp_extent &e : m().rmp().extents()) {
            const hw::spa_t from = hw::align_down(e.covered, hw::page_2m);
            any_assigned_page(m().rmp(), {from, e.covered + e.covered_bytes - from}, look_at);
        }
    }
    for (const auto &[asid, left] : guests) {
        l.found.push_back({.kind = "pages-leaked",
                           .key = std::to_string(asid),
                           .since = leftovers_since(),
                           .spa = left.first,
                           .what = formatted("{} pages from {:#x} on still belong to the guest "
                                             "with ASID {}, which has ended",
                                             left.pages, left.first, asid)});
    }
    if (firmware.pages != 0) {
        l.found.push_back(
            {.kind = "firmware-pages-left",
             .since = leftovers_since(),
             .spa = firmware.first,
             .what = formatted("{} pages from {:#x} on were firmware's and have not come back",
                               firmware.pages, firmware.first)});
    }
}

} // namespace rmpopt
