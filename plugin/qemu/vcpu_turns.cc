// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu_turns.h"

#include "base/format.h"
#include "qemu/notifier.h"
#include "qemu/symbols.h"

#include <cstddef>
#include <cstring>
#include <vector>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<std::byte *()> get_ptr_rcu_reader("get_ptr_rcu_reader");
qemu_function<void(notifier *n)> rcu_remove_force_rcu_notifier("rcu_remove_force_rcu_notifier");
qemu_function<void *(int index)> qemu_get_cpu("qemu_get_cpu");
/// The list by which vCPUs take turns.
qemu_object cpus_queue("cpus_queue");
} // namespace qemu

/// A link of that list (QTailQLink): the next vCPU, and the link before this one. Each vCPU has one
/// and the list's head is one, which has the first vCPU and the last link.
struct turn_link {
    void *next;
    turn_link *previous;
};
/// Each vCPU's link lies this far into it at most.
constexpr std::size_t most_before_link = 4096;

turn_link *link_at(void *cpu, std::size_t offset)
{
    return reinterpret_cast<turn_link *>(static_cast<std::byte *>(cpu) + offset);
}

/// True when all vCPUs have their links at `offset`, in the order of their indices.
bool links_are_at(std::size_t offset, std::span<void *const> cpus, turn_link *head)
{
    turn_link *previous = head;
    for (void *cpu : cpus) {
        turn_link *const link = link_at(cpu, offset);
        if (previous->next != cpu || link->previous != previous) {
            return false;
        }
        previous = link;
    }
    return previous->next == nullptr && head->previous == previous;
}

/// In QEMU's struct rcu_reader_data: a counter, a flag, the links of a list, and then this list of
/// those who are told that a grace period waits for the thread.
constexpr std::size_t told_of_waiting = 4 * sizeof(void *);

} // namespace

std::string keep_turns()
{
    std::byte *const reader = qemu::get_ptr_rcu_reader();
    notifier *first = nullptr;
    std::memcpy(&first, reader + told_of_waiting, sizeof first);
    const void *const list = reader + told_of_waiting;
    if (first == nullptr || static_cast<void *>(first->pointer_to_this) != list ||
        first->next != nullptr) {
        return "RCU tells this thread of waiting in another way than QEMU 11";
    }
    qemu::rcu_remove_force_rcu_notifier(first);
    return {};
}

std::string order_turns(std::span<const unsigned> order)
{
    std::vector<void *> cpus;
    for (int i = 0; void *const cpu = qemu::qemu_get_cpu(i); ++i) {
        cpus.push_back(cpu);
    }
    if (cpus.size() != order.size()) {
        return formatted("it has {} CPUs, and the machine has {}", order.size(), cpus.size());
    }
    auto *const head = static_cast<turn_link *>(qemu::cpus_queue.address());
    std::size_t offset = 0;
    while (!links_are_at(offset, cpus, head)) {
        offset += sizeof(void *);
        if (offset == most_before_link) {
            return "QEMU keeps the order of its vCPUs in another way than QEMU 11";
        }
    }
    turn_link *previous = head;
    for (const unsigned index : order) {
        turn_link *const link = link_at(cpus[index], offset);
        previous->next = cpus[index];
        link->previous = previous;
        previous = link;
    }
    previous->next = nullptr;
    head->previous = previous;
    return {};
}

} // namespace rmpopt
