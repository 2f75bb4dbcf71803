// SPDX-License-Identifier: GPL-2.0-or-later
// The part of QEMU's TCG plugin ABI, version 7 (QEMU 11.1), that this plugin uses. Declared here
// because no distribution ships the header; install() checks the version that QEMU offers before
// anything else is called. Each function runs in the contexts that QEMU's plugin documentation
// gives; those with a register access only work in callbacks registered with the matching flag.
#pragma once

#include <cstddef>
#include <cstdint>
#include <glib.h>

extern "C" {

using qemu_plugin_id_t = std::uint64_t;

inline constexpr int rmpopt_plugin_api = 7;

struct qemu_info_t {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system;
};

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_register;

struct qemu_plugin_reg_descriptor {
    qemu_plugin_register *handle;
    const char *name;
    const char *feature;
    bool is_readonly;
};

enum qemu_plugin_cb_flags : int {
    QEMU_PLUGIN_CB_NO_REGS,
    QEMU_PLUGIN_CB_R_REGS,
    QEMU_PLUGIN_CB_RW_REGS,
    QEMU_PLUGIN_CB_RW_REGS_PC,
};

enum qemu_plugin_mem_rw : int {
    QEMU_PLUGIN_MEM_R = 1,
    QEMU_PLUGIN_MEM_W,
    QEMU_PLUGIN_MEM_RW,
};

/// What QEMU tells of one memory access, and where it went; opaque.
using qemu_plugin_meminfo_t = std::uint32_t;
struct qemu_plugin_hwaddr;

using qemu_plugin_vcpu_udata_cb_t = void (*)(unsigned int vcpu_index, void *userdata);
using qemu_plugin_vcpu_tb_trans_cb_t = void (*)(qemu_plugin_tb *tb, void *userdata);
using qemu_plugin_udata_cb_t = void (*)(void *userdata);
/// Called after the access. The index may be that of another vCPU, as with all callbacks.
using qemu_plugin_vcpu_mem_cb_t = void (*)(unsigned int vcpu_index, qemu_plugin_meminfo_t info,
                                           std::uint64_t vaddr, void *userdata);

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_udata_cb_t cb,
                                       void *userdata);
void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_udata_cb_t cb,
                                       void *userdata);
void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_udata_cb_t cb,
                                         void *userdata);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t cb,
                                           void *userdata);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb, void *userdata);
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t cb,
                                            qemu_plugin_cb_flags flags, void *userdata);

void qemu_plugin_register_vcpu_mem_cb(qemu_plugin_insn *insn, qemu_plugin_vcpu_mem_cb_t cb,
                                      qemu_plugin_cb_flags flags, qemu_plugin_mem_rw rw,
                                      void *userdata);
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb *tb, qemu_plugin_vcpu_udata_cb_t cb,
                                          qemu_plugin_cb_flags flags, void *userdata);
/// Only in a memory callback; nullptr when QEMU does not know.
qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, std::uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const qemu_plugin_hwaddr *hwaddr);
std::uint64_t qemu_plugin_hwaddr_phys_addr(const qemu_plugin_hwaddr *hwaddr);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *tb);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *tb, std::size_t idx);
std::size_t qemu_plugin_insn_data(const qemu_plugin_insn *insn, void *dest, std::size_t len);
/// Host address of the instruction's first byte; nullptr when it is not in RAM.
void *qemu_plugin_insn_haddr(const qemu_plugin_insn *insn);
/// Linear address of the instruction.
std::uint64_t qemu_plugin_insn_vaddr(const qemu_plugin_insn *insn);
std::size_t qemu_plugin_insn_size(const qemu_plugin_insn *insn);

GArray *qemu_plugin_get_registers(void);
bool qemu_plugin_read_register(qemu_plugin_register *handle, GByteArray *buf);
bool qemu_plugin_write_register(qemu_plugin_register *handle, GByteArray *buf);
bool qemu_plugin_read_memory_vaddr(std::uint64_t addr, GByteArray *data, std::size_t len);
int qemu_plugin_read_memory_hwaddr(std::uint64_t addr, GByteArray *data, std::size_t len);
bool qemu_plugin_translate_vaddr(std::uint64_t vaddr, std::uint64_t *hwaddr);
/// Does not return: no destructor of the calling frames runs.
[[noreturn]] void qemu_plugin_set_pc(std::uint64_t vaddr);
}
