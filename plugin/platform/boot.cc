// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/boot.h"

#include "base/log.h"
#include "platform/iommu.h"
#include "platform/memory_map.h"
#include "platform/rmp_setup.h"

namespace rmpopt
{

namespace
{

hw::spa_t announce_snp(const hw::machine &m)
{
    const iommu_setup iommu = announce_iommu_snp(m.memory(), m.cpu().iommu_page_mode_0);
    if (!iommu.error.empty()) {
        log("{}: Linux will not enable SNP", iommu.error);
    }
    return iommu.register_base;
}

void set_up_rmp(const boot_hand_over &h)
{
    const hw::memory_view &memory = h.machine->memory();
    rmp_request request{.layout = h.layout,
                        .segment_shift = h.machine->cpu().segment_shift,
                        .boot_params = {},
                        .pvh_start_info = {},
                        .zero = h.zero};
    if (is_boot_params(memory, h.rsi)) {
        request.boot_params = h.rsi;
    } else if (is_pvh_start_info(memory, h.rbx)) {
        request.pvh_start_info = h.rbx;
    }
    const bool has_map = request.boot_params.has_value() || request.pvh_start_info.has_value();
    const rmp_setup rmp = prepare_rmp(memory, request);
    if (!rmp.error.empty()) {
        refuse(rmp.error);
    }
    h.machine->bios_setup(rmp.config);
    log("RMP at {:#x}, {} MiB, {}{}", rmp.reserved.base, rmp.reserved.bytes >> 20,
        h.layout == hw::rmp_layout::segmented ? "segmented" : "contiguous",
        has_map ? ", cut out of the guest's memory map" : "; the guest must keep it free itself");
}

} // namespace

hw::spa_t hand_over(const boot_hand_over &h)
{
    const hw::spa_t iommu = announce_snp(*h.machine);
    if (h.layout == hw::rmp_layout::none) {
        log("no RMP, as asked");
    } else {
        set_up_rmp(h);
    }
    return iommu;
}

} // namespace rmpopt
