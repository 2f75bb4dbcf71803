// SPDX-License-Identifier: GPL-2.0-or-later
#include "x86/xsave_area.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace rmpopt
{

namespace
{

constexpr std::size_t fcw = 0, fsw_at = 2, x87_environment = 24, st = 32, st_stride = 16,
                      st_count = 8, xmm = 160, xmm_bytes = 256;
constexpr unsigned first_extended = 2;

template <class T> void store(std::span<std::byte> to, std::size_t at, const T &value)
{
    std::memcpy(&to[at], &value, sizeof value);
}

void add(xsave_pieces &to, std::size_t in_memory, std::size_t in_state, std::size_t bytes)
{
    to.piece[to.count++] = {static_cast<std::uint16_t>(in_memory),
                            static_cast<std::uint16_t>(in_state),
                            static_cast<std::uint16_t>(bytes)};
}

/// Both forms begin alike.
xsave_pieces legacy_pieces(std::uint64_t wanted, std::uint16_t fsw)
{
    xsave_pieces out;
    if ((wanted & xsave::x87) != 0) {
        const std::size_t top = fsw >> 11 & 7;
        add(out, 0, 0, x87_environment);
        for (std::size_t i = 0; i < st_count; ++i) {
            add(out, st + st_stride * i, st + st_stride * ((top + i) % st_count), st_stride);
        }
    }
    if ((wanted & xsave::sse) != 0) {
        add(out, xsave::mxcsr, xsave::mxcsr, sizeof(std::uint64_t));
        add(out, xmm, xmm, xmm_bytes);
    }
    return out;
}

bool all_zero(std::span<const std::byte> bytes)
{
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

} // namespace

xsave_layout::xsave_layout(std::span<const xsave_component> components)
{
    std::ranges::copy(components.first(std::min(components.size(), components_.size())),
                      components_.begin());
}

/// Calls `f(bit, component, offset in the compacted form)` for each component behind the header.
/// Returns the end of the last one.
template <class F> std::size_t xsave_layout::for_each(std::uint64_t mask, const F &f) const
{
    std::size_t end = xsave::header_end;
    for (unsigned bit = first_extended; bit < components_.size(); ++bit) {
        const xsave_component &c = components_[bit];
        if ((mask >> bit & 1) == 0 || c.bytes == 0) {
            continue;
        }
        const std::size_t at =
            c.aligned ? (end + xsave::alignment - 1) / xsave::alignment * xsave::alignment : end;
        f(bit, c, at);
        end = at + c.bytes;
    }
    return end;
}

std::size_t xsave_layout::compacted_bytes(std::uint64_t mask) const
{
    return for_each(mask, [](unsigned, const xsave_component &, std::size_t) {});
}

xsave_pieces xsave_layout::compacted_pieces(std::uint64_t wanted, std::uint64_t present,
                                            std::uint16_t fsw) const
{
    xsave_pieces out = legacy_pieces(wanted, fsw);
    for_each(present, [&](unsigned bit, const xsave_component &c, std::size_t at) {
        if ((wanted >> bit & 1) != 0) {
            add(out, at, c.offset, c.bytes);
        }
    });
    return out;
}

xsave_pieces xsave_layout::standard_pieces(std::uint64_t wanted, std::uint16_t fsw) const
{
    xsave_pieces out = legacy_pieces(wanted, fsw);
    for_each(wanted, [&](unsigned, const xsave_component &c, std::size_t) {
        add(out, c.offset, c.offset, c.bytes);
    });
    return out;
}

std::uint16_t status_word(std::span<const std::byte> image)
{
    return xsave::load<std::uint16_t>(image, fsw_at);
}

bool is_compacted(std::span<const std::byte> image)
{
    return (xsave::load<std::uint64_t>(image, xsave::xcomp_bv) & xsave::compacted) != 0;
}

bool is_valid_header(std::span<const std::byte> image, std::uint64_t xcr0)
{
    const auto has = xsave::load<std::uint64_t>(image, xsave::xstate_bv);
    const auto places = xsave::load<std::uint64_t>(image, xsave::xcomp_bv) & ~xsave::compacted;
    const auto reserved = [&](std::size_t from, std::size_t end) {
        return image.subspan(from, end - from);
    };
    return is_compacted(image)
               ? (places & ~xcr0) == 0 && (has & ~places) == 0 &&
                     all_zero(reserved(xsave::header_rest, xsave::header_end))
               : (has & ~xcr0) == 0 &&
                     all_zero(reserved(xsave::xcomp_bv, xsave::standard_header_end));
}

void reset_components(std::uint64_t mask, const xsave_layout &layout, std::span<std::byte> image)
{
    const xsave_pieces pieces = layout.standard_pieces(mask, 0);
    for (const xsave_piece &p : pieces.all()) {
        const auto bytes = image.subspan(p.in_state, p.bytes);
        // MXCSR_MASK tells of the CPU and is no state.
        std::ranges::fill(p.in_state == xsave::mxcsr ? bytes.first(sizeof(std::uint32_t)) : bytes,
                          std::byte{0});
    }
    if ((mask & xsave::x87) != 0) {
        store<std::uint16_t>(image, fcw, 0x37f);
        store<std::uint16_t>(image, fsw_at, 0);
    }
    if ((mask & xsave::sse) != 0) {
        store(image, xsave::mxcsr, xsave::mxcsr_reset);
    }
}

} // namespace rmpopt
