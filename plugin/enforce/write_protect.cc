// SPDX-License-Identifier: GPL-2.0-or-later
#include "enforce/write_protect.h"

#include "base/log.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// Kernel headers older than those of Debian 12 (Linux 6.1) lack this. The running kernel may
// support it all the same; UFFDIO_API tells.
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

namespace rmpopt
{

using hw::page_4k;
using hw::spa_range;
using hw::spa_t;

namespace
{

constexpr std::uint64_t needed_features =
    UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

} // namespace

std::string write_protect::start(const guest_ram &ram, hw::machine &machine)
{
    ram_ = &ram;
    machine_ = &machine;
    uffd_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    if (uffd_ < 0) {
        return std::string("no userfaultfd: ") + std::strerror(errno);
    }
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = needed_features;
    if (ioctl(uffd_, UFFDIO_API, &api) != 0) {
        return "this kernel's userfaultfd cannot write-protect shared memory; Linux >= 5.19 can";
    }
    uffdio_register reg{};
    reg.range.start = reinterpret_cast<std::uintptr_t>(ram.qemu_base());
    reg.range.len = ram.bytes();
    reg.mode = UFFDIO_REGISTER_MODE_WP;
    if (ioctl(uffd_, UFFDIO_REGISTER, &reg) != 0) {
        return std::string("cannot register guest RAM with userfaultfd: ") + std::strerror(errno);
    }
    return {};
}

void write_protect::apply(const hw::rmp_changes &effects)
{
    if (uffd_ < 0 || effects.ranges().empty()) {
        return;
    }
    const std::scoped_lock lock(lock_);
    for (const hw::rmp_change &r : effects.ranges()) {
        apply_range({r.base, r.bytes});
    }
}

void write_protect::apply_range(const spa_range &range)
{
    spa_t start = range.base;
    bool writable = machine_->is_host_writable(start);
    for (spa_t spa = range.base + page_4k; spa < range.end(); spa += page_4k) {
        const bool w = machine_->is_host_writable(spa);
        if (w != writable) {
            protect({start, spa - start}, writable);
            start = spa;
            writable = w;
        }
    }
    protect({start, range.end() - start}, writable);
}

void write_protect::protect(const spa_range &range, bool writable)
{
    std::byte *p = ram_->qemu_address(range.base, range.bytes);
    if (p == nullptr) {
        return; // the RMP covers addresses without RAM, too
    }
    uffdio_writeprotect wp{};
    wp.range.start = reinterpret_cast<std::uintptr_t>(p);
    wp.range.len = range.bytes;
    wp.mode = writable ? 0 : UFFDIO_WRITEPROTECT_MODE_WP;
    while (ioctl(uffd_, UFFDIO_WRITEPROTECT, &wp) != 0) {
        if (errno != EAGAIN) {
            refuse(std::string("cannot change the protection of guest RAM: ") +
                   std::strerror(errno));
        }
    }
    changes_.fetch_add(1, std::memory_order_relaxed);
}

void write_protect::release_all()
{
    if (uffd_ < 0) {
        return;
    }
    const std::scoped_lock lock(lock_);
    for (const spa_range &run : ram_->layout()) {
        protect(run, true);
    }
}

} // namespace rmpopt
