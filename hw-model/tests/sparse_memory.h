// SPDX-License-Identifier: GPL-2.0-or-later
// Zeroed memory that costs nothing until it is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace rmpopt::hw
{

class sparse_memory
{
  public:
    explicit sparse_memory(std::uint64_t bytes) : bytes_(bytes)
    {
        void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) {
            throw std::bad_alloc();
        }
        data_ = static_cast<std::byte *>(p);
    }
    ~sparse_memory() { munmap(data_, bytes_); }
    sparse_memory(const sparse_memory &) = delete;
    sparse_memory &operator=(const sparse_memory &) = delete;

    std::byte *data() const { return data_; }

  private:
    std::uint64_t bytes_;
    std::byte *data_ = nullptr;
};

} // namespace rmpopt::hw
