// SPDX-License-Identifier: GPL-2.0-or-later
// Memory that is protected as the guard protects it, whose stores go through step_over_store().
#pragma once

#include "x86/host_store.h"

#include <array>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace rmpopt
{

inline constexpr std::size_t page = 4096, arena_bytes = 8 * page;
inline constexpr std::size_t first_protected = 2 * page, end_protected = 6 * page;

struct run {
    std::size_t offset, bytes;

    bool operator==(const run &) const = default;
};

/// What the signal handler uses.
struct handler_state {
    std::byte *view = nullptr;  ///< the arena as stores see it
    std::byte *alias = nullptr; ///< the same memory, always writable
    std::array<run, 2 * arena_bytes> runs{};
    std::size_t count = 0;
    bool crosses_page = false;
    sigjmp_buf refused{};
};
inline handler_state state;

inline void take(std::uintptr_t address, std::span<const std::byte> bytes)
{
    const std::size_t offset = address - reinterpret_cast<std::uintptr_t>(state.view);
    state.crosses_page |= offset / page != (offset + bytes.size() - 1) / page;
    if (state.count < state.runs.size()) {
        state.runs[state.count++] = {offset, bytes.size()};
    }
    std::memcpy(state.alias + offset, bytes.data(), bytes.size());
}

inline void on_fault(int, siginfo_t *, void *context)
{
    if (!step_over_store(*static_cast<ucontext_t *>(context), take)) {
        siglongjmp(state.refused, 1);
    }
}

/// An arena whose pages 2 to 5 may only be read, and whose every byte is known.
class protected_arena : public testing::Test
{
  protected:
    void SetUp() override
    {
        file_ = memfd_create("arena", 0);
        ASSERT_EQ(ftruncate(file_, arena_bytes), 0);
        state.view = map(nullptr, file_, PROT_READ | PROT_WRITE, MAP_SHARED);
        state.alias = map(nullptr, file_, PROT_READ | PROT_WRITE, MAP_SHARED);
        ASSERT_EQ(
            mprotect(state.view + first_protected, end_protected - first_protected, PROT_READ), 0);
        struct sigaction action {
        };
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, &old_segv_);
        sigaction(SIGBUS, &action, &old_bus_);
        std::iota(source.begin(), source.end(), std::uint8_t{1});
        clear();
    }
    void TearDown() override
    {
        sigaction(SIGSEGV, &old_segv_, nullptr);
        sigaction(SIGBUS, &old_bus_, nullptr);
        munmap(state.view, arena_bytes);
        munmap(state.alias, arena_bytes);
        close(file_);
    }
    static std::byte *map(void *at, int file, int protection, int flags)
    {
        return static_cast<std::byte *>(mmap(at, arena_bytes, protection, flags, file, 0));
    }
    void clear()
    {
        std::memset(state.alias, 0xcc, arena_bytes);
        expected.assign(arena_bytes, 0xcc);
        state.count = 0;
        state.crosses_page = false;
    }
    static std::uint8_t *at(std::size_t offset)
    {
        return reinterpret_cast<std::uint8_t *>(state.view) + offset;
    }
    /// False when one of the stores of `f` is refused.
    template <class F> static bool run_stores(F f)
    {
        if (sigsetjmp(state.refused, 1) != 0) {
            return false;
        }
        f();
        return true;
    }
    void expect(std::size_t offset, const void *bytes, std::size_t n)
    {
        std::memcpy(expected.data() + offset, bytes, n);
    }
    /// The arena is as expected, and stores were taken one by one within pages.
    void check(const std::string &what)
    {
        EXPECT_EQ(std::memcmp(state.alias, expected.data(), arena_bytes), 0) << what;
        EXPECT_FALSE(state.crosses_page) << what;
    }
    static std::vector<run> runs()
    {
        return {state.runs.begin(), state.runs.begin() + static_cast<std::ptrdiff_t>(state.count)};
    }

    alignas(64) std::array<std::uint8_t, arena_bytes> source{};
    std::vector<std::uint8_t> expected;

  private:
    int file_ = -1;
    struct sigaction old_segv_ {
    }, old_bus_{};
};

} // namespace rmpopt
