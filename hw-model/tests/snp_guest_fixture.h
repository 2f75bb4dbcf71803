// SPDX-License-Identifier: GPL-2.0-or-later
// A platform on which guests can be launched, and the commands for it with their fields in place.
#pragma once

#include "firmware_fixture.h"
#include "hw-model/firmware/common/pages.h"

namespace rmpopt::hw
{

class snp_guest_fixture : public firmware_fixture
{
  protected:
    static constexpr spa_t context = 0x20000, other_context = 0x21000;
    static constexpr spa_t page = 0x100000, other_page = 0x101000, page_2mb = 16 * mb;
    static constexpr std::uint64_t gpa = 0x100000;
    static constexpr std::uint32_t asid = 5;
    static constexpr std::uint64_t policy = 0x30000, debug_policy = policy | 1u << 19;
    enum type : std::uint32_t { normal = 1, vmsa, zero, unmeasured, secrets, cpuid };

    void SetUp() override
    {
        firmware_fixture::SetUp();
        enable_snp();
        ASSERT_EQ(initialise(), firmware_status::success);
        ASSERT_EQ(status_of(firmware_command::snp_df_flush), firmware_status::success);
    }

    virtual firmware_status initialise() { return status_of(firmware_command::snp_init); }

    firmware_status create(spa_t at) { return run_with(firmware_command::snp_gctx_create, at); }
    firmware_status start(spa_t at, std::uint64_t with_policy = policy, std::uint32_t flags = 0,
                          spa_t agent = 0)
    {
        return run_with(firmware_command::snp_launch_start, at, with_policy, agent, flags, 0u,
                        std::array<std::uint64_t, 2>{0x1111, 0x2222});
    }
    firmware_status activate(spa_t at, std::uint32_t with_asid = asid)
    {
        return run_with(firmware_command::snp_activate, at, with_asid);
    }
    firmware_status update(type t, spa_t at, std::uint32_t more_flags = 0, std::uint32_t vmpls = 0,
                           spa_t of = context)
    {
        return run_with(firmware_command::snp_launch_update, of, t << 1 | more_flags, 0u, at, vmpls,
                        0u);
    }
    firmware_status finish(spa_t at, std::uint64_t flags = 0, spa_t block = 0, spa_t auth = 0)
    {
        return run_with(firmware_command::snp_launch_finish, at, block, auth, flags,
                        std::array<std::uint64_t, 4>{});
    }
    firmware_status decommission(spa_t at)
    {
        return run_with(firmware_command::snp_decommission, at);
    }

    void make_context(spa_t at = context)
    {
        make_firmware(at);
        ASSERT_EQ(create(at), firmware_status::success);
    }
    /// A guest that pages can be added to.
    void launch(spa_t at = context, std::uint32_t with_asid = asid,
                std::uint64_t with_policy = policy, std::uint32_t flags = 0)
    {
        make_context(at);
        ASSERT_EQ(start(at, with_policy, flags), firmware_status::success);
        ASSERT_EQ(activate(at, with_asid), firmware_status::success);
    }
    /// What the hypervisor does to a page before SNP_LAUNCH_UPDATE.
    void pre_guest(spa_t at, std::uint64_t to_gpa = gpa, std::uint32_t of = asid,
                   bool size_2m = false)
    {
        rmp_record r;
        r.assigned = r.immutable = true;
        r.asid = of;
        r.gpa = to_gpa;
        r.size_2m = size_2m;
        rmp_changes ignored;
        ASSERT_EQ(rmpupdate(*m, at, r, ignored), rmp_status::success);
    }
    void fill(spa_t at, std::uint8_t value, std::uint64_t bytes = page_4k)
    {
        std::memset(m->memory().at(at, bytes), value, bytes);
    }
    bool is_filled(spa_t at, std::uint8_t value) const
    {
        const std::byte *p = m->memory().at(at, page_4k);
        return std::all_of(p, p + page_4k, [value](std::byte b) { return b == std::byte{value}; });
    }
    using page_content = std::array<std::byte, page_4k>;
    page_content content(spa_t at) const
    {
        page_content c;
        m->memory().read(at, c.data(), c.size());
        return c;
    }
    /// The same bits as the guest that owns the page sees them, or as all others do.
    page_content guests_view(spa_t at) const
    {
        page_content c = content(at);
        if (const rmp_entry e = m->rmp().governing(at); !e.validated) {
            m->recode(e.asid, at, c);
        }
        return c;
    }
    page_content others_view(spa_t at) const
    {
        page_content c = content(at);
        if (const rmp_entry e = m->rmp().governing(at); e.validated) {
            m->recode(e.asid, at, c);
        }
        return c;
    }
    const snp_guest &guest() const { return guests().at(context); }
    std::string digest() const
    {
        std::string s;
        for (const std::byte b : guest().launch_digest) {
            constexpr std::string_view digits = "0123456789abcdef";
            s += digits[static_cast<unsigned>(b) >> 4];
            s += digits[static_cast<unsigned>(b) & 0xf];
        }
        return s;
    }
};

} // namespace rmpopt::hw
