// SPDX-License-Identifier: GPL-2.0-or-later
// Single stores to protected pages.
#include "protected_arena.h"

#include <algorithm>

namespace rmpopt
{

namespace
{

class host_store_signal_test : public protected_arena
{
  protected:
    /// Runs `f`, which copies n bytes of `source` to `to`, at each place where it may cross pages.
    template <class F> void expect_move(std::size_t n, F f)
    {
        const std::size_t places[] = {
            first_protected,  first_protected + 1, first_protected - n + 1, first_protected - n / 2,
            3 * page - n / 2, 3 * page - n,        end_protected - n,       end_protected - 1};
        for (const std::size_t place : places) {
            clear();
            ASSERT_TRUE(run_stores([&] { f(at(place)); }));
            expect(place, source.data(), n);
            check(std::to_string(n) + " bytes at " + std::to_string(place));
            const std::size_t first = std::min(n, page - place % page);
            EXPECT_EQ(runs(), n == first
                                  ? (std::vector<run>{{place, n}})
                                  : (std::vector<run>{{place, first}, {place + first, n - first}}));
        }
    }
};

template <class T> T value_of(const std::uint8_t *source)
{
    T v;
    std::memcpy(&v, source, sizeof v);
    return v;
}

TEST_F(host_store_signal_test, takes_plain_stores_of_all_sizes)
{
    expect_move(1, [&](auto *to) { asm volatile("movb %1, %0" : "=m"(*to) : "q"(source[0])); });
    const auto store = [&]<class T>(T) {
        const T v = value_of<T>(source.data());
        expect_move(sizeof v, [&](void *to) {
            asm volatile("mov %1, %0" : "=m"(*static_cast<T *>(to)) : "r"(v));
        });
    };
    store(std::uint16_t{});
    store(std::uint32_t{});
    store(std::uint64_t{});
}

TEST_F(host_store_signal_test, takes_immediates_and_non_temporal_stores)
{
    expect_move(4, [](auto *to) { asm volatile("movl $0x04030201, (%0)" : : "r"(to) : "memory"); });
    expect_move(8, [&](auto *to) {
        asm volatile("movnti %1, (%0)"
                     :
                     : "r"(to), "r"(value_of<std::uint64_t>(source.data()))
                     : "memory");
    });
}

TEST_F(host_store_signal_test, takes_high_byte_registers)
{
    expect_move(1, [](auto *to) {
        asm volatile("mov $0x3301, %%eax; mov %%al, (%0)" : : "D"(to) : "eax", "memory");
    });
    expect_move(1, [](auto *to) {
        asm volatile("mov $0x0133, %%edx; mov %%dh, (%0)" : : "D"(to) : "edx", "memory");
    });
    expect_move(1, [](auto *to) {
        asm volatile("mov $0x0133, %%ebx; mov %%bh, (%0)" : : "D"(to) : "ebx", "memory");
    });
}

TEST_F(host_store_signal_test, takes_byte_registers_of_rex_encodings)
{
    expect_move(1, [](auto *to) {
        asm volatile("mov $1, %%esi; mov %%sil, (%0)" : : "D"(to) : "rsi", "memory");
    });
    expect_move(1, [](auto *to) {
        asm volatile("mov $1, %%r13d; mov %%r13b, (%0)" : : "D"(to) : "r13", "memory");
    });
}

TEST_F(host_store_signal_test, takes_xmm_stores)
{
    expect_move(16, [&](auto *to) {
        asm volatile("movups (%1), %%xmm0; movups %%xmm0, (%0)"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm0", "memory");
    });
    expect_move(16, [&](auto *to) {
        asm volatile("movdqu (%1), %%xmm15; movdqu %%xmm15, (%0)"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm15", "memory");
    });
    expect_move(8, [&](auto *to) {
        asm volatile("movq (%1), %%xmm9; movq %%xmm9, (%0)"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm9", "memory");
    });
    expect_move(4, [&](auto *to) {
        asm volatile("movd (%1), %%xmm3; movd %%xmm3, (%0)"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm3", "memory");
    });
}

TEST_F(host_store_signal_test, takes_ymm_stores)
{
    if (__builtin_cpu_supports("avx") == 0) {
        GTEST_SKIP() << "no AVX";
    }
    expect_move(32, [&](auto *to) {
        asm volatile("vmovdqu (%1), %%ymm0; vmovdqu %%ymm0, (%0); vzeroupper"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm0", "memory");
    });
    expect_move(32, [&](auto *to) {
        asm volatile("vmovups (%1), %%ymm13; vmovups %%ymm13, (%0); vzeroupper"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm13", "memory");
    });
}

TEST_F(host_store_signal_test, takes_zmm_stores)
{
    if (__builtin_cpu_supports("avx512f") == 0) {
        GTEST_SKIP() << "no AVX-512";
    }
    expect_move(64, [&](auto *to) {
        asm volatile("vmovdqu64 (%1), %%zmm7; vmovdqu64 %%zmm7, (%0); vzeroupper"
                     :
                     : "r"(to), "r"(source.data())
                     : "xmm7", "memory");
    });
    // The upper registers have a state component of their own.
    expect_move(64, [&](auto *to) {
        asm volatile(
            "vmovups (%1), %%zmm29; vmovups %%zmm29, (%0); vpxord %%zmm29, %%zmm29, %%zmm29"
            :
            : "r"(to), "r"(source.data())
            : "memory");
    });
}

TEST_F(host_store_signal_test, takes_evex_stores_of_32_bytes)
{
    if (__builtin_cpu_supports("avx512vl") == 0) {
        GTEST_SKIP() << "no AVX-512VL";
    }
    // With an 8-bit displacement in units of 32 bytes.
    expect_move(32, [&](auto *to) {
        asm volatile(
            "vmovdqu64 32(%1), %%ymm17; vmovdqu64 %%ymm17, 64(%0); vpxord %%zmm17, %%zmm17, %%zmm17"
            :
            : "r"(to - 64), "r"(source.data() - 32)
            : "memory");
    });
}

TEST_F(host_store_signal_test, takes_stores_that_raise_sigbus)
{
    const int empty = memfd_create("empty", 0);
    ASSERT_EQ(map(state.view, empty, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED), state.view);
    close(empty);
    ASSERT_TRUE(run_stores([&] {
        asm volatile("mov %0, (%1)" : : "r"(std::uint64_t{5}), "r"(at(8)) : "memory");
        asm volatile("movb $7, (%0)" : : "r"(at(17)) : "memory");
    }));
    EXPECT_EQ(runs(), (std::vector<run>{{8, 8}, {17, 1}}));
    expect(8, "\5\0\0\0\0\0\0\0\xcc\7", 10);
    check("SIGBUS");
}

TEST_F(host_store_signal_test, refuses_what_is_no_plain_store)
{
    std::uint8_t *to = at(first_protected);
    void (*const stores[])(std::uint8_t *) = {
        [](std::uint8_t *p) {
            asm volatile("lock addl $1, (%0)" : : "r"(p) : "memory");
        },
        [](std::uint8_t *p) {
            asm volatile("xchg %%eax, (%0)" : : "r"(p) : "eax", "memory");
        },
        [](std::uint8_t *p) {
            asm volatile("incb (%0)" : : "r"(p) : "memory");
        },
        [](std::uint8_t *p) {
            asm volatile("std; stosb; cld" : "+D"(p) : : "memory");
        },
        [](std::uint8_t *p) {
            std::uint64_t fs = 0;
            asm volatile("mov %%fs:0, %0" : "=r"(fs)); // the base, as the ABI has it
            asm volatile("movb $1, %%fs:(%0)"
                         :
                         : "r"(reinterpret_cast<std::uint64_t>(p) - fs)
                         : "memory");
        },
    };
    for (const auto &store : stores) {
        EXPECT_FALSE(run_stores([&] { store(to); })) << &store - stores;
    }
    EXPECT_EQ(state.count, 0u);
    check("refused");
}

} // namespace

} // namespace rmpopt
