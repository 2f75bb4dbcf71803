// SPDX-License-Identifier: GPL-2.0-or-later
// SNP platform commands: initialisation with its checks, shutdown, status, configuration.
#include "hw-model/firmware/snp/snp.h"
#include "hw-model/machine/msr.h"

#include <algorithm>
#include <bit>

namespace rmpopt::hw
{

namespace
{

constexpr std::size_t max_list_elements =
    (page_4k - sizeof(range_list_header)) / sizeof(range_list_element);

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
    return std::ranges::all_of(m.cores(), [&first = m.core(0)](const core_state &core) {
        return core.rmp_base == first.rmp_base && core.rmp_end == first.rmp_end &&
               core.rmp_cfg == first.rmp_cfg;
    });
}

bool rmp_bounds_are_aligned(const machine &m)
{
    const rmp_config &config = m.rmp().config();
    return is_aligned(config.base, rmp_alignment) &&
           (config.layout != rmp_layout::contiguous || is_aligned(config.end + 1, rmp_alignment));
}

firmware_status check_platform(const machine &m)
{
    return in_order(
        must(cpus_are_prepared(m), invalid_config), must(cores_agree_on_rmp(m), hardware_platform),
        must(!unequal_memory_msr(m).has_value(), invalid_config), // AMD 56860, AMDSEV issue 107
        must(m.iommu().enabled, invalid_config),                  // AMD, 2025-02
        must(rmp_bounds_are_aligned(m), invalid_config), must(rmp_is_usable(m), rmp_init_failed));
}

/// Hardware with aliased memory would not get this far.
void begin_snp(firmware_call &c)
{
    c.s.snp_init = true;
    c.s.rmp_init = true;
    c.s.alias_check_complete = true;
    // ASIDs of a life before this one may still tag cache lines and data fabric entries.
    c.s.asids.require_flush_of_all();
    require_wbinvd(c);
    c.m.firmware_initialised();
    c.result.snp_init = true;
    c.result.own_memory = own_memory_of(c.m, c.s);
}

/// Common part of SNP_INIT and SNP_INIT_EX.
firmware_status initialise(firmware_call &c, bool init_rmp, std::vector<spa_range> fixed)
{
    return in_order(
        [&] { return check_platform(c.m); }, must(init_rmp || c.s.rmp_init, rmp_init_required),
        [&] {
            if (init_rmp) {
                c.s.iommu_pages = rebuild_rmp(c.m, std::move(fixed), c.result.rmp_changes);
            }
            begin_snp(c);
        });
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

void end_snp(firmware_call &c, std::uint32_t flags)
{
    if ((flags & snp_shutdown_ex_buffer::iommu_snp_shutdown) != 0) {
        release_iommu_pages(c);
    }
    forget_guests(c);
    c.s.vlek_loaded = false;
    c.s.rapl_disabled = false;
    c.s.max_snp_asid = 0;
    if ((flags & snp_shutdown_ex_buffer::x86_snp_shutdown) != 0) {
        shut_down_x86(c);
    }
    c.s.snp_init = false;
    c.result.snp_init = false;
    c.result.own_memory = own_memory_of(c.m, c.s);
}

/// An answer that lies in one page, which may be the hypervisor's or firmware's.
firmware_status check_answer(const firmware_call &c, spa_t out, std::uint64_t bytes)
{
    return in_order(must(!crosses_page(out, bytes), invalid_address),
                    [&] { return check_output(c, out, bytes, false); });
}

} // namespace

firmware_status read_range_list(const firmware_call &c, spa_t list, std::vector<spa_range> &out)
{
    struct {
        range_list_header header;
        std::array<range_list_element, max_list_elements> elements;
    } page; // a copy, which cannot change between check and use
    static_assert(sizeof page <= page_4k);
    if (!is_aligned(list, page_4k) || !c.m.memory().read(list, &page, sizeof page)) {
        return invalid_address;
    }
    if (page.header.num_elements > max_list_elements) {
        return invalid_param;
    }
    for (std::uint32_t i = 0; i < page.header.num_elements; ++i) {
        const range_list_element &e = page.elements.at(i);
        if (!is_aligned(e.base, page_4k) || e.base >= c_bit) {
            return invalid_address;
        }
        out.push_back({e.base, e.page_count * page_4k});
    }
    return success;
}

/// AMD 56860, TCB_VERSION. Family 1Ah has FMC, boot loader, TEE and SNP in bytes 0 to 3; family 19h
/// has boot loader and TEE in bytes 0 and 1 and SNP in byte 6. Byte 7 is the microcode on all. The
/// numbers are the model's.
std::uint64_t firmware_tcb(const cpu_model &cpu)
{
    constexpr std::uint64_t boot_loader = 9, tee = 1, fmc = 1, microcode = 0x48;
    const std::uint64_t snp = cpu.tcb_snp;
    if (cpu.family >= 0x1a) {
        return fmc | boot_loader << 8 | tee << 16 | snp << 24 | microcode << 56;
    }
    return boot_loader | tee << 8 | snp << 48 | microcode << 56;
}

bool tcb_exceeds(std::uint64_t tcb, std::uint64_t limit)
{
    constexpr std::array components{0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u};
    return std::ranges::any_of(components, [&](unsigned byte) {
        return (tcb >> 8 * byte & 0xff) > (limit >> 8 * byte & 0xff);
    });
}

/// AMD 56860, SNP_INIT: SNP_INIT_EX that initialises the RMP without a list.
firmware_status snp_init(firmware_call &c)
{
    return in_order(must(may_initialise(c), invalid_platform_state),
                    [&] { return initialise(c, true, {}); });
}

/// AMD 56860, SNP_INIT_EX. How an impossible MAX_SNP_ASID is refused is not documented.
firmware_status snp_init_ex(firmware_call &c, const snp_init_ex_buffer &b)
{
    const std::uint32_t optional = b.rapl_dis | b.ciphertext_hiding_en | b.tio_en;
    const std::uint32_t known = b.init_rmp | b.list_paddr_en | optional;
    const std::uint32_t offered = (c.m.cpu().rapl_disable ? b.rapl_dis : 0) |
                                  (c.m.cpu().ciphertext_hiding ? b.ciphertext_hiding_en : 0);
    const bool has_list = (b.flags & b.list_paddr_en) != 0;
    const bool hides = (b.flags & b.ciphertext_hiding_en) != 0;
    const bool some_asids = b.max_snp_asid > 0 && b.max_snp_asid < c.m.cpu().min_sev_asid;
    std::vector<spa_range> fixed;
    return in_order(
        must(may_initialise(c), invalid_platform_state),
        must((b.flags & ~known) == 0 && reserved_zero(b.reserved_04, b.reserved_12), invalid_param),
        must((b.flags & optional & ~offered) == 0, unsupported),
        must(!hides || some_asids, invalid_param),
        [&] { return has_list ? read_range_list(c, b.list_paddr, fixed) : success; },
        [&] { return initialise(c, (b.flags & b.init_rmp) != 0, std::move(fixed)); },
        [&] {
            c.s.rapl_disabled = (b.flags & b.rapl_dis) != 0;
            c.s.max_snp_asid = hides ? b.max_snp_asid : 0;
        });
}

/// AMD 56860, SNP_SHUTDOWN_EX. Without an initialised SNP there is nothing to do, which is no
/// error. No ASID may belong to a guest or want a flush; guests that have no ASID yet end here, and
/// so does the wrapped key of SNP_VLEK_LOAD.
firmware_status snp_shutdown_ex(firmware_call &c, const snp_shutdown_ex_buffer &b)
{
    const std::uint32_t known =
        b.iommu_snp_shutdown | (offers_x86_shutdown(c) ? b.x86_snp_shutdown : 0);
    const bool some_active =
        std::ranges::any_of(c.s.guests, [](const auto &g) { return g.second.active(); });
    const auto shut_down = [&] {
        return in_order(
            must(!c.s.platform_init, invalid_platform_state), must(!some_active, active),
            must(!c.s.asids.any_needs_flush(), df_flush_required), [&] { end_snp(c, b.flags); });
    };
    return in_order(must(b.length == sizeof b, invalid_length),
                    must((b.flags & ~known) == 0, invalid_param),
                    [&] { return c.s.snp_init ? shut_down() : success; });
}

/// AMD 56860, SNP_PLATFORM_STATUS.
firmware_status snp_platform_status(firmware_call &c, const snp_platform_status_buffer &b)
{
    using status = snp_platform_status_structure;
    const auto flag = [](bool set, auto bit) { return set ? bit : decltype(bit){}; };
    const status out{
        .api_major = c.m.cpu().firmware.major,
        .api_minor = c.m.cpu().firmware.minor,
        .state = static_cast<std::uint8_t>(c.s.snp_init ? 1 : 0),
        .rmp_flags =
            static_cast<std::uint8_t>(flag(c.s.rmp_init, status::is_rmp_init) |
                                      flag(c.s.alias_check_complete, status::alias_check_complete)),
        .build_id = c.m.cpu().firmware.build,
        .flags = status::feature_info | flag(c.s.mask_chip_id, status::mask_chip_id) |
                 flag(c.s.mask_chip_key, status::mask_chip_key) |
                 flag(c.s.vlek_loaded, status::vlek_en) |
                 flag(c.s.rapl_disabled, status::rapl_dis) |
                 flag(c.m.cpu().ciphertext_hiding, status::ciphertext_hiding_cap) |
                 flag(c.s.max_snp_asid != 0, status::ciphertext_hiding_en),
        .guest_count = static_cast<std::uint32_t>(c.s.guests.size()),
        .current_tcb_version = c.s.current_tcb,
        .reported_tcb_version = c.s.reported_tcb,
    };
    return write_status(c, b.status_paddr, std::as_bytes(std::span(&out, 1)));
}

firmware_status snp_df_flush(firmware_call &c)
{
    return in_order(must(c.s.snp_init, invalid_platform_state), [&] { return flush_asids(c); });
}

/// AMD 56860, SNP_CONFIG. A reported version of 0 goes back to the current one; no component may
/// claim more than it is.
firmware_status snp_config(firmware_call &c, const snp_config_buffer &b)
{
    return in_order(must(c.s.snp_init, invalid_platform_state),
                    must((b.flags & ~(b.mask_chip_id | b.mask_chip_key)) == 0 &&
                             reserved_zero(b.reserved) &&
                             !tcb_exceeds(b.reported_tcb, c.s.current_tcb),
                         invalid_param),
                    [&] {
                        c.s.reported_tcb = b.reported_tcb == 0 ? c.s.current_tcb : b.reported_tcb;
                        c.s.mask_chip_id = (b.flags & b.mask_chip_id) != 0;
                        c.s.mask_chip_key = (b.flags & b.mask_chip_key) != 0;
                    });
}

/// AMD 56860, SNP_COMMIT. There is only one firmware, so it is always the committed one.
firmware_status snp_commit(firmware_call &c, const snp_commit_buffer &b)
{
    return in_order(must(c.s.snp_init, invalid_platform_state),
                    must(b.length == sizeof b, invalid_length));
}

/// AMD 56860, SNP_FEATURE_INFO.
firmware_status snp_feature_info(firmware_call &c, const snp_feature_info_buffer &b)
{
    const spa_t out = b.feature_info_paddr;
    return in_order(
        must(b.length == sizeof b, invalid_length), must(b.ecx_in == 0, invalid_param),
        [&] { return check_answer(c, out, sizeof(feature_info)); },
        [&] {
            const cpu_model &cpu = c.m.cpu();
            const feature_info features{
                .eax = 0,
                .ebx = 0,
                .ecx = (offers_x86_shutdown(c) ? feature_info::ecx_x86_snp_shutdown : 0) |
                       (cpu.rapl_disable ? feature_info::ecx_rapl_disable : 0) |
                       (cpu.ciphertext_hiding ? feature_info::ecx_ciphertext_hiding : 0) |
                       (cpu.mitigations != 0 ? feature_info::ecx_verify_mitigation : 0),
                .edx = 0};
            c.m.memory().store(out, features);
        });
}

/// Linux 7.3, ccp driver. One mitigation is verified at a time, and once verified it stays so until
/// a reset; a mitigation that firmware does not know cannot be verified. No mitigation takes input,
/// so a source is ignored.
firmware_status snp_verify_mitigation(firmware_call &c, const snp_verify_mitigation_buffer &b)
{
    using buffer = snp_verify_mitigation_buffer;
    constexpr std::uint32_t not_known = 1;
    const std::uint64_t supported = c.m.cpu().mitigations;
    const bool verifies = b.subcommand == buffer::verify;
    const bool answers = (b.flags & buffer::dst_paddr_en) != 0;
    const spa_t out = b.dst_paddr;
    return in_order(
        must(supported != 0, invalid_command), must(b.length == sizeof b, invalid_length),
        must((verifies || b.subcommand == buffer::status) &&
                 (b.flags & ~(buffer::dst_paddr_en | buffer::src_paddr_en)) == 0 &&
                 reserved_zero(b.reserved_06, b.reserved_14, b.reserved_28) &&
                 (!verifies || std::has_single_bit(b.vector)),
             invalid_param),
        [&] { return answers ? check_answer(c, out, sizeof(mitigation_result)) : success; },
        [&] {
            c.s.mitigations_verified |= verifies ? b.vector & supported : 0;
            const mitigation_result result{
                .mit_verified_vector = c.s.mitigations_verified,
                .mit_supported_vector = supported,
                .mit_failure_status = verifies && (b.vector & supported) == 0 ? not_known : 0};
            if (answers) {
                c.m.memory().store(out, result);
            }
        });
}

} // namespace rmpopt::hw
