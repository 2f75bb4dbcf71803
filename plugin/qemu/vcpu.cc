// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu.h"

#include "qemu/api.h"
#include "qemu/symbols.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <dlfcn.h>
#include <fmt/format.h>
#include <malloc.h>
#include <memory>
#include <utility>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<void *(int index)> qemu_get_cpu("qemu_get_cpu");
qemu_function<bool(void *cpu, std::uintptr_t host_pc)> cpu_restore_state("cpu_restore_state");
qemu_function<bool(void *cpu, std::uintptr_t host_pc, std::uint64_t *data)>
    cpu_unwind_state_data("cpu_unwind_state_data");
qemu_function<void(void *env, int vector, int error_code, std::uintptr_t ra)>
    raise_exception_err_ra("raise_exception_err_ra");
qemu_function<void(void *env, std::uint32_t exit_code, std::uint64_t exit_info1, std::uintptr_t ra)>
    cpu_vmexit("cpu_vmexit");
qemu_function<std::uint64_t(void *env)> helper_read_eflags("helper_read_eflags");
qemu_function<void(void *env, std::uint64_t flags, std::uint32_t mask)>
    helper_write_eflags("helper_write_eflags");
qemu_function<void(void *env, std::uint32_t leaf, std::uint32_t subleaf, std::uint32_t *eax,
                   std::uint32_t *ebx, std::uint32_t *ecx, std::uint32_t *edx)>
    cpu_x86_cpuid("cpu_x86_cpuid");
/// The running vCPU of a thread.
qemu_object current_cpu("current_cpu");
} // namespace qemu

// What self_test() finds out.
std::size_t env_offset = 0; ///< of the register file in QEMU's CPU state
/// Of single registers in the structure that the register file begins.
std::size_t cr2_offset = 0, fs_base_offset = 0, gs_base_offset = 0;
auto &cpus = *new std::vector<void *>; ///< by index; outlives static destructors

std::size_t eip_offset = 0, hflags_offset = 0; ///< likewise

// CPUX86State starts with the general registers, 16 or with APX 32 of them; EIP follows, then
// EFLAGS, five words after EIP the direction flag (1 or -1) and the flags of the CPU's mode.
constexpr std::array register_counts{16, 32};
constexpr std::size_t eflags_after_eip = 8;
constexpr std::size_t df_after_eip = 5 * 8 + 4, hflags_after_eip = df_after_eip + 4;
constexpr std::uint32_t hflags_cpl = 3, hflags_lma = 1u << 14, hflags_cs64 = 1u << 15,
                        hflags_svme = 1u << 20, hflags_guest = 1u << 21;
/// Means nothing to QEMU, whose translations belong to one value of all flags.
constexpr std::uint32_t hflags_marked = 1u << 31;
constexpr std::uint64_t reset_vector = 0xfff0, reset_cr0 = 0x60000010, reset_eflags = 2;
constexpr std::size_t env_scan = 0x1000;

void **current_cpu_slot()
{
    // The address of a thread-local variable differs by thread, so each looks it up once.
    thread_local void **slot = static_cast<void **>(dlsym(RTLD_DEFAULT, qemu::current_cpu.name()));
    return slot;
}

qemu_plugin_register *register_handle(std::string_view name)
{
    GArray *list = qemu_plugin_get_registers();
    qemu_plugin_register *found = nullptr;
    const bool known = g_array_get_element_size(list) == sizeof(qemu_plugin_reg_descriptor);
    for (guint i = 0; known && i < list->len; ++i) {
        const auto &d = g_array_index(list, qemu_plugin_reg_descriptor, i);
        if (name == d.name) {
            found = d.handle;
        }
    }
    g_array_free(list, TRUE);
    return found;
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

/// A register's value for the time of its existence; the old one afterwards.
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

/// Offset from `base` of the only place where `pattern` stands, or `limit` when there is none or
/// more than one.
template <std::size_t N>
std::size_t find_pattern(const std::byte *base, std::size_t limit,
                         const std::array<std::uint64_t, N> &pattern)
{
    std::size_t found = limit;
    for (std::size_t o = 0; o + sizeof pattern <= limit; o += 8) {
        if (std::memcmp(base + o, pattern.data(), sizeof pattern) == 0) {
            if (found != limit) {
                return limit;
            }
            found = o;
        }
    }
    return found;
}

std::string find_register_file(const std::byte *cpu)
{
    const std::size_t limit = malloc_usable_size(const_cast<std::byte *>(cpu));
    static constexpr std::array names{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"};
    std::array<std::uint64_t, names.size()> pattern{};
    std::array<qemu_plugin_register *, names.size()> handles{};
    for (std::size_t i = 0; i < names.size(); ++i) {
        pattern[i] = 0x5a3c0000 + i * 0x1111;
        handles[i] = register_handle(names[i]);
        if (handles[i] == nullptr) {
            return fmt::format("QEMU does not show register {}", names[i]);
        }
    }
    {
        std::array<std::unique_ptr<register_loan>, names.size()> loans;
        for (std::size_t i = 0; i < names.size(); ++i) {
            loans[i] = std::make_unique<register_loan>(handles[i], pattern[i]);
        }
        env_offset = find_pattern(cpu, limit, pattern);
    }
    return env_offset == limit ? "the register file is not where QEMU 11 keeps it" : "";
}

std::string find_register(const std::byte *env, const char *name, std::size_t &offset)
{
    qemu_plugin_register *handle = register_handle(name);
    if (handle == nullptr) {
        return fmt::format("QEMU does not show register {}", name);
    }
    const std::array<std::uint64_t, 1> pattern{0x5a3cc32f};
    const register_loan loan(handle, pattern[0]);
    offset = find_pattern(env, env_scan, pattern);
    return offset == env_scan ? fmt::format("{} is not where QEMU 11 keeps it", name) : "";
}

/// The control registers stand side by side.
std::string check_control_registers(const std::byte *env)
{
    std::uint64_t cr0 = 0;
    std::memcpy(&cr0, env + cr2_offset - 16, sizeof cr0);
    return cr0 == reset_cr0 ? "" : "CR0 is not where QEMU 11 keeps it";
}

std::string find_hflags(const std::byte *env)
{
    for (const std::size_t registers : register_counts) {
        const std::byte *at = env + registers * 8;
        std::uint64_t eip = 0, eflags = 0;
        std::int32_t df = 0;
        std::memcpy(&eip, at, sizeof eip);
        std::memcpy(&eflags, at + eflags_after_eip, sizeof eflags);
        std::memcpy(&df, at + df_after_eip, sizeof df);
        if (eip == reset_vector && eflags == reset_eflags && df == 1) {
            eip_offset = registers * 8;
            hflags_offset = eip_offset + hflags_after_eip;
            return {};
        }
    }
    return "QEMU's x86 CPU state has an unknown layout";
}

std::string check_vendor(const vcpu &cpu)
{
    const hw::cpuid_regs r = cpu.native_cpuid(0, 0);
    const bool amd = r.ebx == 0x68747541 && r.edx == 0x69746e65 && r.ecx == 0x444d4163;
    return amd ? "" : "the guest CPU is no AMD one; use -cpu EPYC-Turin or another EPYC model";
}

} // namespace

std::string vcpu::self_test()
{
    for (int i = 0; void *cpu = qemu::qemu_get_cpu(i); ++i) {
        cpus.push_back(cpu);
    }
    const auto *cpu = static_cast<const std::byte *>(cpus.at(0));
    if (*current_cpu_slot() != cpus[0]) {
        return "current_cpu is not the vCPU that runs";
    }
    std::string error = find_register_file(cpu);
    if (error.empty()) {
        error = find_hflags(cpu + env_offset);
    }
    struct wanted {
        const char *name;
        std::size_t &offset;
    };
    for (const wanted &w : {wanted{"cr2", cr2_offset}, wanted{"fs_base", fs_base_offset},
                            wanted{"gs_base", gs_base_offset}}) {
        if (error.empty()) {
            error = find_register(cpu + env_offset, w.name, w.offset);
        }
    }
    if (error.empty()) {
        error = check_control_registers(cpu + env_offset);
    }
    if (error.empty()) {
        error = check_vendor(by_index(0));
    }
    return error;
}

void **vcpu::current_slot()
{
    return current_cpu_slot();
}

bool vcpu::on_vcpu_thread()
{
    return *current_cpu_slot() != nullptr;
}

vcpu vcpu::current()
{
    return of(*current_cpu_slot());
}

vcpu vcpu::of(const void *cpu)
{
    // A thread mostly asks for the same vCPU again. initial-exec: found without a call.
    [[gnu::tls_model("initial-exec")]] thread_local unsigned last = 0;
    if (last >= cpus.size() || cpus[last] != cpu) {
        const auto it = std::ranges::find(cpus, cpu);
        assert(it != cpus.end());
        last = static_cast<unsigned>(it - cpus.begin());
    }
    return {cpus[last], last};
}

const std::vector<void *> &vcpu::all()
{
    return cpus;
}

vcpu vcpu::by_index(unsigned index)
{
    return {cpus.at(index), index};
}

std::uint64_t *vcpu::env() const
{
    return reinterpret_cast<std::uint64_t *>(static_cast<std::byte *>(cpu_) + env_offset);
}

namespace
{

std::uint32_t hflags(const std::uint64_t *env)
{
    std::uint32_t v = 0;
    std::memcpy(&v, reinterpret_cast<const std::byte *>(env) + hflags_offset, sizeof v);
    return v;
}

} // namespace

unsigned vcpu::cpl() const
{
    return hflags(env()) & hflags_cpl;
}

bool vcpu::long_mode() const
{
    return (hflags(env()) & hflags_lma) != 0;
}

bool vcpu::code_64() const
{
    return (hflags(env()) & hflags_cs64) != 0;
}

bool vcpu::svm_enabled() const
{
    return (hflags(env()) & hflags_svme) != 0;
}

void vcpu::mark_next_block(bool marked) const
{
    auto *flags = reinterpret_cast<std::byte *>(env()) + hflags_offset;
    const std::uint32_t now = hflags(env());
    const std::uint32_t then = marked ? now | hflags_marked : now & ~hflags_marked;
    std::memcpy(flags, &then, sizeof then);
}

bool vcpu::is_next_block_marked() const
{
    return (hflags(env()) & hflags_marked) != 0;
}

bool vcpu::in_guest() const
{
    return (hflags(env()) & hflags_guest) != 0;
}

bool vcpu::is_at_startup() const
{
    const std::uint64_t cr0 = env()[cr2_offset / 8 - 2];
    return rip() == 0 && cr0 == reset_cr0 && !long_mode();
}

hw::cpuid_regs vcpu::native_cpuid(std::uint32_t leaf, std::uint32_t subleaf) const
{
    hw::cpuid_regs r;
    qemu::cpu_x86_cpuid(env(), leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

void vcpu::synchronise(std::uintptr_t ra) const
{
    if (ra != 0) {
        qemu::cpu_restore_state(cpu_, ra);
    }
}

bool vcpu::try_synchronise(std::uintptr_t ra) const
{
    // QEMU does not say whether it found the instruction. RIP holds the block's address until it
    // does; only its offset in the page is replaced for certain.
    constexpr std::uint64_t no_offset = hw::page_4k - 1;
    std::uint64_t &rip = env()[eip_offset / 8];
    const std::uint64_t block = rip;
    rip |= no_offset;
    qemu::cpu_restore_state(cpu_, ra);
    if ((rip & no_offset) != no_offset) {
        return true;
    }
    rip = block;
    return false;
}

std::uint64_t vcpu::fs_base() const
{
    return env()[fs_base_offset / 8];
}

std::uint64_t vcpu::gs_base() const
{
    return env()[gs_base_offset / 8];
}

paging_state vcpu::paging() const
{
    const std::uint64_t *cr2 = env() + cr2_offset / 8;
    // Not helper_read_eflags(): it replaces the operands of the arithmetic flags, which within a
    // translation block belong to an operation that QEMU has not stored yet.
    const std::uint64_t eflags = env()[(eip_offset + eflags_after_eip) / 8];
    return {.cr0 = cr2[-2], .cr3 = cr2[1], .cr4 = cr2[2], .rflags = eflags};
}

std::uint64_t vcpu::rip() const
{
    return env()[eip_offset / 8];
}

std::uint64_t vcpu::rip_at(std::uintptr_t ra) const
{
    constexpr std::uint64_t offset = hw::page_4k - 1;
    std::array<std::uint64_t, 8> data{}; // QEMU fills as many words as it records per instruction
    const bool found = qemu::cpu_unwind_state_data(cpu_, ra, data.data());
    assert(found);
    return (rip() & ~offset) | (data[0] & offset);
}

void vcpu::set_arithmetic_flags(std::uint32_t flags, std::uint32_t mask) const
{
    // With an empty mask QEMU only replaces the arithmetic flags, which is what is wanted; bits in
    // the mask would also stay in its copy of EFLAGS and come back with every later PUSHF.
    const std::uint64_t old = qemu::helper_read_eflags(env());
    qemu::helper_write_eflags(env(), (old & ~static_cast<std::uint64_t>(mask)) | (flags & mask), 0);
}

void vcpu::continue_at(std::uint64_t rip)
{
    qemu_plugin_set_pc(rip);
}

void vcpu::raise(int vector, int error_code, std::uintptr_t ra) const
{
    qemu::raise_exception_err_ra(env(), vector, error_code, ra);
    __builtin_unreachable();
}

void vcpu::set_cr2(std::uint64_t address) const
{
    env()[cr2_offset / 8] = address;
}

void vcpu::exit_guest(std::uint64_t exit_code, std::uint64_t exit_info1, std::uintptr_t ra) const
{
    qemu::cpu_vmexit(env(), static_cast<std::uint32_t>(exit_code), exit_info1, ra);
    __builtin_unreachable();
}

std::size_t vcpu::read_code(std::uint64_t rip, std::span<std::uint8_t> to)
{
    const std::size_t in_page = std::min<std::size_t>(to.size(), hw::page_4k - rip % hw::page_4k);
    GByteArray *buf = g_byte_array_new();
    std::size_t n = 0;
    for (const std::size_t bytes : {to.size(), in_page}) {
        if (n == 0 && qemu_plugin_read_memory_vaddr(rip, buf, bytes)) {
            std::memcpy(to.data(), buf->data, bytes);
            n = bytes;
        }
    }
    g_byte_array_free(buf, TRUE);
    return n;
}

} // namespace rmpopt
