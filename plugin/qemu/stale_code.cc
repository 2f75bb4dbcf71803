// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/stale_code.h"

#include "base/log.h"
#include "qemu/layout.h"
#include "qemu/symbols.h"
#include "qemu/tlb_fill.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <malloc.h>
#include <vector>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<bool()> qemu_tcg_mttcg_enabled("qemu_tcg_mttcg_enabled");
qemu_function<std::uint64_t(const void *host)> qemu_ram_addr_from_host("qemu_ram_addr_from_host");
/// Drops all blocks with a byte between these two; in QEMU's own numbering of RAM.
qemu_function<void(void *cpu, std::uint64_t first, std::uint64_t last)>
    tb_invalidate_phys_range("tb_invalidate_phys_range");
} // namespace qemu

constexpr std::uint8_t int3 = 0xcc;
/// Where an x86 CPU begins (APM vol. 2, 14.1.5); its own block is the one that the probe drops.
constexpr std::uint64_t reset_vector = 0xfffffff0;

// What QEMU records of an exception until it delivers it: its vector in the CPU object, the rest
// side by side in CPUX86State. The probe finds both places.
constexpr std::int32_t tried_vector = 0x5a3c, tried_code = 0x2b4d6f81;
struct exception {
    std::int32_t code;
    std::int32_t is_instruction;
    std::uint64_t next_rip;
};
std::size_t vector_at = 0; ///< in the CPU object; 0: not found
std::size_t exception_at = 0;
std::atomic<bool> is_tried{false};
bool is_translated_anew = false; ///< the block that leave() dropped

std::atomic<bool> is_on{false};
std::atomic<std::uint64_t> breakpoints{0}, blocks{0};

/// Counts how often each vCPU has been seen where it executes no store. Odd while it is idle.
struct alignas(64) times_seen {
    std::atomic<std::uint64_t> n{0};
};
auto &seen_outside = *new std::array<times_seen, most_vcpus>; ///< outlives static destructors

void note_outside(const vcpu &cpu)
{
    seen_outside.at(cpu.index()).n.fetch_add(2, std::memory_order_release);
}

/// The bytes that a block was translated from, or those before them, up to the page's end.
struct source {
    const std::byte *host;
    std::vector<std::byte> bytes;

    bool has_changed() const { return std::memcmp(host, bytes.data(), bytes.size()) != 0; }
};

/// Sources that were compared for the first time at the same moment. Another vCPU may have been
/// within a store then, with its invalidation before the translation and the bytes to come. Once
/// all have been seen elsewhere, one more comparison tells for certain.
struct batch {
    std::vector<std::uint64_t> seen; ///< by vCPU
    std::vector<source> sources;
};

std::vector<std::uint64_t> seen_now()
{
    std::vector<std::uint64_t> now;
    for (std::size_t i = 0; i < vcpu::all().size(); ++i) {
        now.push_back(seen_outside[i].n.load(std::memory_order_acquire));
    }
    return now;
}

bool all_were_outside(const vcpu &self, const std::vector<std::uint64_t> &then,
                      const std::vector<std::uint64_t> &now)
{
    for (std::size_t i = 0; i < then.size(); ++i) {
        const bool idle = now[i] % 2 != 0;
        if (i != self.index() && !idle && now[i] == then[i]) {
            return false;
        }
    }
    return true;
}

/// A vCPU that executes neither an interrupt nor new code for long keeps the records of all others
/// alive. They have been compared many times by then.
constexpr std::size_t most_batches = 64, most_fresh = 1024;

struct thread_records {
    std::deque<source> fresh; ///< not compared yet; their blocks may not be in use yet
    std::deque<batch> batches;
};
thread_local thread_records records;

void drop(const void *host)
{
    const std::uint64_t address = qemu::qemu_ram_addr_from_host(host);
    qemu::tb_invalidate_phys_range(*vcpu::current_slot(), address, address);
}

/// Drops the blocks of those that have changed, and forgets these.
template <class Sources> std::uint64_t drop_changed_of(Sources &sources)
{
    return std::erase_if(sources, [](const source &s) {
        const bool changed = s.has_changed();
        if (changed) {
            drop(s.host);
        }
        return changed;
    });
}

const std::byte *cpu_object()
{
    return static_cast<const std::byte *>(*vcpu::current_slot());
}

/// The only place of `value` between these two in the CPU object; 0 when there is none or more.
template <class T> std::size_t find_in_cpu(std::size_t from, std::size_t to, const T &value)
{
    std::size_t found = 0;
    for (std::size_t o = from; o + sizeof value <= to; o += alignof(T)) {
        if (std::memcmp(cpu_object() + o, &value, sizeof value) == 0) {
            if (found != 0) {
                return 0;
            }
            found = o;
        }
    }
    return found;
}

template <class T> T read_cpu(std::size_t offset)
{
    T value;
    std::memcpy(&value, cpu_object() + offset, sizeof value);
    return value;
}

void find_exception(const vcpu &cpu)
{
    const std::size_t env = layout::found.env;
    vector_at = find_in_cpu(0, env, tried_vector);
    exception_at = find_in_cpu(env, malloc_usable_size(*vcpu::current_slot()),
                               exception{tried_code, /*is_instruction=*/0, cpu.rip()});
}

/// The instruction before `next_rip` is a breakpoint that is about to be delivered.
bool is_int3(const vcpu &cpu)
{
    const auto e = read_cpu<exception>(exception_at);
    return read_cpu<std::int32_t>(vector_at) == vector::bp && e.is_instruction == 1 &&
           e.next_rip == cpu.rip() + 1 && cpu.code_64();
}

} // namespace

void stale_code::leave(std::uintptr_t ra)
{
    const vcpu cpu = vcpu::current();
    const void *code = tlb_fill::code_at(cpu, reset_vector);
    if (code != nullptr) {
        drop(code);
    }
    is_tried = true;
    cpu.raise(tried_vector, tried_code, ra);
}

std::string stale_code::probe()
{
    if (is_tried || vector_at == 0 || exception_at == 0) {
        return "the parts of an exception that is to be delivered are not found";
    }
    return is_translated_anew ? "" : "a block that was dropped is executed once more";
}

void stale_code::start()
{
    if (!qemu::qemu_tcg_mttcg_enabled()) {
        return;
    }
    is_on = layout::holds("stale-code");
    if (!is_on) {
        log("a CPU may execute code that another one has replaced: the fact stale-code does not "
            "hold; with one host thread for all CPUs it cannot happen");
    }
}

void stale_code::will_translate(const vcpu &cpu, std::uint64_t pc, const void *host)
{
    if (!is_on) {
        is_translated_anew |= pc == reset_vector;
        return;
    }
    note_outside(cpu);
    if (host == nullptr) {
        return;
    }
    const auto *first = static_cast<const std::byte *>(host);
    auto &fresh = records.fresh;
    fresh.push_back({first, {first, first + hw::page_4k - pc % hw::page_4k}});
    if (fresh.size() > most_fresh) {
        fresh.pop_front();
    }
}

bool stale_code::drop_changed(const vcpu &cpu)
{
    if (!is_on) {
        return false;
    }
    note_outside(cpu);
    auto &[fresh, batches] = records;
    if (fresh.empty() && batches.empty()) {
        return false;
    }
    std::vector<std::uint64_t> now = seen_now(); // before memory is read
    std::uint64_t dropped = drop_changed_of(fresh);
    for (batch &b : batches) {
        dropped += drop_changed_of(b.sources);
    }
    std::erase_if(batches, [&](const batch &b) { return all_were_outside(cpu, b.seen, now); });
    if (!fresh.empty()) {
        batches.push_back(
            {std::move(now),
             {std::make_move_iterator(fresh.begin()), std::make_move_iterator(fresh.end())}});
        fresh.clear();
    }
    if (batches.size() > most_batches) {
        batches.pop_front();
    }
    if (dropped != 0) {
        blocks.fetch_add(dropped, std::memory_order_relaxed);
    }
    return dropped != 0;
}

bool stale_code::withholds(const vcpu &cpu)
{
    if (is_tried.load(std::memory_order_relaxed) && is_tried.exchange(false)) {
        find_exception(cpu);
        return true;
    }
    if (!is_on || !is_int3(cpu)) {
        return false;
    }
    const std::uint8_t *code = tlb_fill::code_at(cpu, cpu.rip());
    if (code == nullptr || __atomic_load_n(code, __ATOMIC_ACQUIRE) == int3) {
        return false;
    }
    drop(code);
    breakpoints.fetch_add(1, std::memory_order_relaxed);
    return true;
}

void stale_code::idles(unsigned index, bool idle)
{
    std::atomic<std::uint64_t> &n = seen_outside.at(index).n;
    if ((n.load(std::memory_order_relaxed) % 2 != 0) != idle) {
        n.fetch_add(1, std::memory_order_release);
    }
}

stale_code::counts stale_code::seen()
{
    return {breakpoints.load(std::memory_order_relaxed), blocks.load(std::memory_order_relaxed)};
}

} // namespace rmpopt
