// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/machine.h"

#include "qemu/api.h"
#include "qemu/notifier.h"
#include "qemu/symbols.h"
#include "qemu/vcpu.h"

#include <atomic>
#include <cstring>
#include <utility>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<int(int (*cb)(void *block, void *opaque), void *opaque)>
    qemu_ram_foreach_block("qemu_ram_foreach_block");
qemu_function<int(void *block)> qemu_ram_get_fd("qemu_ram_get_fd");
qemu_function<void *(void *block)> qemu_ram_get_host_addr("qemu_ram_get_host_addr");
qemu_function<std::uint64_t(void *block)> qemu_ram_get_used_length("qemu_ram_get_used_length");
qemu_function<bool(void *block)> qemu_ram_is_shared("qemu_ram_is_shared");
qemu_function<bool(int index, std::uint32_t type, std::uint64_t *address, std::uint64_t *length)>
    e820_get_entry("e820_get_entry");
qemu_function<void(void (*cb)(void *), void *opaque)> qemu_register_reset("qemu_register_reset");
qemu_function<std::int64_t(int type)> qemu_clock_get_ns("qemu_clock_get_ns");
qemu_function<void(notifier *n)> qemu_register_shutdown_notifier("qemu_register_shutdown_notifier");
qemu_function<int()> qemu_shutdown_requested_get("qemu_shutdown_requested_get");
qemu_function<int()> qemu_reset_requested_get("qemu_reset_requested_get");
qemu_function<void(int cause)> qemu_system_shutdown_request("qemu_system_shutdown_request");
} // namespace qemu

std::atomic<bool> is_ending{false};

struct block_search {
    guest_ram_block *best;
    bool several;
};

int consider_block(void *block, void *opaque)
{
    auto *search = static_cast<block_search *>(opaque);
    const int fd = qemu::qemu_ram_get_fd(block);
    const std::uint64_t bytes = qemu::qemu_ram_get_used_length(block);
    if (fd < 0 || !qemu::qemu_ram_is_shared(block)) {
        return 0;
    }
    search->several |= search->best->fd >= 0;
    if (bytes > search->best->bytes) {
        *search->best = {
            fd, static_cast<std::byte *>(qemu::qemu_ram_get_host_addr(block)), bytes, {}};
    }
    return 0;
}

} // namespace

std::string find_guest_ram(guest_ram_block &out)
{
    block_search search{&out, false};
    qemu::qemu_ram_foreach_block(consider_block, &search);
    if (out.fd < 0) {
        return "guest RAM has no shared file behind it; use -object "
               "memory-backend-memfd,id=ram,size=SIZE,share=on and -machine memory-backend=ram";
    }
    if (search.several) {
        return "guest RAM is made of several memory backends; use a single one";
    }
    constexpr std::uint32_t e820_ram = 1;
    std::uint64_t sum = 0;
    hw::spa_range run;
    for (int i = 0; i < 128; ++i) {
        if (qemu::e820_get_entry(i, e820_ram, &run.base, &run.bytes)) {
            out.layout.push_back(run);
            sum += run.bytes;
        }
    }
    return sum == out.bytes ? "" : "QEMU's memory map does not add up to its RAM";
}

std::uint64_t virtual_clock_ns()
{
    constexpr int clock_virtual = 1;
    // With -icount QEMU counts the instructions of the current vCPU's block, which it can only do
    // between blocks; without a current vCPU it leaves them out.
    void **slot = vcpu::current_slot();
    void *current = std::exchange(*slot, nullptr);
    const std::int64_t ns = qemu::qemu_clock_get_ns(clock_virtual);
    *slot = current;
    return static_cast<std::uint64_t>(ns);
}

bool read_system_memory(std::uint64_t address, void *to, std::size_t bytes)
{
    GByteArray *buf = g_byte_array_new();
    const bool ok = qemu_plugin_read_memory_hwaddr(address, buf, bytes) == 0;
    if (ok) {
        std::memcpy(to, buf->data, bytes);
    }
    g_byte_array_free(buf, TRUE);
    return ok;
}

void notice_end()
{
    static notifier at_shutdown{.notify = [](notifier *, void *) { is_ending = true; }};
    qemu::qemu_register_shutdown_notifier(&at_shutdown);
}

bool is_end_requested()
{
    return is_ending || qemu::qemu_shutdown_requested_get() != 0 ||
           qemu::qemu_reset_requested_get() != 0;
}

void request_power_off()
{
    constexpr int guest_shutdown = 6; // ShutdownCause; it only chooses the words of QEMU's events
    qemu::qemu_system_shutdown_request(guest_shutdown);
}

void on_machine_reset(void (*cb)(void *), void *userdata)
{
    qemu::qemu_register_reset(cb, userdata);
}

} // namespace rmpopt
