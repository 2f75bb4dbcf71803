// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/layout.h"

#include "base/format.h"
#include "hw-model/base/x86_bits.h"
#include "qemu/api.h"
#include "qemu/pci_function.h"
#include "qemu/stale_code.h"
#include "qemu/symbols.h"
#include "qemu/tlb_fill.h"
#include "qemu/translator.h"
#include "qemu/vcpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace rmpopt::layout
{

offsets found;
std::atomic<bool> guest_bit_seen{false};

namespace
{

namespace qemu
{
qemu_function<void *(int index)> qemu_get_cpu("qemu_get_cpu");
qemu_function<void *(std::uintptr_t host_pc)> tcg_tb_lookup("tcg_tb_lookup");
qemu_function<bool(void *cpu, std::uintptr_t host_pc, std::uint64_t *data)>
    cpu_unwind_state_data("cpu_unwind_state_data");
qemu_function<std::uint64_t(void *env)> helper_read_eflags("helper_read_eflags");
qemu_function<void(void *env)> x86_update_hflags("x86_update_hflags");
qemu_function<int(void *env, unsigned privilege)> x86_mmu_index_pl("x86_mmu_index_pl");
qemu_function<void(void *cpu, void (*work)(void *cpu, void *data), void *data)>
    run_on_cpu("run_on_cpu");
qemu_function<std::int64_t(int type)> qemu_clock_get_ns("qemu_clock_get_ns");
qemu_object memory_region_dispatch_read("memory_region_dispatch_read");
qemu_object memory_region_dispatch_write("memory_region_dispatch_write");
} // namespace qemu

// The state that a reset leaves (APM vol. 2, 14.1.3).
constexpr std::uint64_t reset_rip = 0xfff0, reset_cr0 = 0x60000010, reset_eflags = 2;
constexpr std::uint64_t reset_cs = 0xf000, reset_cs_base = 0xffff0000;

/// How far into CPUX86State its registers lie.
constexpr std::size_t env_scan = 0x1000;

std::uintptr_t return_address = 0; ///< of the callback that the probes are called from

std::byte *cpu_object()
{
    return static_cast<std::byte *>(qemu::qemu_get_cpu(0));
}

std::byte *env()
{
    return cpu_object() + found.env;
}

template <class T> T read(std::size_t offset)
{
    T value;
    std::memcpy(&value, env() + offset, sizeof value);
    return value;
}

template <class T> void write(std::size_t offset, T value)
{
    std::memcpy(env() + offset, &value, sizeof value);
}

/// Another value in a field of CPUX86State, as long as the object lives.
template <class T> class field_loan
{
  public:
    field_loan(std::size_t offset, T value) : offset_(offset), old_(read<T>(offset))
    {
        write(offset, value);
    }
    field_loan(const field_loan &) = delete;
    field_loan &operator=(const field_loan &) = delete;
    ~field_loan() { write(offset_, old_); }

  private:
    std::size_t offset_;
    T old_;
};

qemu_plugin_register *register_handle(std::string_view name)
{
    GArray *list = qemu_plugin_get_registers();
    qemu_plugin_register *handle = nullptr;
    const bool known = g_array_get_element_size(list) == sizeof(qemu_plugin_reg_descriptor);
    for (guint i = 0; known && i < list->len; ++i) {
        const auto &d = g_array_index(list, qemu_plugin_reg_descriptor, i);
        if (name == d.name) {
            handle = d.handle;
        }
    }
    g_array_free(list, TRUE);
    return handle;
}

std::uint64_t read_register(qemu_plugin_register *handle)
{
    GByteArray *buf = g_byte_array_new();
    std::uint64_t value = 0;
    if (qemu_plugin_read_register(handle, buf)) {
        std::memcpy(&value, buf->data, std::min<std::size_t>(buf->len, sizeof value));
    }
    g_byte_array_free(buf, TRUE);
    return value;
}

void write_register(qemu_plugin_register *handle, std::uint64_t value)
{
    GByteArray *buf = g_byte_array_new();
    g_byte_array_append(buf, reinterpret_cast<const guint8 *>(&value), sizeof value);
    qemu_plugin_write_register(handle, buf);
    g_byte_array_free(buf, TRUE);
}

/// Another value in a register that QEMU's plugin interface shows, as long as the object lives.
class register_loan
{
  public:
    register_loan(qemu_plugin_register *handle, std::uint64_t value)
        : handle_(handle), old_(read_register(handle))
    {
        write_register(handle, value);
    }
    register_loan(const register_loan &) = delete;
    register_loan &operator=(const register_loan &) = delete;
    ~register_loan() { write_register(handle_, old_); }

  private:
    qemu_plugin_register *handle_;
    std::uint64_t old_;
};

/// Offset from `base` of the only place that holds `pattern`; nothing when there is none or more
/// than one.
std::optional<std::size_t> find_pattern(const std::byte *base, std::size_t limit,
                                        std::span<const std::uint64_t> pattern)
{
    std::optional<std::size_t> place;
    for (std::size_t o = 0; o + pattern.size_bytes() <= limit; o += 8) {
        if (std::memcmp(base + o, pattern.data(), pattern.size_bytes()) == 0) {
            if (place.has_value()) {
                return std::nullopt;
            }
            place = o;
        }
    }
    return place;
}

std::string probe_current_cpu()
{
    return vcpu::on_vcpu_thread() && *vcpu::current_slot() == cpu_object()
               ? ""
               : "current_cpu is not the vCPU that runs";
}

std::string probe_register_file()
{
    static constexpr std::array names{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"};
    std::array<std::uint64_t, names.size()> pattern{};
    std::array<std::unique_ptr<register_loan>, names.size()> loans;
    for (std::size_t i = 0; i < names.size(); ++i) {
        qemu_plugin_register *handle = register_handle(names[i]);
        if (handle == nullptr) {
            return formatted("QEMU does not show register {}", names[i]);
        }
        pattern[i] = 0x5a3c0000 + i * 0x1111;
        loans[i] = std::make_unique<register_loan>(handle, pattern[i]);
    }
    // The object is an allocation of its own, so the allocator knows where it ends.
    const auto offset = find_pattern(cpu_object(), malloc_usable_size(cpu_object()), pattern);
    found.env = offset.value_or(0);
    return offset.has_value() ? "" : "the registers are not side by side in the CPU object";
}

std::string probe_mode_flags()
{
    for (const std::size_t registers : {16, 32}) {
        const std::size_t rip = registers * 8;
        if (read<std::uint64_t>(rip) == reset_rip &&
            read<std::uint64_t>(rip + eflags_after_rip) == reset_eflags &&
            read<std::int32_t>(rip + df_after_rip) == 1) {
            found.rip = rip;
            found.hflags = rip + hflags_after_rip;
            return {};
        }
    }
    return "RIP, EFLAGS and the direction flag do not follow the general registers";
}

/// Offset of the register in CPUX86State.
std::optional<std::size_t> find_register(const char *name)
{
    qemu_plugin_register *handle = register_handle(name);
    if (handle == nullptr) {
        return std::nullopt;
    }
    constexpr std::array<std::uint64_t, 1> pattern{0x5a3cc000}; // aligned, as CR3 wants it
    const register_loan loan(handle, pattern[0]);
    return find_pattern(env(), env_scan, pattern);
}

std::string probe_segments()
{
    // Each has a selector, a base, a limit and attributes: 24 bytes. FS is the fifth.
    constexpr std::size_t segment = 24, base = 8, cs = 1, fs = 4, gs = 5;
    const auto fs_base = find_register("fs_base"), gs_base = find_register("gs_base");
    if (!fs_base.has_value() || gs_base != *fs_base + (gs - fs) * segment) {
        return "FS and GS are not side by side";
    }
    found.fs_base = *fs_base;
    found.gs_base = *gs_base;
    found.segments = *fs_base - base - fs * segment;
    const std::size_t code = found.segments + cs * segment;
    return read<std::uint32_t>(code) == reset_cs &&
                   read<std::uint64_t>(code + base) == reset_cs_base
               ? ""
               : "CS is not three segments before FS";
}

std::string probe_control_registers()
{
    const auto cr2 = find_register("cr2"), cr3 = find_register("cr3");
    if (!cr2.has_value() || cr3 != *cr2 + 8) {
        return "CR2 and CR3 are not side by side";
    }
    found.cr0 = *cr2 - 16;
    qemu_plugin_register *cr4 = register_handle("cr4");
    if (cr4 == nullptr || read<std::uint64_t>(found.cr0) != reset_cr0) {
        return "CR0 is not two words before CR2";
    }
    const register_loan loan(cr4, cr4_pae);
    return read<std::uint64_t>(found.cr0 + 4 * 8) == cr4_pae ? "" : "CR4 is not behind CR3";
}

std::string probe_efer()
{
    const auto place = find_register("efer");
    found.efer = place.value_or(0);
    return place.has_value() ? "" : "EFER is not in CPUX86State once";
}

/// Has QEMU compute hflags from registers of our choice.
std::string probe_mode_bits()
{
    constexpr std::size_t segment = 24, attributes = 20, cs = 1, ss = 2;
    constexpr std::uint32_t dpl_3 = 3u << 13, code_64 = 1u << 21;
    qemu_plugin_register *efer = register_handle("efer");
    if (efer == nullptr) {
        return "QEMU does not show register efer";
    }
    const std::size_t cs_at = found.segments + cs * segment + attributes,
                      ss_at = found.segments + ss * segment + attributes;
    const std::uint32_t before = read<std::uint32_t>(found.hflags);
    const field_loan restored(found.hflags, before | hflags_marked);
    const register_loan long_mode(efer, efer_lma | efer_svme);
    const field_loan code(cs_at, read<std::uint32_t>(cs_at) | code_64);
    const field_loan stack(ss_at, read<std::uint32_t>(ss_at) | dpl_3);
    qemu::x86_update_hflags(env());
    constexpr std::uint32_t all =
        hflags_cpl | hflags_lma | hflags_cs64 | hflags_svme | hflags_marked;
    if ((before & all) != 0) {
        return formatted("hflags has {:#x} after a reset", before);
    }
    const std::uint32_t now = read<std::uint32_t>(found.hflags);
    return (now & all) == all ? "" : formatted("hflags is {:#x} in 64-bit user code", now);
}

std::string probe_mmu_indices()
{
    const auto index = [](std::uint32_t flags, unsigned privilege) {
        const field_loan loan(found.hflags, read<std::uint32_t>(found.hflags) | flags);
        return qemu::x86_mmu_index_pl(env(), privilege);
    };
    const std::array program{index(hflags_cs64 | hflags_smap, 0),
                             index(hflags_smap, 0),
                             index(hflags_cs64, 3),
                             index(0, 3),
                             index(hflags_cs64, 0),
                             index(0, 0)};
    static_assert(program.size() == mmu_last_program + 1);
    for (int i = 0; i <= mmu_last_program; ++i) {
        if (program[static_cast<std::size_t>(i)] != i) {
            return formatted("a kind of access has index {} in place of {}",
                             program[static_cast<std::size_t>(i)], i);
        }
    }
    return {};
}

std::string probe_return_address()
{
    Dl_info info;
    const void *block = qemu::tcg_tb_lookup(return_address);
    if (block == nullptr || dladdr(reinterpret_cast<void *>(return_address), &info) != 0) {
        return "callbacks do not return to generated code";
    }
    std::uintptr_t start = return_address;
    while (qemu::tcg_tb_lookup(start - 1) == block) {
        --start;
    }
    const auto unwinds = [](std::uintptr_t host_pc) {
        std::array<std::uint64_t, 8> data{};
        return qemu::cpu_unwind_state_data(cpu_object(), host_pc, data.data()) &&
               (data[0] & 0xfff) == (reset_rip & 0xfff);
    };
    return unwinds(return_address) && unwinds(start + return_address_adjustment) &&
                   !unwinds(start + return_address_adjustment - 1)
               ? ""
               : "unwinding does not look two bytes before a return address";
}

std::string probe_restore_state()
{
    const vcpu cpu = vcpu::by_index(0);
    const bool ours = cpu.try_synchronise(return_address) && cpu.rip() == reset_rip;
    const bool others = cpu.try_synchronise(reinterpret_cast<std::uintptr_t>(&found));
    return ours && !others && cpu.rip() == reset_rip && cpu.rip_at(return_address) == reset_rip
               ? ""
               : "the instruction of a return address is not found";
}

std::string probe_lazy_flags()
{
    constexpr std::uint32_t all = 0x8d5, some = 0x841; // O S Z A P C; O Z C
    const vcpu cpu = vcpu::by_index(0);
    cpu.set_arithmetic_flags(some, all);
    const std::uint64_t now = qemu::helper_read_eflags(env());
    cpu.set_arithmetic_flags(0, all);
    return now == (reset_eflags | some) && qemu::helper_read_eflags(env()) == reset_eflags
               ? ""
               : formatted("arithmetic flags become {:#x}", now);
}

std::string probe_clock()
{
    constexpr std::int64_t soon = 60'000'000'000;
    const std::int64_t ns = qemu::qemu_clock_get_ns(clock_virtual);
    return ns >= 0 && ns < soon ? "" : formatted("the guest's time begins at {} ns", ns);
}

std::string probe_queued_work()
{
    static void *seen = nullptr;
    int mark = 0;
    qemu::run_on_cpu(
        cpu_object(), [](void *, void *data) { seen = data; }, &mark);
    return seen == &mark ? "" : "work for a vCPU does not get its argument in a register";
}

std::string probe_device_access()
{
    for (const qemu_object *function :
         {&qemu::memory_region_dispatch_read, &qemu::memory_region_dispatch_write}) {
        const std::size_t bytes = size_of_object(function->address());
        const auto *last = static_cast<const std::byte *>(function->address()) + bytes - 1;
        Dl_info info;
        if (bytes == 0 || dladdr(last, &info) == 0 || info.dli_saddr != function->address()) {
            return formatted("an address in {} does not name it", function->name());
        }
    }
    return {};
}

std::string probe_marked_block();
void mark_first_block(std::uintptr_t ra);

constexpr std::array facts{
    fact{"current-cpu", "tells which vCPU a host thread executes", true, fact::stage::cpu,
         probe_current_cpu},
    fact{"register-file", "registers are read and written at their place in the CPU object", true,
         fact::stage::cpu, probe_register_file},
    fact{"mode-flags", "RIP, EFLAGS and hflags follow the general registers", true,
         fact::stage::cpu, probe_mode_flags},
    fact{"segments", "the bases of FS and GS are part of operands' addresses", true,
         fact::stage::cpu, probe_segments},
    fact{"control-registers", "page tables of the guest are walked by CR0, CR3 and CR4", true,
         fact::stage::cpu, probe_control_registers},
    fact{"efer", "no-execute pages of guests with encrypted memory are told by EFER", true,
         fact::stage::cpu, probe_efer},
    fact{"mode-bits", "hflags tells privilege, mode and SVM of the code that is executed", true,
         fact::stage::cpu, probe_mode_bits},
    fact{"mmu-indices", "the index of a TLB tells whose access it is for", true, fact::stage::cpu,
         probe_mmu_indices},
    fact{"return-address", "an instruction is found by where its generated code calls the plugin",
         true, fact::stage::cpu, probe_return_address},
    fact{"restore-state", "RIP and flags are exact when the plugin takes an instruction over", true,
         fact::stage::cpu, probe_restore_state},
    fact{"lazy-flags", "QEMU computes the arithmetic flags only when they are asked for", true,
         fact::stage::cpu, probe_lazy_flags},
    fact{"virtual-clock", "events and phases carry the guest's time", true, fact::stage::cpu,
         probe_clock},
    fact{"queued-work", "translations are dropped by work that is queued for vCPUs", true,
         fact::stage::cpu, probe_queued_work},
    fact{"device-access", "a device's emulation on a vCPU's thread shows in the call chain", true,
         fact::stage::cpu, probe_device_access},
    fact{"pci-class", "the secure processor is a PCI function of ours", true, fact::stage::cpu,
         probe_pci_class},
    fact{"pci-registers", "accesses to the secure processor's registers come to the plugin", true,
         fact::stage::cpu, probe_pci_registers},
    fact{"marked-block", "bit 31 of hflags sets the translation of a drawn block apart", true,
         fact::stage::cpu, probe_marked_block, mark_first_block},
    fact{"cpu-functions",
         "QEMU's functions for x86 CPUs are called through a table that the class "
         "of the CPU points to",
         true, fact::stage::hooks, tlb_fill::probe_functions},
    fact{"tlb-fill", "the RMP is looked at whenever a translation is cached", true,
         fact::stage::hooks, tlb_fill::probe_fill},
    fact{"read-only-page", "a cached translation can be replaced by one that allows no writes",
         true, fact::stage::hooks, tlb_fill::probe_read_only},
    fact{"walk-indices", "page walks access their tables by TLBs of their own", true,
         fact::stage::hooks, tlb_fill::probe_walk_indices},
    fact{"fast-tlb", "an encrypted guest's writes go past the protection of RAM", true,
         fact::stage::hooks, tlb_fill::probe_fast_tlb},
    fact{"plugin-events", "blocks without anything of interest are translated as without a plugin",
         false, fact::stage::hooks, translator::probe_events},
    fact{"plugin-instruction", "QEMU must forget a plugin's last instruction before such a block",
         false, fact::stage::hooks, translator::probe_instruction},
    fact{"stale-code", "a breakpoint that memory does not hold any more can be kept back", false,
         fact::stage::hooks, stale_code::probe, stale_code::leave},
};

auto &all_results = *new std::vector<result>; ///< outlives static destructors
const fact *broken = nullptr;

std::vector<result> &table()
{
    if (all_results.empty()) {
        for (const fact &f : facts) {
            all_results.push_back({&f, false, false, {}});
        }
    }
    return all_results;
}

// The first block of all is executed up to here, left, and entered again with the mark.
const void *first_block = nullptr;

void mark_first_block(std::uintptr_t ra)
{
    const vcpu cpu = vcpu::by_index(0);
    first_block = qemu::tcg_tb_lookup(ra);
    cpu.synchronise(ra);
    cpu.mark_next_block(true);
    vcpu::continue_at(cpu.rip());
}

std::string probe_marked_block()
{
    const vcpu cpu = vcpu::by_index(0);
    const bool apart =
        cpu.is_next_block_marked() && qemu::tcg_tb_lookup(return_address) != first_block;
    cpu.mark_next_block(false);
    return apart ? "" : "the mark gives a block no translation of its own";
}

} // namespace

std::string try_facts(fact::stage when, std::uintptr_t ra)
{
    return_address = ra;
    for (result &r : table()) {
        if (r.what->when != when || r.tried) {
            continue;
        }
        if (r.what->leave != nullptr && !std::exchange(r.left, true)) {
            r.what->leave(ra);
        }
        r.problem = r.what->probe();
        r.tried = true;
        if (r.what == broken) {
            r.problem = "told so by the option break";
        }
        if (!r.problem.empty() && r.what->needed) {
            return formatted("this QEMU is not as QEMU 11 is: {}: {}", r.what->name, r.problem);
        }
    }
    return {};
}

std::span<const result> results()
{
    return table();
}

bool holds(std::string_view name)
{
    return std::ranges::any_of(table(), [&](const result &r) {
        return r.what->name == name && r.tried && r.problem.empty();
    });
}

bool break_fact(std::string_view name)
{
    const auto *f = std::ranges::find_if(facts, [&](const fact &x) { return x.name == name; });
    broken = f == facts.end() ? nullptr : &*f;
    return broken != nullptr;
}

} // namespace rmpopt::layout
