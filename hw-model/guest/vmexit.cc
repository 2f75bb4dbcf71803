// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmexit.h"

#include "hw-model/base/x86_bits.h"

namespace rmpopt::hw
{

exit_class class_of_exit(std::uint64_t code, std::uint64_t info1)
{
    switch (code) {
    case exit_code::machine_check:
    case exit_code::interrupt:
    case exit_code::nmi:
    case exit_code::init:
    case exit_code::virtual_interrupt:
    case exit_code::pause:
    case exit_code::hlt:
    case exit_code::shutdown:
    case exit_code::efer_write_trap:
    case exit_code::bus_lock:
    case exit_code::idle_hlt:
    case exit_code::vmgexit:
        return exit_class::automatic;
    case exit_code::nested_page_fault:
        return (info1 & pf_reserved) != 0 ? exit_class::vmm_communication : exit_class::automatic;
    default:
        break;
    }
    const bool is_trap = code >= exit_code::cr0_write_trap && code <= exit_code::cr15_write_trap;
    return is_trap || code >= exit_code::first_failure ? exit_class::automatic
                                                       : exit_class::vmm_communication;
}

} // namespace rmpopt::hw
