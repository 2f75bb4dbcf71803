// SPDX-License-Identifier: GPL-2.0-or-later
// RMPUPDATE (F2 0F 01 FE): RAX = system address, RCX = address of the 16-byte record.
#include "hw-model/insn/rmpupdate.h"
#include "enforce/svm_guest.h"
#include "insn/dispatch.h"

namespace rmpopt
{

namespace
{

hw::rmp_status update(hw::spa_t spa, const hw::rmp_record &record)
{
    hw::rmp_changes effects;
    refresh_guests();
    const hw::rmp_status s = hw::rmpupdate(the_context->machine(), spa, record, effects);
    the_context->apply(effects);
    the_context->audit(spa);
    return s;
}

} // namespace

void emulate_rmpupdate(insn_event event)
{
    const hw::fault f = hw::host_insn_fault(the_context->machine(), event.model_context());
    if (f != hw::fault::none) {
        raise(event, f);
    }
    std::array<std::byte, hw::rmp_record::bytes> raw;
    synchronise(event);
    const operand_fault bad = read_operand(*the_context, event.cpu, event.reg(rcx), raw);
    if (bad.what != operand_fault::kind::none) {
        raise(event, bad);
    }
    const hw::rmp_record record = hw::rmp_record::decode(raw);
    const auto injected = the_context->injected().take_rmpupdate();
    const hw::rmp_status status = injected.has_value() ? *injected : update(event.reg(rax), record);
    the_context->measuring().rmpupdate(event.reg(rax), status);
    if (status == hw::rmp_status::success) {
        the_context->measuring().rmp_changed(
            {event.reg(rax), record.size_2m ? hw::page_2m : hw::page_4k});
    }
    if (watch *watcher = the_context->watcher()) {
        watcher->rmpupdate(place_of(event), event.reg(rax), status);
    }
    complete_with_status(event, status, hw::changed_flags(the_context->machine()));
}

} // namespace rmpopt
