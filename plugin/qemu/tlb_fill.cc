// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/tlb_fill.h"

#include "base/format.h"
#include "base/log.h"
#include "hw-model/base/x86_bits.h"
#include "qemu/fast_tlb.h"
#include "qemu/layout.h"
#include "qemu/stale_code.h"
#include "qemu/symbols.h"
#include "qemu/vcpu_stall.h"

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

namespace qemu
{
qemu_object x86_tcg_ops("x86_tcg_ops");
qemu_function<bool(void *cpu, std::uint64_t address, int size, int access, int mmu_index,
                   bool probe, std::uintptr_t ra)>
    x86_cpu_tlb_fill("x86_cpu_tlb_fill");
qemu_function<void(void *cpu)> x86_cpu_do_interrupt("x86_cpu_do_interrupt");
qemu_function<bool(void *cpu, int request)> x86_cpu_exec_interrupt("x86_cpu_exec_interrupt");
/// The one of these requests that would be served now; 0 for none.
qemu_function<int(void *cpu, int request)> x86_cpu_pending_interrupt("x86_cpu_pending_interrupt");
qemu_function<void *(void *object)> object_get_class("object_get_class");
qemu_function<int(void *env, std::uint64_t address, int size, int access, int mmu_index,
                  bool nonfault, void **host, std::uintptr_t ra)>
    probe_access_flags("probe_access_flags");
qemu_function<int(void *env, std::uint64_t address, int size, int access, int mmu_index,
                  void **host, void **entry)>
    probe_access_full_mmu("probe_access_full_mmu");
qemu_function<void(void *cpu, std::uint64_t address, std::uint64_t physical, int protection,
                   int mmu_index, std::uint64_t size)>
    tlb_set_page("tlb_set_page");
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
translator::rules the_blocks;

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
    // For the probes alone:
    unsigned fills = 0; ///< calls of our function
    struct {
        std::uint64_t address;
        int access, mmu_index;
        bool probe;
    } last{}; ///< the latest call
};

/// initial-exec: found without a call.
[[gnu::tls_model("initial-exec")]] thread_local thread_record this_thread;
/// Where walk_page_tables() returns to.
std::atomic<void *> walk_return{nullptr};

translation::access kind_of(int access)
{
    return access == layout::access_store   ? translation::access::write
           : access == layout::access_fetch ? translation::access::fetch
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

/// Memory behind a translation, as QEMU maps it; nullptr for devices. QEMU's other functions of
/// this kind hide memory that the caller should not use directly: tlb_vaddr_to_host() a page with
/// a debugger's watchpoint, probe_access_flags() all memory while a plugin counts accesses.
void *memory_behind(void *env, std::uint64_t address, int access, int mmu_index)
{
    void *host = nullptr;
    this_thread.is_probing = true;
    qemu::probe_access_full_mmu(env, address, 1, access, mmu_index, &host, nullptr);
    this_thread.is_probing = false;
    return host;
}

/// Replaces a cached translation by one with another protection. (tlb_set_page() stores no memory
/// attributes. Those of x86 tell SMM apart, which sees guest RAM as everybody does.)
void protect(void *cpu, const translation &t, int protection, int mmu_index)
{
    qemu::tlb_set_page(cpu, hw::align_down(t.address, hw::page_4k),
                       hw::align_down(t.spa, hw::page_4k), protection, mmu_index, hw::page_4k);
}

void make_read_only(void *cpu, void *env, const translation &t, int mmu_index)
{
    const bool executable =
        memory_behind(env, t.address, layout::access_fetch, mmu_index) != nullptr;
    protect(cpu, t, layout::page_read | (executable ? layout::page_exec : 0), mmu_index);
}

/// fast_tlb::redirect() of a translation that QEMU has just cached.
void redirect(const vcpu &cpu, int mmu_index, std::uint64_t address, const void *host,
              std::ptrdiff_t distance)
{
    if (!fast_tlb::redirect(cpu, mmu_index, address, host, distance)) {
        refuse("a translation that QEMU has just cached is not where it belongs (fast-tlb)");
    }
}

/// The same as make_read_only(), and what is read lies `distance` further than `host`. Fetches
/// cannot be led elsewhere, so they get a translation of their own.
void make_concealed(void *cpu, const translation &t, int mmu_index, const void *host,
                    std::ptrdiff_t distance)
{
    if (t.kind == translation::access::fetch) {
        protect(cpu, t, layout::page_exec, mmu_index);
        return;
    }
    protect(cpu, t, layout::page_read, mmu_index);
    redirect(t.cpu, mmu_index, t.address, host, distance);
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
        thread.last = {address, access, mmu_index, probe};
        if (mmu_index > layout::mmu_nested) {
            refuse(formatted("QEMU asks for a translation of kind {}, which QEMU 11 does not have "
                             "(mmu-indices)",
                             mmu_index));
        }
        if (mmu_index <= layout::mmu_last_program && the_rules.translates != nullptr &&
            the_rules.translates(vcpu::of(cpu))) {
            return fill_own(cpu, address, access, mmu_index, probe, ra);
        }
        if (thread.is_probing || mmu_index > layout::mmu_last_program) {
            return qemu::x86_cpu_tlb_fill(cpu, address, size, access, mmu_index, probe, ra);
        }
        const vcpu self = vcpu::of(cpu);
        void *env = self.env();
        const bool user = mmu_index == layout::mmu_user_64 || mmu_index == layout::mmu_user_32;
        if (!layout::guest_bit_seen && self.in_guest()) {
            layout::guest_bit_seen = true;
        }
        walk_record record{.access = {self, address, kind_of(access), user, 0}, .ra = ra};
        if (!walk_page_tables(thread, record, cpu, size, access, mmu_index, probe)) {
            return false;
        }
        the_rules.translated(self, address);
        return the_rules.forbids == nullptr || !the_rules.restricts(self) ||
               check(record, cpu, env, mmu_index, probe);
    }

    static void do_interrupt(void *cpu)
    {
        const vcpu self = vcpu::of(cpu);
        if (stale_code::withholds(self)) {
            return;
        }
        if (the_rules.leaves == nullptr || !the_rules.leaves(self)) {
            qemu::x86_cpu_do_interrupt(cpu);
        }
        the_rules.delivered(self);
    }

    static bool exec_interrupt(void *cpu, int request)
    {
        const vcpu self = vcpu::of(cpu);
        if (qemu::x86_cpu_pending_interrupt(cpu, request) != 0) {
            stale_code::drop_changed(self);
            if (is_late(self)) {
                return false;
            }
        }
        const bool done = qemu::x86_cpu_exec_interrupt(cpu, request);
        if (done) {
            (self.is_at_startup() ? the_rules.started : the_rules.interrupted)(self);
        }
        return done;
    }

    static void *env(const vcpu &self) { return self.env(); }

  private:
    /// True when an interrupt that the vCPU could take has to wait. A vCPU that is held in INIT,
    /// where IF is clear, must get its SIPI: without one, it would execute on.
    static bool is_late(const vcpu &self)
    {
        return (self.paging().rflags & rflags_if) != 0 &&
               (holds_interrupts(self) || !the_rules.takes_interrupt(self));
    }

    /// As fill(), for a vCPU whose translations QEMU's page walk would not find. A translation for
    /// fetches allows no writes, because fetches must not be redirected.
    static bool fill_own(void *cpu, std::uint64_t address, int access, int mmu_index, bool probe,
                         std::uintptr_t ra)
    {
        const vcpu self = vcpu::of(cpu);
        const bool user = mmu_index == layout::mmu_user_64 || mmu_index == layout::mmu_user_32;
        layout::guest_bit_seen = true;
        const own_translation t =
            the_rules.translate({.cpu = self,
                                 .address = address,
                                 .kind = kind_of(access),
                                 .user = user,
                                 .smap = mmu_index <= layout::mmu_last_smap,
                                 .is_32 = mmu_index % 2 == layout::mmu_32,
                                 .may_fault = !probe && !this_thread.is_probing,
                                 .ra = ra});
        if (!t.found) {
            return false;
        }
        const bool fetch = access == layout::access_fetch;
        const bool writes = t.writable && !fetch;
        const int protection = (t.readable ? layout::page_read : 0) |
                               (writes ? layout::page_write : 0) |
                               (fetch && t.executable ? layout::page_exec : 0);
        qemu::tlb_set_page(cpu, hw::align_down(address, hw::page_4k),
                           hw::align_down(t.spa, hw::page_4k), protection, mmu_index, t.page_bytes);
        const void *const host = the_rules.host_of(t.spa); // none: a device
        if (t.distance != 0 && host != nullptr) {
            redirect(self, mmu_index, address, host, t.distance);
        }
        the_rules.translated(self, address);
        return true;
    }

    /// False when the access must not be made.
    static bool check(walk_record &walk, void *cpu, void *env, int mmu_index, bool probe)
    {
        translation &t = walk.access;
        const void *const host = memory_behind(env, t.address, layout::access_load, mmu_index);
        const auto spa = the_rules.spa_of(host);
        t.spa = spa.value_or(0);
        const refusal *why = spa.has_value() ? the_rules.forbids(t) : nullptr;
        if (why == nullptr) {
            return true;
        }
        if (const std::ptrdiff_t distance = the_rules.conceals(t.spa); distance != 0) {
            make_concealed(cpu, t, mmu_index, host, distance);
        } else {
            make_read_only(cpu, env, t, mmu_index);
        }
        if (t.kind == translation::access::write && !probe) {
            the_rules.refuse(t, *why, walk.ra);
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

/// RAM on every PC, and paging is off.
constexpr std::uint64_t probed_address = 0x8000;

/// Asks for a translation of the probed address. True when that was done through our function, and
/// with these arguments.
bool is_filled(int access, int mmu_index)
{
    const unsigned before = this_thread.fills;
    const void *host =
        memory_behind(cpu_hooks::env(vcpu::current()), probed_address, access, mmu_index);
    const auto &last = this_thread.last;
    return the_rules.spa_of(host) == probed_address && this_thread.fills == before + 1 &&
           last.address == probed_address && last.access == access && last.mmu_index == mmu_index &&
           last.probe;
}

int probed_index()
{
    return qemu::x86_mmu_index_pl(cpu_hooks::env(vcpu::current()), 0);
}

} // namespace

std::string tlb_fill::probe_functions()
{
    const std::size_t bytes = size_of_object(qemu::x86_tcg_ops.address());
    // Lives until QEMU's end. QEMU's own table is read-only.
    auto &ops = *new std::vector<void *>(bytes / sizeof(void *));
    std::memcpy(ops.data(), qemu::x86_tcg_ops.address(), bytes);
    void **fill = find_word(ops, qemu::x86_cpu_tlb_fill.address());
    void **exception = find_word(ops, qemu::x86_cpu_do_interrupt.address());
    void **interrupt = find_word(ops, qemu::x86_cpu_exec_interrupt.address());
    auto **cpu_class = static_cast<void **>(qemu::object_get_class(vcpu::all().front()));
    void **used = find_word({cpu_class, malloc_usable_size(cpu_class) / sizeof(void *)},
                            qemu::x86_tcg_ops.address());
    if (fill == nullptr || exception == nullptr || interrupt == nullptr || used == nullptr ||
        !translator::hook(ops, the_blocks)) {
        return "a function is not in the table once, or the table not in the class";
    }
    *fill = address_of(cpu_hooks::fill);
    *exception = address_of(cpu_hooks::do_interrupt);
    *interrupt = address_of(cpu_hooks::exec_interrupt);
    *used = ops.data();
    return {};
}

std::string tlb_fill::probe_fill()
{
    flush_all(vcpu::all());
    return is_filled(layout::access_load, probed_index())
               ? ""
               : "QEMU does not ask for a translation that it does not have";
}

std::string tlb_fill::probe_read_only()
{
    const vcpu self = vcpu::current();
    void *env = cpu_hooks::env(self);
    const int index = probed_index();
    make_read_only(vcpu::all().at(self.index()), env,
                   {self, probed_address, translation::access::write, false, probed_address},
                   index);
    const unsigned before = this_thread.fills;
    const bool reads = memory_behind(env, probed_address, layout::access_load, index) != nullptr;
    const bool fetches = memory_behind(env, probed_address, layout::access_fetch, index) != nullptr;
    const bool quietly = this_thread.fills == before;
    const bool asks = is_filled(layout::access_store, index);
    flush_all(vcpu::all());
    return reads && fetches && quietly && asks ? "" : "a page is not kept from being written";
}

/// With a page table in which nothing is present, only the accesses of page walks find memory.
std::string tlb_fill::probe_walk_indices()
{
    void *env = cpu_hooks::env(vcpu::current());
    const auto look = [&](int index) {
        flush_all(vcpu::all());
        return memory_behind(env, probed_address, layout::access_load, index);
    };
    const int index = probed_index();
    void *table = look(index);
    auto *cr = reinterpret_cast<std::uint64_t *>(static_cast<std::byte *>(env) + layout::found.cr0);
    std::uint64_t entry = 0;
    std::memcpy(&entry, table, sizeof entry);
    std::memset(table, 0, sizeof entry);
    const std::uint64_t cr0 = std::exchange(cr[0], cr[0] | cr0_pg);
    const std::uint64_t cr3 = std::exchange(cr[3], probed_address);
    const bool program = look(index) != nullptr;
    const bool walks = look(layout::mmu_physical) == table && look(layout::mmu_nested) == table;
    cr[0] = cr0;
    cr[3] = cr3;
    std::memcpy(table, &entry, sizeof entry);
    flush_all(vcpu::all());
    return !program && walks ? "" : "the TLBs of page walks have other indices";
}

std::string tlb_fill::probe_fast_tlb()
{
    return fast_tlb::probe(
        probed_address,
        [](int index, std::uint64_t address) {
            return memory_behind(cpu_hooks::env(vcpu::current()), address, layout::access_load,
                                 index);
        },
        tlb_fill::flush_now);
}

std::string tlb_fill::hook(const translation_rules &rules, const translator::rules &blocks,
                           std::uintptr_t ra)
{
    the_rules = rules;
    the_blocks = blocks;
    const std::string problem = layout::try_facts(layout::fact::stage::hooks, ra);
    if (problem.empty()) {
        translator::start();
        stale_code::start();
    }
    return problem;
}

const std::uint8_t *tlb_fill::code_at(const vcpu &cpu, std::uint64_t address)
{
    void *env = cpu.env();
    return static_cast<const std::uint8_t *>(
        memory_behind(env, address, layout::access_fetch, qemu::x86_mmu_index_pl(env, cpu.cpl())));
}

void tlb_fill::deliver(const vcpu &cpu)
{
    qemu::x86_cpu_do_interrupt(cpu.cpu_);
}

namespace
{

/// Calls `f(address, offset, bytes)` for the part of an access in each page.
template <class F> void for_pages(std::uint64_t address, std::size_t bytes, const F &f)
{
    for (std::size_t done = 0; done < bytes;) {
        const std::uint64_t at = address + done;
        const std::size_t n = std::min<std::size_t>(bytes - done, hw::page_4k - at % hw::page_4k);
        f(at, done, n);
        done += n;
    }
}

int access_type(translation::access kind)
{
    return kind == translation::access::write   ? layout::access_store
           : kind == translation::access::fetch ? layout::access_fetch
                                                : layout::access_load;
}

} // namespace

void tlb_fill::try_access(const vcpu &cpu, std::uint64_t address, std::size_t bytes,
                          translation::access kind, std::uintptr_t ra)
{
    void *env = cpu.env();
    const int index = qemu::x86_mmu_index_pl(env, cpu.cpl());
    for_pages(address, bytes, [&](std::uint64_t at, std::size_t, std::size_t n) {
        void *host = nullptr;
        qemu::probe_access_flags(env, at, static_cast<int>(n), access_type(kind), index, false,
                                 &host, ra);
    });
}

void tlb_fill::read(const vcpu &cpu, std::uint64_t address, translation::access kind,
                    std::span<std::byte> to)
{
    void *env = cpu.env();
    const int index = qemu::x86_mmu_index_pl(env, cpu.cpl());
    for_pages(address, to.size(), [&](std::uint64_t at, std::size_t done, std::size_t n) {
        const void *host = memory_behind(env, at, access_type(kind), index);
        const auto part = to.subspan(done, n);
        if (host != nullptr) {
            std::memcpy(part.data(), host, n);
        } else {
            std::ranges::fill(part, std::byte{0});
        }
    });
}

void tlb_fill::write(const vcpu &cpu, std::uint64_t address, std::span<const std::byte> from)
{
    void *env = cpu.env();
    const int index = qemu::x86_mmu_index_pl(env, cpu.cpl());
    for_pages(address, from.size(), [&](std::uint64_t at, std::size_t done, std::size_t n) {
        void *host = memory_behind(env, at, layout::access_store, index);
        void *const to = host != nullptr ? the_rules.unprotected(host) : nullptr;
        if (to != nullptr) {
            std::memcpy(to, from.subspan(done, n).data(), n);
        }
    });
}

void tlb_fill::flush_then(void (*work)(void *data), void *data)
{
    flush_exclusively({.retranslate = false, .work = work, .data = data});
}

void tlb_fill::flush_now()
{
    flush_all(vcpu::all());
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
