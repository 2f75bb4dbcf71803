// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/tlb_fill.h"

#include "qemu/symbols.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <memory>
#include <utility>
#include <vector>

namespace rmpopt
{

namespace
{

// QEMU's MMUAccessType.
constexpr int qemu_data_load = 0, qemu_data_store = 1, qemu_inst_fetch = 2;
// Bits of a page's protection.
constexpr int qemu_page_read = 1, qemu_page_exec = 4;
constexpr unsigned user_privilege = 3;
// Indices of its TLBs up to this one are for the accesses of programs, by mode and privilege;
// those above are for the accesses of page walks.
constexpr int user_index_64 = 2, user_index_32 = 3, last_program_index = 5;

namespace qemu
{
qemu_object x86_tcg_ops("x86_tcg_ops");
qemu_function<bool(void *cpu, std::uint64_t address, int size, int access, int mmu_index,
                   bool probe, std::uintptr_t ra)>
    x86_cpu_tlb_fill("x86_cpu_tlb_fill");
qemu_function<void(void *cpu)> x86_cpu_do_interrupt("x86_cpu_do_interrupt");
qemu_function<bool(void *cpu, int request)> x86_cpu_exec_interrupt("x86_cpu_exec_interrupt");
qemu_function<void *(void *object)> object_get_class("object_get_class");
qemu_function<void *(void *env, std::uint64_t address, int access, int mmu_index)>
    tlb_vaddr_to_host("tlb_vaddr_to_host");
qemu_function<int(void *env, std::uint64_t address, int size, int access, int mmu_index,
                  bool nonfault, void **host, std::uintptr_t ra)>
    probe_access_flags("probe_access_flags");
qemu_function<void(void *cpu, std::uint64_t address, std::uint64_t physical,
                   std::uint64_t attributes, int protection, int mmu_index, std::uint64_t size)>
    tlb_set_page_with_attrs("tlb_set_page_with_attrs");
qemu_function<int(void *env, unsigned privilege)> x86_mmu_index_pl("x86_mmu_index_pl");
qemu_function<void(void *cpu)> tlb_flush("tlb_flush");
qemu_function<void()> tb_flush("tb_flush__exclusive_or_serial");
qemu_function<bool()> qemu_tcg_mttcg_enabled("qemu_tcg_mttcg_enabled");
qemu_object memory_region_dispatch_read("memory_region_dispatch_read");
qemu_object memory_region_dispatch_write("memory_region_dispatch_write");
qemu_function<void(void *cpu, void (*work)(void *cpu, void *data), void *data)>
    async_safe_run_on_cpu("async_safe_run_on_cpu");
} // namespace qemu
translation_rules the_rules;

/// A page walk of this thread, for handlers of signals that interrupt it.
struct walk_record {
    translation access;
    std::uintptr_t ra;
};

struct thread_record {
    /// Stays behind when a walk ends in an exception; valid only while walk_return is on the stack.
    walk_record *walk = nullptr;
    /// Translations that we ask for ourselves are no accesses.
    bool is_probing = false;
    unsigned fills = 0; ///< calls of our function; for the trial alone
};

/// initial-exec: found without a call.
[[gnu::tls_model("initial-exec")]] thread_local thread_record this_thread;
/// Where walk_page_tables() returns to.
std::atomic<void *> walk_return{nullptr};

translation::access kind_of(int access)
{
    return access == qemu_data_store   ? translation::access::write
           : access == qemu_inst_fetch ? translation::access::fetch
                                       : translation::access::read;
}

/// QEMU's own page walk and checks. Not inlined: its frame shows that the walk is under way.
[[gnu::noinline]] bool walk_page_tables(thread_record &thread, walk_record &record, void *cpu,
                                        int size, int access, int mmu_index, bool probe)
{
    walk_return.store(__builtin_return_address(0), std::memory_order_relaxed);
    walk_record *const outer = std::exchange(thread.walk, &record);
    const bool ok = qemu::x86_cpu_tlb_fill(cpu, record.access.address, size, access, mmu_index,
                                           probe, record.ra);
    thread.walk = outer;
    return ok;
}

/// Memory behind a translation that the TLB holds, as QEMU maps it; nullptr for devices.
void *memory_behind(thread_record &thread, void *env, std::uint64_t address, int mmu_index)
{
    thread.is_probing = true;
    void *host = qemu::tlb_vaddr_to_host(env, address, qemu_data_load, mmu_index);
    thread.is_probing = false;
    return host;
}

bool is_executable(void *env, std::uint64_t address, int mmu_index)
{
    void *host = nullptr;
    this_thread.is_probing = true;
    qemu::probe_access_flags(env, address, 1, qemu_inst_fetch, mmu_index, true, &host, 0);
    this_thread.is_probing = false;
    return host != nullptr;
}

/// Replaces a cached translation by one that does not allow writes.
void make_read_only(void *cpu, void *env, const translation &t, int mmu_index)
{
    const int protection =
        qemu_page_read | (is_executable(env, t.address, mmu_index) ? qemu_page_exec : 0);
    qemu::tlb_set_page_with_attrs(cpu, hw::align_down(t.address, hw::page_4k),
                                  hw::align_down(t.spa, hw::page_4k), 0, protection, mmu_index,
                                  hw::page_4k);
}

} // namespace

/// What QEMU calls instead of its own functions.
class cpu_hooks
{
  public:
    static bool fill(void *cpu, std::uint64_t address, int size, int access, int mmu_index,
                     bool probe, std::uintptr_t ra)
    {
        thread_record &thread = this_thread;
        ++thread.fills;
        if (thread.is_probing || mmu_index > last_program_index) {
            return qemu::x86_cpu_tlb_fill(cpu, address, size, access, mmu_index, probe, ra);
        }
        const vcpu self = vcpu::of(cpu);
        void *env = self.env();
        const bool user = mmu_index == user_index_64 || mmu_index == user_index_32;
        walk_record record{.access = {self, address, kind_of(access), user, 0}, .ra = ra};
        if (!walk_page_tables(thread, record, cpu, size, access, mmu_index, probe)) {
            return false;
        }
        the_rules.translated(self, address);
        return the_rules.may_write == nullptr || !the_rules.restricts(self) ||
               check(thread, record, cpu, env, mmu_index, probe);
    }

    static void do_interrupt(void *cpu)
    {
        qemu::x86_cpu_do_interrupt(cpu);
        the_rules.delivered(vcpu::of(cpu));
    }

    static bool exec_interrupt(void *cpu, int request)
    {
        const bool done = qemu::x86_cpu_exec_interrupt(cpu, request);
        if (done) {
            const vcpu self = vcpu::of(cpu);
            (self.is_at_startup() ? the_rules.started : the_rules.interrupted)(self);
        }
        return done;
    }

    static void *env(const vcpu &self) { return self.env(); }

  private:
    /// False when the access must not be made.
    static bool check(thread_record &thread, walk_record &walk, void *cpu, void *env, int mmu_index,
                      bool probe)
    {
        translation &t = walk.access;
        const auto spa = the_rules.spa_of(memory_behind(thread, env, t.address, mmu_index));
        t.spa = spa.value_or(0);
        if (!spa.has_value() || the_rules.may_write(t)) {
            return true;
        }
        make_read_only(cpu, env, t, mmu_index);
        if (t.kind == translation::access::write && !probe) {
            the_rules.refuse(t, walk.ra);
        }
        return t.kind != translation::access::write;
    }
};

namespace
{

void flush_all(const std::vector<void *> &cpus)
{
    for (void *cpu : cpus) {
        qemu::tlb_flush(cpu);
    }
}

struct flush_work {
    bool retranslate;
    void (*work)(void *data);
    void *data;
};

void do_flush(const flush_work &job)
{
    flush_all(vcpu::all());
    if (job.retranslate) {
        qemu::tb_flush();
    }
    job.work(job.data);
}

void flush_in_exclusion(void *, void *data)
{
    const std::unique_ptr<flush_work> job(static_cast<flush_work *>(data));
    do_flush(*job);
}

/// Does it before the calling vCPU's next instruction; elsewhere than on a vCPU's thread: soon.
void flush_exclusively(const flush_work &job)
{
    const std::vector<void *> &cpus = vcpu::all();
    const bool on_vcpu = vcpu::on_vcpu_thread();
    if (on_vcpu && (cpus.size() == 1 || !qemu::qemu_tcg_mttcg_enabled())) {
        do_flush(job);
        return;
    }
    void *self = on_vcpu ? *vcpu::current_slot() : cpus.front();
    if (on_vcpu) {
        qemu::tlb_flush(self); // an interrupt may be delivered before queued work is done
    }
    qemu::async_safe_run_on_cpu(self, flush_in_exclusion, new flush_work(job));
}

} // namespace

namespace
{

/// Is a translation looked up through our function, and one made read-only again for a write?
bool hook_works()
{
    constexpr std::uint64_t address = 0x8000; // RAM on every PC, and paging is off
    const vcpu self = vcpu::current();
    void *cpu = vcpu::all().at(self.index()), *env = cpu_hooks::env(self), *host = nullptr;
    const int index = qemu::x86_mmu_index_pl(env, 0);
    thread_record &thread = this_thread;
    const unsigned before = thread.fills;
    if (the_rules.spa_of(memory_behind(thread, env, address, index)) != address ||
        thread.fills == before) {
        return false;
    }
    make_read_only(cpu, env, {self, address, translation::access::write, false, address}, index);
    const unsigned read_only = thread.fills;
    thread.is_probing = true;
    qemu::probe_access_flags(env, address, 1, qemu_data_store, index, true, &host, 0);
    thread.is_probing = false;
    return host != nullptr && thread.fills == read_only + 1;
}

} // namespace

std::string tlb_fill::hook(const translation_rules &rules, const translator::rules &blocks)
{
    void *cpu = vcpu::all().front();
    const std::size_t bytes = size_of_object(qemu::x86_tcg_ops.address());
    // Lives until QEMU's end. QEMU's own table is read-only.
    auto &ops = *new std::vector<void *>(bytes / sizeof(void *));
    std::memcpy(ops.data(), qemu::x86_tcg_ops.address(), bytes);
    void **fill = find_word(ops, qemu::x86_cpu_tlb_fill.address());
    void **exception = find_word(ops, qemu::x86_cpu_do_interrupt.address());
    void **interrupt = find_word(ops, qemu::x86_cpu_exec_interrupt.address());
    auto **cpu_class = static_cast<void **>(qemu::object_get_class(cpu));
    void **used = find_word({cpu_class, malloc_usable_size(cpu_class) / sizeof(void *)},
                            qemu::x86_tcg_ops.address());
    const int user_index = qemu::x86_mmu_index_pl(vcpu::by_index(0).env(), user_privilege);
    if (user_index != user_index_32 || fill == nullptr || exception == nullptr ||
        interrupt == nullptr || used == nullptr) {
        return "QEMU's x86 CPUs do not translate addresses as those of QEMU 11 do";
    }
    if (!translator::hook(ops, blocks)) {
        return "QEMU's x86 CPUs do not translate code as those of QEMU 11 do";
    }
    the_rules = rules;
    *fill = address_of(cpu_hooks::fill);
    *exception = address_of(cpu_hooks::do_interrupt);
    *interrupt = address_of(cpu_hooks::exec_interrupt);
    *used = ops.data();
    flush_all(vcpu::all());
    if (!hook_works()) {
        return "QEMU's software MMU does not ask for translations as that of QEMU 11 does";
    }
    flush_all(vcpu::all());
    return {};
}

void tlb_fill::try_write(const vcpu &cpu, std::uint64_t address, std::size_t bytes,
                         std::uintptr_t ra)
{
    void *env = cpu.env();
    const int index = qemu::x86_mmu_index_pl(env, cpu.cpl());
    while (bytes != 0) {
        const std::size_t n = std::min<std::size_t>(bytes, hw::page_4k - address % hw::page_4k);
        void *host = nullptr;
        qemu::probe_access_flags(env, address, static_cast<int>(n), qemu_data_store, index, false,
                                 &host, ra);
        address += n;
        bytes -= n;
    }
}

void tlb_fill::flush_then(void (*work)(void *data), void *data)
{
    flush_exclusively({.retranslate = false, .work = work, .data = data});
}

void tlb_fill::retranslate_then(void (*work)(void *data), void *data)
{
    flush_exclusively({.retranslate = true, .work = work, .data = data});
}

const translation *tlb_fill::walk_under_way(std::span<void *const> frames, std::uintptr_t &ra)
{
    void *mark = walk_return.load(std::memory_order_relaxed);
    if (mark == nullptr || std::ranges::find(frames, mark) == frames.end()) {
        return nullptr;
    }
    ra = this_thread.walk->ra;
    return &this_thread.walk->access;
}

bool tlb_fill::device_access_under_way(std::span<void *const> frames)
{
    return std::ranges::any_of(frames, [](const void *frame) {
        Dl_info info;
        return dladdr(frame, &info) != 0 && info.dli_saddr != nullptr &&
               (info.dli_saddr == qemu::memory_region_dispatch_read.address() ||
                info.dli_saddr == qemu::memory_region_dispatch_write.address());
    });
}

} // namespace rmpopt
