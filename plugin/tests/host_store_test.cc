// SPDX-License-Identifier: GPL-2.0-or-later
// Stores to a page that the host protects, stepped over in a real signal handler.
#include "host_store.h"

#include <array>
#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <sys/mman.h>

namespace rmpopt
{

namespace
{

constexpr std::size_t page = 4096;

/// Three pages, the middle one protected; what would have been written to it.
struct scene {
    std::byte *memory = nullptr;
    std::map<std::uintptr_t, std::byte> dropped;
    unsigned signals = 0;
    bool refused = false;
    unsigned skip = 0; ///< length of an instruction that is refused

    std::byte *middle() const { return memory + page; }
    bool is_protected(std::uintptr_t a) const
    {
        const auto m = reinterpret_cast<std::uintptr_t>(middle());
        return a >= m && a < m + page;
    }
};
scene the_scene;

void sink(std::uintptr_t address, std::span<const std::byte> bytes)
{
    ASSERT_LE(address % page + bytes.size(), page);
    if (!the_scene.is_protected(address)) {
        std::memcpy(reinterpret_cast<void *>(address), bytes.data(), bytes.size());
        return;
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        the_scene.dropped[address + i] = bytes[i];
    }
}

void on_fault(int, siginfo_t *, void *context)
{
    auto &interrupted = *static_cast<ucontext_t *>(context);
    ++the_scene.signals;
    if (!step_over_store(interrupted, sink)) {
        the_scene.refused = true;
        interrupted.uc_mcontext.gregs[REG_RIP] += the_scene.skip;
    }
}

class host_store_test : public testing::Test
{
  protected:
    void SetUp() override
    {
        void *p =
            mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(p, MAP_FAILED);
        the_scene = {};
        the_scene.memory = static_cast<std::byte *>(p);
        mprotect(the_scene.middle(), page, PROT_READ);
        struct sigaction action {
        };
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &action, &old_);
        for (std::size_t i = 0; i < source.size(); ++i) {
            source[i] = static_cast<std::byte>(i * 7 + 1);
        }
    }
    void TearDown() override
    {
        sigaction(SIGSEGV, &old_, nullptr);
        munmap(the_scene.memory, 3 * page);
    }
    /// `bytes` of the source from `at` on: dropped in the middle page, there in the others.
    void expect_copied(const std::byte *at, std::size_t bytes) const
    {
        for (std::size_t i = 0; i < bytes; ++i) {
            const auto a = reinterpret_cast<std::uintptr_t>(at + i);
            const std::byte got = the_scene.is_protected(a) ? dropped_at(a) : at[i];
            ASSERT_EQ(got, source[i]) << "byte " << i;
        }
        for (std::size_t i = 0; i < page; ++i) {
            ASSERT_EQ(the_scene.middle()[i], std::byte{0});
        }
        EXPECT_FALSE(the_scene.refused);
        EXPECT_GT(the_scene.signals, 0u);
    }
    static std::byte dropped_at(std::uintptr_t a)
    {
        const auto it = the_scene.dropped.find(a);
        return it == the_scene.dropped.end() ? std::byte{0} : it->second;
    }

    std::array<std::byte, 2 * page> source{};

  private:
    struct sigaction old_ {
    };
};

TEST_F(host_store_test, memcpy_of_every_size_inside)
{
    for (std::size_t bytes = 1; bytes <= page; bytes = bytes < 130 ? bytes + 1 : bytes * 2) {
        the_scene.dropped.clear();
        std::memcpy(the_scene.middle() + page - bytes, source.data(), bytes);
        expect_copied(the_scene.middle() + page - bytes, bytes);
        EXPECT_EQ(the_scene.dropped.size(), bytes);
    }
}

TEST_F(host_store_test, memcpy_into_and_out_of)
{
    for (const std::size_t bytes : {7u, 33u, 200u, 5000u}) {
        std::memcpy(the_scene.middle() - bytes / 2, source.data(), bytes);
        expect_copied(the_scene.middle() - bytes / 2, bytes);
        std::memcpy(the_scene.middle() + page - bytes / 3, source.data(), bytes / 2);
        expect_copied(the_scene.middle() + page - bytes / 3, bytes / 2);
    }
}

TEST_F(host_store_test, memset_over_all)
{
    std::memset(the_scene.memory + 100, 0x5a, 3 * page - 200);
    EXPECT_EQ(the_scene.dropped.size(), page);
    EXPECT_EQ(the_scene.memory[100], std::byte{0x5a});
    EXPECT_EQ(the_scene.memory[3 * page - 101], std::byte{0x5a});
    EXPECT_EQ(the_scene.middle()[0], std::byte{0});
    for (const auto &[address, value] : the_scene.dropped) {
        ASSERT_EQ(value, std::byte{0x5a});
    }
}

TEST_F(host_store_test, rep_movsb_and_stosq_go_on_after_the_page)
{
    void *to = the_scene.memory + page - 8, *from = source.data();
    std::size_t count = page + 16;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    EXPECT_EQ(count, 0u);
    EXPECT_EQ(to, the_scene.memory + 2 * page + 8);
    expect_copied(the_scene.memory + page - 8, page + 16);
    to = the_scene.middle();
    count = 2;
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x0102030405060708) : "memory");
    EXPECT_EQ(dropped_at(reinterpret_cast<std::uintptr_t>(the_scene.middle())), std::byte{8});
}

TEST_F(host_store_test, immediates_and_high_bytes)
{
    std::byte *p = the_scene.middle();
    const auto a = reinterpret_cast<std::uintptr_t>(p);
    asm volatile("movl $0x11223344, (%0)" : : "r"(p) : "memory");
    asm volatile("movb %%ah, 4(%0)" : : "r"(p), "a"(0x5566) : "memory");
    asm volatile("movw %w1, 5(%0)" : : "r"(p), "r"(0x7788) : "memory");
    EXPECT_EQ(dropped_at(a), std::byte{0x44});
    EXPECT_EQ(dropped_at(a + 3), std::byte{0x11});
    EXPECT_EQ(dropped_at(a + 4), std::byte{0x55});
    EXPECT_EQ(dropped_at(a + 6), std::byte{0x77});
}

// What cannot be stepped over: each instruction below is three bytes long, or as given.

TEST_F(host_store_test, read_modify_write_is_refused)
{
    the_scene.skip = 3;
    asm volatile("addq %1, (%0)" : : "r"(the_scene.middle()), "r"(1ul) : "memory", "cc");
    EXPECT_TRUE(the_scene.refused);
    EXPECT_TRUE(the_scene.dropped.empty());
}

TEST_F(host_store_test, exchange_is_refused)
{
    std::uint64_t value = 1;
    the_scene.skip = 3;
    asm volatile("xchgq %0, (%1)" : "+a"(value) : "D"(the_scene.middle()) : "memory");
    EXPECT_TRUE(the_scene.refused);
    EXPECT_EQ(value, 1u);
}

TEST_F(host_store_test, backward_strings_are_refused)
{
    void *to = the_scene.middle();
    the_scene.skip = 1;
    asm volatile("std; stosb; cld" : "+D"(to) : "a"(1) : "memory", "cc");
    EXPECT_TRUE(the_scene.refused);
    EXPECT_TRUE(the_scene.dropped.empty());
}

} // namespace

} // namespace rmpopt
