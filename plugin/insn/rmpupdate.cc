// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE (F2 0F 01 FE): RAX = system address, RCX = address of the 16-byte record.
#include "hw-model/insn/rmpupdate.h"
#include "enforce/enforcement.h"
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"
#include "sev/encrypted_guest.h"

namespace rmpopt
{

namespace
{

hw::rmp_status update(hw::machine &m, hw::spa_t spa, const hw::rmp_record &record)
{
    hw::rmp_changes changes;
    const hw::rmp_status status = hw::rmpupdate(m, spa, record, changes);
    take_effect(changes);
    const bool was_the_hosts = !changes.ranges().empty() && record.assigned;
    if (status == hw::rmp_status::success && !was_the_hosts) {
        drop_translations_of_guests(); // with a page of the host's, all were dropped
    }
    return status;
}

} // namespace

void emulate_rmpupdate(insn_event event)
{
    hw::machine &m = event.machine();
    raise_any(event, hw::host_insn_fault(m, event.model_context()));
    refuse_in_guest(event, hw::changed_flags(m));
    std::array<std::byte, hw::rmp_record::bytes> raw;
    synchronise(event);
    raise_any(event, read_operand(m.memory(), event.cpu, event.reg(rcx), raw));
    const hw::rmp_record record = hw::rmp_record::decode(raw);
    if (!is_use_certain(event.reg(rax), record.size_2m ? hw::page_2m : hw::page_4k)) {
        execute_again(event);
    }
    const auto failure = event.env.rmpupdate_failure();
    const hw::rmp_status status =
        failure.has_value() ? *failure : update(m, event.reg(rax), record);
    event.heard().rmpupdate(place_of(event), event.reg(rax), record, status);
    complete_with_status(event, status, hw::changed_flags(m));
}

} // namespace rmpopt
