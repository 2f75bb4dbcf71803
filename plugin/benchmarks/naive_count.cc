// SPDX-License-Identifier: GPL-2.0-or-later
// What measuring is compared with: a plugin that does only what the API's examples do, a callback
// for each store that asks for the hardware address and counts by 1 GB region. No RMP, no verdicts.
#include "qemu/api.h"

#include <array>

#define RMPOPT_EXPORT extern "C" __attribute__((visibility("default")))

RMPOPT_EXPORT int qemu_plugin_version;
int qemu_plugin_version = rmpopt_plugin_api;

namespace
{

constexpr std::uint64_t regions = 4096;
std::array<std::uint64_t, regions> counts;

void on_store(unsigned, qemu_plugin_meminfo_t info, std::uint64_t vaddr, void *)
{
    const qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
    if (hw != nullptr && !qemu_plugin_hwaddr_is_io(hw)) {
        ++counts[(qemu_plugin_hwaddr_phys_addr(hw) >> 30) % regions];
    }
}

void on_translate(qemu_plugin_tb *tb, void *)
{
    for (std::size_t i = 0; i < qemu_plugin_tb_n_insns(tb); ++i) {
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_store,
                                         QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W, nullptr);
    }
}

} // namespace

RMPOPT_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *, int, char **)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate, nullptr);
    return 0;
}
