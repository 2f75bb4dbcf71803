// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/translator.h"

#include "base/format.h"
#include "base/log.h"
#include "qemu/layout.h"
#include "qemu/stale_code.h"
#include "qemu/symbols.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string_view>
#include <sys/uio.h>
#include <unistd.h>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<void(void *cpu, void *block, int *most_instructions, std::uint64_t pc, void *host_pc)>
    x86_translate_code("x86_translate_code");
/// The state of all plugins.
qemu_object plugin("plugin");
/// The translation state of a thread.
qemu_object tcg_ctx("tcg_ctx");
} // namespace qemu
translator::rules the_rules;

// Each vCPU points to a set of the events that plugins have callbacks for. QEMU translates a block
// for plugins when the event for blocks is in the set, and looks nowhere else.
std::size_t events_offset = 0; ///< of the pointer in QEMU's CPU state; 0: not found
std::uint64_t all_events = 0;  ///< the set as QEMU made it
std::uint64_t block_event = 0; ///< its member for blocks
/// What plain blocks need, among the facts of layout.h.
constexpr std::array<std::string_view, 2> needed_facts{"plugin-events", "plugin-instruction"};
std::atomic<bool> can_spare{false}; ///< they hold
/// The arguments of translate_code() have been compared with what QEMU tells plugins of a block.
std::atomic<bool> is_hook_proven{false};
// The block that this thread translates.
[[gnu::tls_model("initial-exec")]] thread_local bool is_plain = false;
[[gnu::tls_model("initial-exec")]] thread_local const void *translated_at = nullptr;

// The translation state of a thread points to the plugin's view of the current instruction, and as
// long as it does QEMU generates code for plugins. QEMU clears the pointer only when it begins the
// next block for plugins, so a plain block after one that is not would still get such code.
/// Offset of that pointer, the same for all threads; 0: unknown.
std::atomic<std::size_t> instruction_offset{0};
constexpr std::size_t instruction_scan = 0x400;

// The state of all plugins begins with the two words of a list of plugins. For each event it then
// has the head of a list of callbacks. These nine events are as old as the plugin interface.
constexpr std::size_t first_list = 2, known_events = 9;

struct qemu_callback {
    void *plugin, *function, *userdata, *next;
};

/// The value at `address`, which need not be mapped.
template <class T> std::optional<T> peek(const void *address)
{
    T value;
    const iovec to{&value, sizeof value}, from{const_cast<void *>(address), sizeof value};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof value ? std::optional(value)
                                                                           : std::nullopt;
}

/// True when ours is the only callback for blocks; sets `all_events` and `block_event`.
bool find_events()
{
    std::array<void *, first_list + known_events> state{};
    if (size_of_object(qemu::plugin.address()) < sizeof state) {
        return false;
    }
    std::memcpy(state.data(), qemu::plugin.address(), sizeof state);
    for (std::size_t i = 0; i < known_events; ++i) {
        const auto callback = peek<qemu_callback>(state[first_list + i]);
        all_events |= callback.has_value() ? 1ull << i : 0;
        if (callback.has_value() && callback->function == address_of(the_rules.callback)) {
            block_event = callback->next == nullptr ? 1ull << i : 0;
        }
    }
    return block_event != 0;
}

/// Offset of the pointer to the set in a vCPU's object; 0 when there is not exactly one.
std::size_t find_pointer(const std::byte *cpu, std::size_t bytes)
{
    std::size_t found = 0;
    for (std::size_t offset = 8; offset + sizeof(void *) <= bytes; offset += sizeof(void *)) {
        void *pointer = nullptr;
        std::memcpy(&pointer, cpu + offset, sizeof pointer);
        if (peek<std::uint64_t>(pointer) == all_events) {
            if (found != 0) {
                return 0;
            }
            found = offset;
        }
    }
    return found;
}

/// The vCPU's set of events; nullptr when somebody other than us has changed it.
std::uint64_t *events_of(void *cpu)
{
    std::uint64_t *events = nullptr;
    if (can_spare) {
        std::memcpy(&events, static_cast<std::byte *>(cpu) + events_offset, sizeof events);
    }
    return events != nullptr && (*events | block_event) == all_events ? events : nullptr;
}

std::byte *translation_state()
{
    [[gnu::tls_model("initial-exec")]] thread_local auto **slot =
        static_cast<std::byte **>(dlsym(RTLD_DEFAULT, qemu::tcg_ctx.name()));
    return *slot;
}

/// After the last instruction of `tb`, which QEMU still is at.
void find_instruction(const qemu_plugin_tb *tb)
{
    const void *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    const auto words = std::span(reinterpret_cast<void **>(translation_state()),
                                 instruction_scan / sizeof(void *));
    void **found = find_word(words, last);
    if (found != nullptr) {
        instruction_offset = static_cast<std::size_t>(found - words.data()) * sizeof(void *);
    }
}

void forget_instruction()
{
    constexpr void *none = nullptr;
    std::memcpy(translation_state() + instruction_offset, &none, sizeof none);
}

bool is_plain_at(void *cpu, std::uint64_t pc, const void *host_pc)
{
    const auto *code = static_cast<const std::uint8_t *>(host_pc);
    const std::size_t offset = pc % hw::page_4k;
    return code != nullptr && // in RAM
           the_rules.is_plain(vcpu::of(cpu), pc, {code - offset, hw::page_4k});
}

/// What QEMU calls instead of its own function. That may not return: it jumps out when a page is
/// missing or its buffer is full, so nothing is put back afterwards.
void translate_code(void *cpu, void *block, int *most_instructions, std::uint64_t pc, void *host_pc)
{
    std::uint64_t *events = events_of(cpu);
    stale_code::will_translate(vcpu::of(cpu), pc, host_pc);
    is_plain = events != nullptr && is_hook_proven && is_plain_at(cpu, pc, host_pc);
    translated_at = host_pc;
    const bool spare = is_plain && !the_rules.audits;
    if (events != nullptr) {
        *events = spare ? all_events & ~block_event : all_events;
    }
    if (spare) {
        forget_instruction();
    }
    qemu::x86_translate_code(cpu, block, most_instructions, pc, host_pc);
}

} // namespace

bool translator::hook(std::span<void *> ops, const rules &r)
{
    void **used = find_word(ops, qemu::x86_translate_code.address());
    if (used == nullptr) {
        return false;
    }
    the_rules = r;
    *used = address_of(translate_code);
    return true;
}

std::string translator::probe_events()
{
    const vcpu cpu = vcpu::by_index(0);
    const auto *object = static_cast<const std::byte *>(cpu.cpu_);
    const auto *env = reinterpret_cast<const std::byte *>(cpu.env());
    if (!find_events()) {
        return "another plugin looks at blocks, or QEMU keeps its list elsewhere";
    }
    events_offset = find_pointer(object, static_cast<std::size_t>(env - object));
    return events_offset != 0 ? "" : "a vCPU's set of events is not found";
}

std::string translator::probe_instruction()
{
    return instruction_offset != 0 ? "" : "it is not in the translation state";
}

void translator::start()
{
    can_spare = std::ranges::all_of(needed_facts, layout::holds);
}

std::string translator::why_all_blocks()
{
    if (the_rules.audits) {
        return "audit";
    }
    for (const layout::result &r : layout::results()) {
        if (!r.problem.empty() &&
            std::ranges::find(needed_facts, r.what->name) != needed_facts.end()) {
            return formatted("{}: {}", r.what->name, r.problem);
        }
    }
    return {};
}

bool translator::said_plain(const qemu_plugin_tb *tb)
{
    if (instruction_offset == 0) {
        find_instruction(tb);
    }
    if (can_spare && !is_hook_proven && translated_at != nullptr) {
        is_hook_proven = qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0)) == translated_at;
        if (!is_hook_proven) {
            can_spare = false;
            log("all code is translated for plugins: QEMU's function that translates has other "
                "arguments");
        }
    }
    return is_plain;
}

} // namespace rmpopt
