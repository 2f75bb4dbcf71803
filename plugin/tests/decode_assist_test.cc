// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/decode_assist.h"

#include <gtest/gtest.h>
#include <vector>

namespace rmpopt
{

namespace
{

using bytes = std::vector<std::uint8_t>;
constexpr std::uint64_t is_mov = 1ull << 63;

struct row {
    const char *what;
    std::uint64_t exit_code;
    bytes code;
    bool code_64;
    std::size_t length;
    std::optional<std::uint64_t> info1;
};

} // namespace

TEST(decode_assist, tells_length_and_operand)
{
    const row rows[]{
        {"mov %rax,%cr4", 0x14, {0x0f, 0x22, 0xe0}, true, 3, is_mov | 0},
        {"mov %r9,%cr0", 0x10, {0x41, 0x0f, 0x22, 0xc1}, true, 4, is_mov | 9},
        {"mov %cr0,%ebx", 0x00, {0x0f, 0x20, 0xc3}, false, 3, is_mov | 3},
        {"clts", 0x10, {0x0f, 0x06}, true, 2, {}},
        {"lmsw %ax", 0x10, {0x0f, 0x01, 0xf0}, true, 3, {}},
        {"mov %rdx,%dr7", 0x37, {0x0f, 0x23, 0xfa}, true, 3, 2},
        {"mov %dr7,%r15", 0x27, {0x41, 0x0f, 0x21, 0xff}, true, 4, 15},
        {"int $0x80", 0x75, {0xcd, 0x80}, true, 2, 0x80},
        {"cpuid", 0x72, {0x0f, 0xa2, 0x90}, true, 2, {}},
        {"outb %al,(%dx)", 0x7b, {0xee}, true, 1, {}},
        {"rep insb", 0x7b, {0xf3, 0x6c}, true, 2, {}},
        {"an interrupt", 0x60, {0x0f, 0xa2}, true, 0, {}},
        {"an exception", 0x4e, {0x0f, 0xa2}, true, 0, {}},
        {"a nested page fault", 0x400, {0x88, 0x07}, true, 0, {}},
        {"half an instruction", 0x72, {0x0f}, true, 0, {}},
        {"none", 0x72, {}, true, 0, {}},
    };
    for (const row &r : rows) {
        const decode_assist a = assist_of(r.exit_code, r.code, r.code_64);
        EXPECT_EQ(a.length, r.length) << r.what;
        EXPECT_EQ(a.info1, r.info1) << r.what;
    }
}

} // namespace rmpopt
