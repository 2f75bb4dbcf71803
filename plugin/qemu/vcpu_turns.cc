// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/vcpu_turns.h"

#include "qemu/notifier.h"
#include "qemu/symbols.h"

#include <cstddef>
#include <cstring>

namespace rmpopt
{

namespace
{

namespace qemu
{
qemu_function<std::byte *()> get_ptr_rcu_reader("get_ptr_rcu_reader");
qemu_function<void(notifier *n)> rcu_remove_force_rcu_notifier("rcu_remove_force_rcu_notifier");
} // namespace qemu

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

} // namespace rmpopt
