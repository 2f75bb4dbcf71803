// SPDX-License-Identifier: GPL-2.0-or-later
// The memory images of XSAVE and XSAVEC (APM vol. 2, 11.5). Both begin with the legacy area (x87
// and SSE, as FXSAVE has them) and the header. Then the other components follow: in the standard
// form each at its own place, in the compacted form without gaps. Knows nothing of QEMU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace rmpopt
{

namespace xsave
{
inline constexpr std::uint64_t x87 = 1 << 0, sse = 1 << 1, avx = 1 << 2, pkru = 1 << 9;
inline constexpr std::uint64_t compacted = std::uint64_t{1} << 63; ///< in XCOMP_BV
inline constexpr std::size_t mxcsr = 24, mxcsr_mask = 28, xstate_bv = 512, xcomp_bv = 520,
                             header_rest = 528, standard_header_end = 536, header_end = 576;
inline constexpr std::size_t alignment = 64; ///< of the area in memory
inline constexpr std::uint32_t mxcsr_reset = 0x1f80;

/// Room for every image.
inline constexpr std::size_t largest = 16 << 10;
using area = std::array<std::byte, largest>;

/// The field of an image at this offset.
template <class T> T load(std::span<const std::byte> image, std::size_t at)
{
    T value;
    std::memcpy(&value, &image[at], sizeof value);
    return value;
}
} // namespace xsave

/// A component behind the header, as CPUID leaf 0Dh has it.
struct xsave_component {
    std::uint32_t offset = 0; ///< in the standard form
    std::uint32_t bytes = 0;  ///< 0: the CPU does not have it
    bool aligned = false;     ///< to 64 bytes in the compacted form
};

/// A run of bytes of a component.
struct xsave_piece {
    std::uint16_t in_memory = 0; ///< offset in the image that the instruction stores or loads
    std::uint16_t in_state = 0;  ///< ... in QEMU's own image, which is in the standard form
    std::uint16_t bytes = 0;
};

struct xsave_pieces {
    std::array<xsave_piece, 80> piece;
    std::size_t count = 0;

    std::span<const xsave_piece> all() const & { return std::span(piece).first(count); }
    std::span<const xsave_piece> all() && = delete; ///< it would be gone before it is used
};

/// Where the components of a CPU are. The highest is that of bit 62.
class xsave_layout
{
  public:
    /// By bit number; the first two, x87 and SSE, are ignored.
    explicit xsave_layout(std::span<const xsave_component> components);

    /// Bytes of the compacted form of the components in `mask`.
    std::size_t compacted_bytes(std::uint64_t mask) const;

    // The bytes of the components in `wanted`. QEMU's own image has the registers of x87 by number,
    // those of XSAVE are ST(0) to ST(7); `fsw`, the x87 status word, tells which is on top.

    /// In a compacted image in which the components in `present` have a place.
    xsave_pieces compacted_pieces(std::uint64_t wanted, std::uint64_t present,
                                  std::uint16_t fsw) const;
    xsave_pieces standard_pieces(std::uint64_t wanted, std::uint16_t fsw) const;

  private:
    template <class F> std::size_t for_each(std::uint64_t mask, const F &f) const;

    std::array<xsave_component, 63> components_{};
};

/// The x87 status word of an image.
std::uint16_t status_word(std::span<const std::byte> image);

/// True for an image in the compacted form.
bool is_compacted(std::span<const std::byte> image);

/// Whether XRSTOR takes the header of an image of either form: no components but those in XCR0,
/// `xcr0`, and no reserved bit (APM vol. 4, XRSTOR).
bool is_valid_header(std::span<const std::byte> image, std::uint64_t xcr0);

/// Puts the components in `mask` into their initial state in QEMU's image.
void reset_components(std::uint64_t mask, const xsave_layout &layout, std::span<std::byte> image);

} // namespace rmpopt
