// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/xsave_area.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <map>

namespace rmpopt
{

namespace
{

/// AVX as on every CPU; the others so that alignment and the size of a hole can be seen.
xsave_layout example()
{
    std::array<xsave_component, 12> c{};
    c[2] = {.offset = 576, .bytes = 256, .aligned = false};
    c[9] = {.offset = 2688, .bytes = 8, .aligned = false};
    c[11] = {.offset = 2752, .bytes = 100, .aligned = true};
    return xsave_layout(c);
}

constexpr std::uint64_t last = 1 << 11;

std::map<unsigned, unsigned> places(const xsave_pieces &pieces)
{
    std::map<unsigned, unsigned> out;
    for (const xsave_piece &p : pieces.all()) {
        out[p.in_state] = p.in_memory;
    }
    return out;
}

TEST(xsave_area, compacted_size_is_that_of_its_components)
{
    const xsave_layout l = example();
    EXPECT_EQ(l.compacted_bytes(0), 576u);
    EXPECT_EQ(l.compacted_bytes(xsave::x87 | xsave::sse), 576u);
    EXPECT_EQ(l.compacted_bytes(xsave::avx), 832u);
    EXPECT_EQ(l.compacted_bytes(xsave::pkru), 584u);
    EXPECT_EQ(l.compacted_bytes(xsave::pkru | last), 640u + 100u);
    EXPECT_EQ(l.compacted_bytes(1 << 5), 576u);
}

TEST(xsave_area, components_follow_each_other)
{
    const xsave_layout l = example();
    const std::uint64_t all = xsave::avx | xsave::pkru | last;
    EXPECT_EQ(places(l.compacted_pieces(all, all, 0)),
              (std::map<unsigned, unsigned>{{576, 576}, {2688, 832}, {2752, 896}}));
    EXPECT_EQ(places(l.compacted_pieces(last, all, 0)),
              (std::map<unsigned, unsigned>{{2752, 896}}));
    EXPECT_EQ(places(l.compacted_pieces(last, last, 0)),
              (std::map<unsigned, unsigned>{{2752, 576}}));
    EXPECT_EQ(places(l.compacted_pieces(all, xsave::avx, 0)),
              (std::map<unsigned, unsigned>{{576, 576}}));
}

TEST(xsave_area, in_the_standard_form_each_has_its_own_place)
{
    const std::uint64_t all = xsave::avx | xsave::pkru | last;
    EXPECT_EQ(places(example().standard_pieces(all, 0)),
              (std::map<unsigned, unsigned>{{576, 576}, {2688, 2688}, {2752, 2752}}));
    EXPECT_EQ(places(example().standard_pieces(xsave::pkru, 0)),
              (std::map<unsigned, unsigned>{{2688, 2688}}));
    EXPECT_EQ(places(example().standard_pieces(xsave::x87, 1 << 11)),
              places(example().compacted_pieces(xsave::x87, 0, 1 << 11)));
}

TEST(xsave_area, mxcsr_belongs_to_sse)
{
    const xsave_layout l = example();
    const auto x87 = places(l.compacted_pieces(xsave::x87, 0, 0)),
               sse = places(l.compacted_pieces(xsave::sse, 0, 0));
    EXPECT_FALSE(x87.contains(xsave::mxcsr));
    EXPECT_TRUE(sse.contains(xsave::mxcsr));
    EXPECT_FALSE(sse.contains(0));
}

TEST(xsave_area, st0_is_the_register_on_top)
{
    const auto at = places(example().compacted_pieces(xsave::x87, 0, 6 << 11));
    EXPECT_EQ(at.at(32 + 6 * 16), 32u);
    EXPECT_EQ(at.at(32 + 7 * 16), 48u);
    EXPECT_EQ(at.at(32), 64u);
}

struct bad_header {
    std::uint64_t has, places;
    std::size_t byte; ///< that is not 0
};

bool is_valid(const bad_header &h)
{
    std::array<std::byte, xsave::header_end> image{};
    std::memcpy(&image[xsave::xstate_bv], &h.has, sizeof h.has);
    std::memcpy(&image[xsave::xcomp_bv], &h.places, sizeof h.places);
    if (h.byte != 0) {
        image[h.byte] = std::byte{1};
    }
    return is_valid_header(image, xsave::x87 | xsave::sse | xsave::avx);
}

TEST(xsave_area, header_has_no_bit_too_many)
{
    EXPECT_TRUE(is_valid({3, 7 | xsave::compacted, 0}));
    EXPECT_TRUE(is_valid({0, xsave::compacted, 0}));
    EXPECT_FALSE(is_valid({3, 7, 0}));
    EXPECT_TRUE(is_valid({7, 0, 0})) << "the standard form";
    EXPECT_FALSE(is_valid({15, 0, 0}));
    EXPECT_FALSE(is_valid({7, 0, xsave::header_rest}));
    EXPECT_FALSE(is_valid({7, 0, xsave::standard_header_end - 1}));
    EXPECT_TRUE(is_valid({7, 0, xsave::standard_header_end}));
    EXPECT_FALSE(is_valid({3, 1 | xsave::compacted, 0}));
    EXPECT_FALSE(is_valid({3, 15 | xsave::compacted, 0}));
    EXPECT_FALSE(is_valid({3 | xsave::compacted, 7 | xsave::compacted, 0}));
    EXPECT_FALSE(is_valid({3, 7 | xsave::compacted, xsave::header_rest}));
    EXPECT_FALSE(is_valid({3, 7 | xsave::compacted, xsave::header_end - 1}));
    EXPECT_TRUE(is_valid({3, 7 | xsave::compacted, xsave::xstate_bv - 1}));
}

TEST(xsave_area, reset_leaves_other_components)
{
    xsave::area image;
    image.fill(std::byte{0xee});
    reset_components(xsave::sse | xsave::pkru, example(), image);
    const auto all_are = [&](std::size_t from, std::size_t bytes, std::uint8_t value) {
        return std::ranges::all_of(std::span(image).subspan(from, bytes),
                                   [=](std::byte b) { return b == std::byte{value}; });
    };
    std::uint32_t mxcsr = 0;
    std::memcpy(&mxcsr, &image[xsave::mxcsr], sizeof mxcsr);
    EXPECT_EQ(mxcsr, xsave::mxcsr_reset);
    EXPECT_TRUE(all_are(0, xsave::mxcsr, 0xee));
    EXPECT_TRUE(all_are(xsave::mxcsr_mask, 132, 0xee)); // MXCSR_MASK and x87
    EXPECT_TRUE(all_are(160, 256, 0));
    EXPECT_TRUE(all_are(576, 256, 0xee));
    EXPECT_TRUE(all_are(2688, 8, 0));
    reset_components(xsave::x87, example(), image);
    std::uint16_t fcw = 0;
    std::memcpy(&fcw, image.data(), sizeof fcw);
    EXPECT_EQ(fcw, 0x37f);
    EXPECT_EQ(status_word(image), 0);
    EXPECT_TRUE(all_are(32, 128, 0));
}

} // namespace

} // namespace rmpopt
