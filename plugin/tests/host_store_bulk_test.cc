// SPDX-License-Identifier: GPL-2.0-or-later
// Stores of many bytes to protected pages: those of the C library, and string instructions.
#include "protected_arena.h"

namespace rmpopt
{

namespace
{

using host_store_bulk_test = protected_arena;

TEST_F(host_store_bulk_test, takes_what_memcpy_does)
{
    void *(*volatile copy)(void *, const void *, std::size_t) = std::memcpy;
    for (std::size_t n = 1; n < 3 * page; n += n < 300 ? 1 : 997) {
        for (const std::size_t place : {first_protected, first_protected - n / 2,
                                        end_protected - n + n / 2, end_protected - n - 1}) {
            clear();
            ASSERT_TRUE(run_stores([&] { copy(at(place), source.data(), n); })) << n;
            expect(place, source.data(), n);
            check(std::to_string(n) + " bytes at " + std::to_string(place));
        }
    }
}

TEST_F(host_store_bulk_test, takes_what_memset_does)
{
    // Below the size of a vector the C library may use a masked store.
    void *(*volatile set)(void *, int, std::size_t) = std::memset;
    const std::vector<std::uint8_t> fives(3 * page, 5);
    for (std::size_t n = 1; n < 3 * page; n += n < 300 ? 1 : 997) {
        for (const std::size_t place : {first_protected, first_protected - n / 2,
                                        end_protected - n + n / 2, end_protected - n - 1}) {
            clear();
            ASSERT_TRUE(run_stores([&] { set(at(place), 5, n); })) << n;
            expect(place, fives.data(), n);
            check(std::to_string(n) + " bytes at " + std::to_string(place));
        }
    }
}

/// REP MOVS or STOS with `count` elements; the counter and pointers that it leaves.
struct rep_state {
    const std::uint8_t *rsi;
    std::uint8_t *rdi;
    std::uint64_t rcx;
};
void rep_movsb(rep_state &r)
{
    asm volatile("rep movsb" : "+S"(r.rsi), "+D"(r.rdi), "+c"(r.rcx) : : "memory");
}
void rep_movsq(rep_state &r)
{
    asm volatile("rep movsq" : "+S"(r.rsi), "+D"(r.rdi), "+c"(r.rcx) : : "memory");
}
void rep_stosb(rep_state &r)
{
    asm volatile("rep stosb" : "+D"(r.rdi), "+c"(r.rcx) : "a"(5) : "memory");
}
void rep_stosq(rep_state &r)
{
    asm volatile("rep stosq" : "+D"(r.rdi), "+c"(r.rcx) : "a"(0x0505050505050505) : "memory");
}

TEST_F(host_store_bulk_test, takes_rep_movs_and_stos_into_and_out_of_protected_pages)
{
    struct {
        void (*run)(rep_state &);
        std::size_t element;
        bool moves;
    } const insns[] = {
        {rep_movsb, 1, true}, {rep_movsq, 8, true}, {rep_stosb, 1, false}, {rep_stosq, 8, false}};
    const std::vector<std::uint8_t> fives(arena_bytes, 5);
    for (const auto &insn : insns) {
        for (const std::size_t place :
             {first_protected - 83, first_protected, end_protected - 83}) {
            constexpr std::size_t n = 2 * page - 64;
            clear();
            rep_state r{source.data(), at(place), n / insn.element};
            ASSERT_TRUE(run_stores([&] { insn.run(r); }));
            EXPECT_EQ(r.rcx, 0u);
            EXPECT_EQ(r.rdi, at(place + n));
            EXPECT_EQ(r.rsi, source.data() + (insn.moves ? n : 0));
            expect(place, insn.moves ? source.data() : fives.data(), n);
            check("element of " + std::to_string(insn.element));
        }
    }
}

TEST_F(host_store_bulk_test, rep_movs_reads_what_it_has_written)
{
    state.alias[first_protected] = std::byte{9};
    rep_state r{at(first_protected), at(first_protected + 1), 100};
    ASSERT_TRUE(run_stores([&] { rep_movsb(r); }));
    expect(first_protected, std::vector<std::uint8_t>(101, 9).data(), 101);
    check("overlap");
}

} // namespace

} // namespace rmpopt
