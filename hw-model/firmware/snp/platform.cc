// SPDX-License-Identifier: GPL-2.0-or-later
// SNP platform commands: initialisation with its checks, shutdown, status, configuration.
#include "hw-model/firmware/internal.h"
#include "hw-model/machine/msr.h"

#include <algorithm>

namespace rmpopt::hw
{

namespace
{

namespace init_flag
{
constexpr std::uint32_t init_rmp = 1u << 0;
constexpr std::uint32_t list_enable = 1u << 1;
constexpr std::uint32_t known_optional = 7u << 2; ///< RAPL off, ciphertext hiding, TIO: not offered
constexpr std::uint32_t known = init_rmp | list_enable | known_optional;
} // namespace init_flag

/// Page of ranges for SNP_INIT_EX: count u32, reserved u32, then base u64, pages u32, reserved u32.
constexpr std::size_t list_header_bytes = 8;
constexpr std::size_t list_entry_bytes = 16;
constexpr std::uint32_t max_list_entries = (page_4k - list_header_bytes) / list_entry_bytes;

constexpr std::uint32_t shutdown_iommu = 1u << 0;
constexpr std::uint32_t shutdown_x86 = 1u << 1;
constexpr std::uint32_t ecx_x86_shutdown = 1u << 1; ///< of SNP_FEATURE_INFO
constexpr std::uint32_t feature_info_flag = 1u << 3;
constexpr std::size_t feature_info_bytes = 16;
constexpr std::size_t status_bytes = 32;

/// What software must have set up on every logical CPU before SNP_INIT (AMD 56860; rejected with
/// INVALID_CONFIG).
bool cpus_are_prepared(const machine &m)
{
    constexpr std::uint64_t syscfg_needed = syscfg_mfdm | syscfg_mem_encrypt;
    for (unsigned t = 0; t < m.cpus().threads(); ++t) {
        const thread_state &cpu = m.thread(t);
        const core_state &core = m.core_of(t);
        if (!core.snp_en.load() || !core.vmpl_en || (cpu.hwcr & hwcr_smmlock) == 0 ||
            (cpu.syscfg & syscfg_needed) != syscfg_needed || cpu.syscfg != m.thread(0).syscfg ||
            cpu.vm_hsave_pa != 0) {
            return false;
        }
    }
    return true;
}

/// Cores that look for the RMP in different places are no platform that firmware could work with.
bool cores_agree_on_rmp(const machine &m)
{
    const core_state &first = m.core(0);
    for (unsigned c = 1; c < m.cpus().cores(); ++c) {
        const core_state &core = m.core(c);
        if (core.rmp_base != first.rmp_base || core.rmp_end != first.rmp_end ||
            core.rmp_cfg != first.rmp_cfg) {
            return false;
        }
    }
    return true;
}

bool rmp_bounds_are_aligned(const machine &m)
{
    const rmp_config &config = m.rmp().config();
    return is_aligned(config.base, rmp_alignment) &&
           (config.layout != rmp_layout::contiguous || is_aligned(config.end + 1, rmp_alignment));
}

firmware_status check_platform(const machine &m)
{
    if (!cpus_are_prepared(m)) {
        return firmware_status::invalid_config;
    }
    if (!cores_agree_on_rmp(m)) {
        return firmware_status::hardware_platform;
    }
    if (!rmp_bounds_are_aligned(m)) {
        return firmware_status::invalid_config;
    }
    return rmp_is_usable(m) ? firmware_status::success : firmware_status::rmp_init_failed;
}

void begin_snp(firmware_call &c)
{
    c.s.snp_init = true;
    c.s.rmp_init = true;
    // ASIDs of a life before this one may still tag cache lines and data fabric entries.
    c.s.asids.require_flush_of_all();
    require_wbinvd(c);
    c.result.snp_init = true;
    c.result.own_memory = own_memory_of(c.m, c.s);
}

/// Common part of SNP_INIT and SNP_INIT_EX.
firmware_status initialise(firmware_call &c, bool init_rmp, std::vector<spa_range> fixed)
{
    const firmware_status status = check_platform(c.m);
    if (status != firmware_status::success) {
        return status;
    }
    if (init_rmp) {
        c.s.iommu_pages = rebuild_rmp(c.m, std::move(fixed), c.result.rmp_changes);
    } else if (!c.s.rmp_init) {
        return firmware_status::rmp_init_required;
    }
    begin_snp(c);
    return firmware_status::success;
}

bool may_initialise(const firmware_call &c)
{
    return !c.s.snp_init && !c.s.platform_init;
}

void release_iommu_pages(firmware_call &c)
{
    rmp_entry reclaim;
    reclaim.assigned = true;
    for_each_covered_page(c.m.rmp(), c.s.iommu_pages, [&](spa_t p) {
        if (state_of(c.m.rmp().load(p)) == page_state::firmware_iommu) {
            c.m.replace_entry(p, reclaim, c.result.rmp_changes);
            c.result.reclaimed.push_back({p, page_4k});
        }
    });
    c.s.iommu_pages.clear();
}

bool offers_x86_shutdown(const firmware_call &c)
{
    return c.m.choices().x86_snp_shutdown == choice::x86_snp_shutdown::on;
}

/// Without SNP_EN the RMP protects nothing. Software may write it, so firmware can't build on it
/// any more.
void shut_down_x86(firmware_call &c)
{
    c.m.firmware_clear_snp_en();
    c.m.rmp().for_each_assigned(
        [&c](spa_t page) { c.result.rmp_changes.add(page, page_4k, true); });
    c.s.rmp_init = false;
}

} // namespace

firmware_status read_range_list(const firmware_call &c, spa_t list, std::vector<spa_range> &out)
{
    std::array<std::byte, page_4k> page;
    if (!is_aligned(list, page_4k) || !c.m.memory().read(list, page.data(), page.size())) {
        return firmware_status::invalid_address;
    }
    std::uint32_t count = 0;
    std::memcpy(&count, page.data(), sizeof count);
    if (count > max_list_entries) {
        return firmware_status::invalid_param;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        struct {
            std::uint64_t base;
            std::uint32_t pages;
            std::uint32_t reserved;
        } entry;
        static_assert(sizeof entry == list_entry_bytes);
        std::memcpy(&entry, page.data() + list_header_bytes + i * list_entry_bytes, sizeof entry);
        const spa_t base = entry.base & ~c_bit;
        if (!is_aligned(base, page_4k) || base >= c_bit) {
            return firmware_status::invalid_address;
        }
        out.push_back({base, entry.pages * page_4k});
    }
    return firmware_status::success;
}

/// Family 1Ah counts FMC, boot loader, TEE, SNP from byte 0; before, boot loader and TEE stand in
/// bytes 0 and 1, SNP in byte 6. Byte 7 is the microcode on all.
std::uint64_t firmware_tcb(const cpu_model &cpu)
{
    constexpr std::uint64_t boot_loader = 9, tee = 1, fmc = 1, microcode = 0x48;
    const std::uint64_t snp = cpu.tcb_snp;
    if (cpu.family >= 0x1a) {
        return fmc | boot_loader << 8 | tee << 16 | snp << 24 | microcode << 56;
    }
    return boot_loader | tee << 8 | snp << 48 | microcode << 56;
}

firmware_status snp_init(firmware_call &c)
{
    return may_initialise(c) ? initialise(c, true, {}) : firmware_status::invalid_platform_state;
}

firmware_status snp_init_ex(firmware_call &c)
{
    if (!may_initialise(c)) {
        return firmware_status::invalid_platform_state;
    }
    const auto flags = c.get<std::uint32_t>(0);
    if ((flags & ~init_flag::known) != 0 || !c.is_zero(4, 4) || !c.is_zero(18, 46)) {
        return firmware_status::invalid_param;
    }
    if ((flags & init_flag::known_optional) != 0) {
        return firmware_status::unsupported;
    }
    std::vector<spa_range> fixed;
    if ((flags & init_flag::list_enable) != 0) {
        const firmware_status status = read_range_list(c, c.get_address(8), fixed);
        if (status != firmware_status::success) {
            return status;
        }
    }
    return initialise(c, (flags & init_flag::init_rmp) != 0, std::move(fixed));
}

/// Without an initialised SNP there is nothing to do, which is no error. No ASID may belong to a
/// guest or want a flush (AMD 56860, SNP_SHUTDOWN_EX); guests that have none yet end here, and so
/// does the wrapped key of SNP_VLEK_LOAD.
firmware_status snp_shutdown_ex(firmware_call &c)
{
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    const auto flags = c.get<std::uint32_t>(4);
    const std::uint32_t known = shutdown_iommu | (offers_x86_shutdown(c) ? shutdown_x86 : 0);
    if ((flags & ~known) != 0) {
        return firmware_status::invalid_param;
    }
    if (!c.s.snp_init) {
        return firmware_status::success;
    }
    if (c.s.platform_init) {
        return firmware_status::invalid_platform_state;
    }
    if (std::ranges::any_of(c.s.guests, [](const auto &g) { return g.second.active(); })) {
        return firmware_status::active;
    }
    if (c.s.asids.any_needs_flush()) {
        return firmware_status::df_flush_required;
    }
    if ((flags & shutdown_iommu) != 0) {
        release_iommu_pages(c);
    }
    forget_guests(c);
    c.s.vlek_loaded = false;
    if ((flags & shutdown_x86) != 0) {
        shut_down_x86(c);
    }
    c.s.snp_init = false;
    c.result.snp_init = false;
    c.result.own_memory = own_memory_of(c.m, c.s);
    return firmware_status::success;
}

firmware_status snp_platform_status(firmware_call &c)
{
    std::array<std::byte, status_bytes> raw{};
    const auto put = [&raw](std::size_t offset, auto v) {
        std::memcpy(raw.data() + offset, &v, sizeof v);
    };
    // RMP initialised, and as hardware with aliased memory would not get this far, alias check done
    const std::uint8_t rmp_flags = (c.s.rmp_init ? 1 : 0) | 2;
    put(0, api_major);
    put(1, api_minor);
    put(2, static_cast<std::uint8_t>(c.s.snp_init ? 1 : 0));
    put(3, rmp_flags);
    put(4, std::uint32_t{api_build});
    put(8, feature_info_flag | (c.s.mask_chip_id ? 1u : 0) | (c.s.mask_chip_key ? 2u : 0) |
               (c.s.vlek_loaded ? 4u : 0));
    put(12, static_cast<std::uint32_t>(c.s.guests.size()));
    put(16, c.s.current_tcb);
    put(24, c.s.reported_tcb);
    return write_status(c, c.get_address(0), raw);
}

firmware_status snp_df_flush(firmware_call &c)
{
    return c.s.snp_init ? flush_asids(c) : firmware_status::invalid_platform_state;
}

/// A reported version of 0 goes back to the current one; no component may claim more than it is.
firmware_status snp_config(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    const auto wanted = c.get<std::uint64_t>(0);
    const auto masks = c.get<std::uint32_t>(8);
    if ((masks & ~3u) != 0 || !c.is_zero(12, 52)) {
        return firmware_status::invalid_param;
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((wanted >> shift & 0xff) > (c.s.current_tcb >> shift & 0xff)) {
            return firmware_status::invalid_param;
        }
    }
    c.s.reported_tcb = wanted == 0 ? c.s.current_tcb : wanted;
    c.s.mask_chip_id = (masks & 1) != 0;
    c.s.mask_chip_key = (masks & 2) != 0;
    return firmware_status::success;
}

/// There is only one firmware, so it is always the committed one.
firmware_status snp_commit(firmware_call &c)
{
    if (!c.s.snp_init) {
        return firmware_status::invalid_platform_state;
    }
    return c.get<std::uint32_t>(0) == c.buffer.size() ? firmware_status::success
                                                      : firmware_status::invalid_length;
}

/// CPUID-like leaf 0 (8000_0024): EAX, EBX, ECX, EDX. X86 shutdown is the only optional feature.
firmware_status snp_feature_info(firmware_call &c)
{
    if (c.get<std::uint32_t>(0) != c.buffer.size()) {
        return firmware_status::invalid_length;
    }
    if (c.get<std::uint32_t>(4) != 0) {
        return firmware_status::invalid_param;
    }
    const spa_t out = c.get_address(8);
    if (align_down(out, page_4k) != align_down(out + feature_info_bytes - 1, page_4k)) {
        return firmware_status::invalid_address;
    }
    const firmware_status status = check_output(c, out, feature_info_bytes, false);
    if (status != firmware_status::success) {
        return status;
    }
    const std::array<std::uint32_t, 4> features{0, 0, offers_x86_shutdown(c) ? ecx_x86_shutdown : 0,
                                                0};
    static_assert(sizeof features == feature_info_bytes);
    c.m.memory().write(out, features.data(), sizeof features);
    return firmware_status::success;
}

} // namespace rmpopt::hw
