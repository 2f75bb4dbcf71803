// SPDX-License-Identifier: GPL-2.0-or-later
#include "instrument/hook_view.h"

namespace rmpopt
{

measurement *hook_measurement = nullptr;
constinit thread_local hook_view this_hook_view;

[[gnu::noinline]] void look_at_current(hook_view &v)
{
    v.current = vcpu::current_slot();
    v.cpu = *v.current;
    v.index = vcpu::current().index();
    v.state = &hook_measurement->vcpu(v.index);
}

page_target target_of(qemu_plugin_meminfo_t info, std::uint64_t vaddr)
{
    const qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
    if (hw == nullptr) {
        return {};
    }
    const hw::spa_t spa = qemu_plugin_hwaddr_phys_addr(hw);
    if (qemu_plugin_hwaddr_is_io(hw) || !hook_measurement->is_counted(spa)) {
        return {page_target::kind::device, 0};
    }
    return {page_target::kind::ram, spa};
}

} // namespace rmpopt
