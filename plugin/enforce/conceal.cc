// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/conceal.h"

#include "base/log.h"
#include "enforce/state.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace rmpopt
{

namespace
{

/// The copies, laid out as QEMU's mapping is. Pages without one take no memory.
std::byte *copies = nullptr;

/// By page of RAM: whether a translation may exist that was made while a guest owned the page.
std::uint8_t *looked_at = nullptr;

/// Zeroed memory that is taken from the host only where it is touched; nullptr on failure.
void *reserve(std::uint64_t bytes)
{
    void *const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mapped == MAP_FAILED ? nullptr : mapped;
}

std::size_t offset_of(const std::byte *qemu_address)
{
    return static_cast<std::size_t>(qemu_address - enforced.ram->qemu_base());
}

} // namespace

std::string start_concealing()
{
    if (enforced.machine->choices().ciphertext == hw::choice::ciphertext::plain) {
        return {};
    }
    const std::uint64_t bytes = enforced.ram->bytes();
    copies = static_cast<std::byte *>(reserve(bytes));
    looked_at = static_cast<std::uint8_t *>(reserve(bytes / hw::page_4k));
    return copies != nullptr && looked_at != nullptr
               ? std::string()
               : formatted("no address space for copies of {} MiB of guests' memory: {}; run with "
                           "policy.ciphertext=plain",
                           bytes >> 20, std::strerror(errno));
}

std::ptrdiff_t conceal(hw::spa_t spa)
{
    const hw::spa_t page = hw::align_down(spa, hw::page_4k);
    const std::byte *const original = enforced.ram->qemu_address(page, hw::page_4k);
    if (copies == nullptr || original == nullptr) {
        return 0;
    }
    const std::scoped_lock lock(enforced.machine->rmp_lock());
    const hw::rmp_entry e = enforced.machine->rmp().governing(page);
    if (!e.assigned || e.asid == 0) {
        return 0;
    }
    const std::size_t offset = offset_of(original);
    std::atomic_ref(looked_at[offset / hw::page_4k]).store(1);
    if (!e.validated) {
        return 0;
    }
    const std::span copy(copies + offset, hw::page_4k);
    enforced.machine->memory().read(page, copy.data(), copy.size());
    enforced.machine->recode(e.asid, page, copy);
    return copies - enforced.ram->qemu_base();
}

bool was_looked_at(const hw::spa_range &range)
{
    if (copies == nullptr) {
        return false;
    }
    bool seen = false;
    for (hw::spa_t page = range.base; page < range.end(); page += hw::page_4k) {
        const std::byte *const original = enforced.ram->qemu_address(page, hw::page_4k);
        if (original != nullptr) {
            const std::atomic_ref flag(looked_at[offset_of(original) / hw::page_4k]);
            seen = (flag.load(std::memory_order_relaxed) != 0 && flag.exchange(0) != 0) || seen;
        }
    }
    return seen;
}

} // namespace rmpopt
