// SPDX-License-Identifier: GPL-2.0-or-later
// The two pages of a launch whose content is firmware's business: CPUID table and secrets.
#include "hw-model/firmware/snp/snp.h"
#include "hw-model/machine/cpuid.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

// The CPUID page: a count, then functions of 48 bytes (AMD 56860, CPUID reporting).
constexpr std::uint32_t max_functions = 64;
constexpr std::size_t functions_at = 16, function_bytes = 48;

struct cpuid_function {
    std::uint32_t eax_in, ecx_in;
    std::uint64_t xcr0_in, xss_in;
    std::uint32_t eax, ebx, ecx, edx;
    std::uint64_t reserved;
};
static_assert(sizeof(cpuid_function) == function_bytes);

constexpr std::uint32_t encryption_leaf = 0x8000001f, rmp_leaf = 0x80000025;
constexpr std::uint32_t c_bit_mask = 0x3f, vmpl_count_mask = 0xf000;

/// What a guest may be told. Of the leaves that the model knows: no feature and no VMPL that the
/// CPU does not have, and the C-bit where it is. About others it has no opinion.
cpuid_function allowed(const machine &m, cpuid_function f)
{
    cpuid_regs own;
    adjust_cpuid(m, f.eax_in, own);
    if (f.eax_in == encryption_leaf) {
        f.eax &= own.eax;
        f.ebx = (f.ebx & ~(c_bit_mask | vmpl_count_mask)) | (own.ebx & c_bit_mask) |
                std::min(f.ebx & vmpl_count_mask, own.ebx & vmpl_count_mask);
    } else if (f.eax_in == rmp_leaf) {
        f.edx &= own.edx;
    }
    return f;
}

/// CPUID 1 EAX of the CPU model's first model, stepping 0.
std::uint32_t family_model_stepping(const cpu_model &cpu)
{
    constexpr unsigned base_family = 0xf;
    return (cpu.model_first & 0xf) << 4 | base_family << 8 | cpu.model_first >> 4 << 16 |
           (cpu.family - base_family) << 20;
}

} // namespace

firmware_status check_cpuid_page(const firmware_call &c, spa_t page)
{
    const auto count = c.m.memory().load<std::uint32_t>(page).value_or(0);
    if (count > max_functions) {
        return firmware_status::invalid_param;
    }
    firmware_status status = firmware_status::success;
    for (std::uint32_t i = 0; i < count; ++i) {
        const spa_t at = page + functions_at + i * function_bytes;
        const auto told = c.m.memory().load<cpuid_function>(at).value_or(cpuid_function{});
        const cpuid_function right = allowed(c.m, told);
        if (std::memcmp(&told, &right, sizeof told) != 0) {
            c.m.memory().store(at, right);
            status = firmware_status::invalid_param;
        }
    }
    return status;
}

/// AMD 56860, secrets page: version, IMI, family/model/stepping, workarounds, then a key for each
/// VMPL. What follows belongs to the guest.
void write_secrets_page(const firmware_call &c, const snp_guest &guest, spa_t page)
{
    constexpr std::uint32_t version = 3;
    constexpr std::size_t keys_at = 0x20;
    std::array<std::byte, page_4k> raw{};
    const auto put = [&raw](std::size_t offset, std::uint32_t v) {
        std::memcpy(raw.data() + offset, &v, sizeof v);
    };
    put(0, version);
    put(4, guest.imi ? 1 : 0);
    put(8, family_model_stepping(c.m.cpu()));
    std::ranges::copy(guest.gosvw, raw.begin() + 0x10);
    for (unsigned vmpl = 0; vmpl < vmpls; ++vmpl) {
        const aes256_key key = communication_key(guest, vmpl);
        std::ranges::copy(key, raw.begin() + keys_at + vmpl * key.size());
    }
    c.m.memory().write(page, raw.data(), raw.size());
}

} // namespace rmpopt::hw
