// SPDX-License-Identifier: GPL-2.0-or-later
// The plugin's entry point: checks what QEMU offers, parses the options, registers the callbacks.
#include "base/format.h"
#include "base/log.h"
#include "emulation.h"
#include "enforce/sigbus.h"
#include "insn/translate.h"
#include "qemu/api.h"
#include "qemu/layout.h"
#include "qemu/machine.h"
#include "qemu/stale_code.h"
#include "qemu/symbols.h"

#include <string_view>

#define RMPOPT_EXPORT extern "C" __attribute__((visibility("default")))

/// The API version that this plugin was written for. QEMU does not load the plugin if it does not
/// support that version.
RMPOPT_EXPORT int qemu_plugin_version;
int qemu_plugin_version = rmpopt_plugin_api;

namespace rmpopt
{

namespace
{

/// The only instance. It lives until QEMU ends, because callbacks on any thread use it.
emulation *the_emulation = nullptr;

void on_vcpu_init(unsigned, void *)
{
    accept_guard_signal();
}

void on_vcpu_idle(unsigned index, void *)
{
    stale_code::idles(index, true);
}

void on_vcpu_resume(unsigned index, void *)
{
    stale_code::idles(index, false);
}

void on_exit(void *)
{
    the_emulation->finish();
}

std::string check_qemu(const qemu_info_t &info)
{
    if (std::string_view(info.target_name) != "x86_64" || !info.system_emulation) {
        return "this plugin needs qemu-system-x86_64";
    }
    if (info.version.min > rmpopt_plugin_api || info.version.cur < rmpopt_plugin_api) {
        return formatted("this QEMU speaks plugin API {} to {}, this plugin speaks {}; use a "
                         "QEMU 11.1 (scripts/rmpopt setup finds one)",
                         info.version.min, info.version.cur, rmpopt_plugin_api);
    }
    if (info.system.smp_vcpus != info.system.max_vcpus) {
        return formatted("{} of {} CPUs would be hot-plugged, which is not emulated; give -smp "
                         "without maxcpus",
                         info.system.max_vcpus - info.system.smp_vcpus, info.system.max_vcpus);
    }
    const std::string missing = missing_symbols();
    if (!missing.empty()) {
        return "this QEMU does not export " + missing +
               "; use a QEMU that is built with modules, as distributions do";
    }
    return {};
}

} // namespace

} // namespace rmpopt

RMPOPT_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                      char **argv)
{
    using namespace rmpopt;
    options opt;
    std::string error = check_qemu(*info);
    if (error.empty()) {
        error = parse_options(argc, argv, opt);
    }
    if (error.empty() && !opt.broken_fact.empty() && !layout::break_fact(opt.broken_fact)) {
        error = "option break: there is no fact '" + opt.broken_fact + "'; option probe lists them";
    }
    if (error.empty() && !opt.log.empty()) {
        error = open_log(opt.log);
    }
    if (error.empty()) {
        the_emulation = new emulation(opt, static_cast<unsigned>(info->system.max_vcpus));
        error = the_emulation->listen();
    }
    if (!error.empty()) {
        refuse(error);
    }
    the_emulation->offer_devices();
    on_machine_reset([](void *) { the_emulation->reset(); }, nullptr);
    before_first_instruction([](std::uintptr_t ra) { the_emulation->start_machine(ra); });
    accept_guard_signal();
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, nullptr);
    qemu_plugin_register_vcpu_idle_cb(id, on_vcpu_idle, nullptr);
    qemu_plugin_register_vcpu_resume_cb(id, on_vcpu_resume, nullptr);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate, nullptr);
    qemu_plugin_register_atexit_cb(id, on_exit, nullptr);
    return 0;
}
