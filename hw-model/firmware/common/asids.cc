// SPDX-License-Identifier: GPL-2.0-or-later
// ASIDs between two guests: WBINVD on every core, then a flush of the data fabric, then the next.
#include "hw-model/firmware/common/asids.h"

#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/state.h"

#include <algorithm>

namespace rmpopt::hw
{

/// AMD 55766, ACTIVATE; AMD 56860, SNP_ACTIVATE.
firmware_status check_free_asid(const firmware_call &c, std::uint32_t asid, std::uint32_t first,
                                std::uint32_t last)
{
    const bool exists = asid >= first && asid <= last && asid < asid_pool::limit;
    return in_order(
        must(exists, invalid_asid), [&] { return must(c.s.asids.is_free(asid), asid_owned); },
        [&] { return must(!c.s.asids.needs_flush(asid), df_flush_required); });
}

void require_wbinvd(firmware_call &c)
{
    for (auto &pending : c.s.wbinvd_pending) {
        pending.store(c.s.tracks_wbinvd);
    }
}

void give_back_asid(firmware_call &c, std::uint32_t asid)
{
    c.s.asids.give_back(asid);
    require_wbinvd(c);
}

/// AMD 55766, DF_FLUSH; AMD 56860, SNP_DF_FLUSH: WBINVD first, on every core.
firmware_status flush_asids(firmware_call &c)
{
    const bool pending =
        std::ranges::any_of(c.s.wbinvd_pending, [](const auto &p) { return p.load(); });
    return in_order(must(!pending, wbinvd_required), [&] { c.s.asids.flush(); });
}

} // namespace rmpopt::hw
