// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/vmsa.h"

#include <cstring>
#include <gtest/gtest.h>

namespace rmpopt::hw
{

namespace
{

class vmsa_test : public testing::Test
{
  protected:
    static constexpr spa_t vmsa = 0x1000, other = 0x2000;

    void SetUp() override
    {
        for (std::size_t i = 0; i < page_4k; ++i) { // each byte is another one in each page
            ram[vmsa + i] = static_cast<std::byte>(i * 7 + i / 256);
            ram[other + i] = static_cast<std::byte>(~(i * 7 + i / 256));
        }
    }
    bool is_copied(std::size_t i) const { return ram[vmsa + i] == ram[other + i]; }

    std::vector<std::byte> ram = std::vector<std::byte>(3 * page_4k);
    memory_view memory{{{0, 3 * page_4k, ram.data()}}};
};

} // namespace

TEST_F(vmsa_test, registers_that_vmrun_and_vmload_know_are_copied)
{
    copy_save_area(memory, vmsa, other);
    struct {
        std::size_t first, end;
    } const copied[]{{0, 0xa0},      {0xcb, 0xcc},   {0xd0, 0xd8},  {0x148, 0x180},
                     {0x1d8, 0x1e0}, {0x1f8, 0x248}, {0x268, 0x270}};
    for (std::size_t i = 0; i < page_4k; ++i) {
        bool expected = false;
        for (const auto &range : copied) {
            expected |= i >= range.first && i < range.end;
        }
        EXPECT_EQ(is_copied(i), expected) << std::hex << i;
    }
    EXPECT_LE(0x270u, common_save_bytes);
}

TEST_F(vmsa_test, general_registers_are_where_the_manual_has_them)
{
    EXPECT_EQ(general_register(0), 0x1f8u);
    EXPECT_EQ(general_register(1), 0x308u);
    EXPECT_EQ(general_register(2), 0x310u);
    EXPECT_EQ(general_register(3), 0x318u);
    EXPECT_EQ(general_register(4), 0x1d8u);
    EXPECT_EQ(general_register(5), 0x328u);
    EXPECT_EQ(general_register(15), 0x378u);
}

TEST_F(vmsa_test, vector_state_comes_back_as_it_was)
{
    std::array<std::byte, vector_state_bytes> state{};
    load_vector_state(memory, vmsa, state);
    store_vector_state(memory, other, state);
    for (std::size_t i = 0x400; i < 0x670; ++i) {
        const bool hole = i == 0x40d || (i >= 0x414 && i < 0x418); // upper half of FTW; DS, CS
        EXPECT_EQ(is_copied(i), !hole) << std::hex << i;
        EXPECT_TRUE(!hole || ram[other + i] == static_cast<std::byte>(~(i * 7 + i / 256)));
    }
    EXPECT_FALSE(is_copied(0x3ff) || is_copied(0x670));
}

TEST_F(vmsa_test, x87_registers_are_counted_from_the_top)
{
    memory.store(vmsa + 0x40e, std::uint16_t{6u << 11}); // FSW: TOP is 6
    for (std::uint64_t i = 0; i < 8; ++i) {
        memory.store(vmsa + 0x420 + 8 * i, 0x1111 * i);
        memory.store(vmsa + 0x460 + 2 * i, static_cast<std::uint16_t>(0x4000 + i));
    }
    std::array<std::byte, vector_state_bytes> numbered{};
    load_vector_state(memory, vmsa, numbered);
    const auto mantissa = [](vector_state s, std::size_t place) {
        std::uint64_t value = 0;
        std::memcpy(&value, &s[32 + 16 * place], sizeof value);
        return value;
    };
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(mantissa(numbered, (6 + i) % 8), 0x1111 * i);
    }
    EXPECT_EQ(numbered[32 + 16 * 6 + 9], std::byte{0x40}) << "ST(0)'s exponent";
}

TEST_F(vmsa_test, only_what_the_vmsa_holds_is_loaded)
{
    std::array<std::byte, vector_state_bytes> a, b;
    a.fill(std::byte{0x5a});
    b.fill(std::byte{0xa5});
    load_vector_state(memory, vmsa, a);
    load_vector_state(memory, vmsa, b);
    for (std::size_t i = 0; i < vector_state_bytes; ++i) {
        const bool hole = i == 5 || (i >= 28 && i < 32) ||               // MXCSR_MASK
                          (i >= 32 && i < 160 && (i - 32) % 16 >= 10) || // behind each x87 register
                          (i >= 416 && i < 576);
        EXPECT_EQ(a[i] != b[i], hole) << i;
        EXPECT_TRUE(!hole || a[i] == std::byte{0x5a}) << i;
    }
    EXPECT_EQ(a[160], ram[vmsa + 0x470]) << "XMM0";
    EXPECT_EQ(a[576], ram[vmsa + 0x570]) << "its upper half";
}

TEST_F(vmsa_test, the_header_of_xsave_is_left_alone)
{
    std::array<std::byte, vector_state_bytes> state{};
    std::memset(&state[512], 0x5a, 64);
    load_vector_state(memory, vmsa, state);
    reset_vector_state(state);
    for (std::size_t i = 512; i < 576; ++i) {
        EXPECT_EQ(state[i], std::byte{0x5a});
    }
}

TEST_F(vmsa_test, reset_clears_all_registers)
{
    std::array<std::byte, vector_state_bytes> state{};
    load_vector_state(memory, vmsa, state);
    reset_vector_state(state);
    std::array<std::byte, vector_state_bytes> expected{};
    std::memcpy(&expected[512], &state[512], 64);
    expected[0] = std::byte{0x40};  // FCW
    expected[4] = std::byte{0xff};  // FTW
    expected[24] = std::byte{0x80}; // MXCSR: 1f80h
    expected[25] = std::byte{0x1f};
    // From 416 to 511 there is nothing that #VMEXIT knows.
    std::memcpy(&expected[416], &state[416], 96);
    EXPECT_EQ(state, expected);
}

} // namespace rmpopt::hw
