// SPDX-License-Identifier: GPL-2.0-or-later
// A guest whose memory is one region of 2 MB, with its own tables in its first pages.
#include "hw-model/guest/nested_walk.h"

#include "hw-model/base/x86_bits.h"
#include "machine_fixture.h"

#include <map>

namespace rmpopt::hw
{

inline void PrintTo(const guest_translation &t, std::ostream *os)
{
    *os << "outcome " << static_cast<unsigned>(t.kind) << std::hex << " gpa " << t.gpa << " spa "
        << t.spa << " #PF " << t.error_code << " EXITINFO1 " << t.info1;
}

namespace
{

using outcome = guest_translation::outcome;
using kind = rmp_access_kind;

constexpr std::uint64_t rw = pte_present | pte_write | pte_user;
constexpr std::uint64_t nested_p = pf_present, nested_w = pf_write, nested_u = pf_user,
                        nested_rsv = pf_reserved, nested_id = pf_fetch;
constexpr std::uint64_t final_private = rmp_error::final_access | rmp_error::encrypted,
                        walk_private = rmp_error::page_walk | rmp_error::encrypted;

class nested_walk_test : public machine_fixture
{
  protected:
    static constexpr std::uint32_t asid = 7;
    static constexpr spa_t guest = low_2m;         ///< where guest physical 0 is
    static constexpr std::uint64_t root = 0x1000;  ///< the guest's tables follow it
    static constexpr std::uint64_t page = 0x10000; ///< guest physical
    static constexpr std::uint64_t va = 0x7f1234567000;

    void SetUp() override
    {
        build();
        enable_snp();
        nested_next_ = nested_tables_ + page_4k;
        for (std::uint64_t gpa = 0; gpa < page_2m; gpa += page_4k) {
            map_nested(gpa, guest + gpa);
            accept(gpa);
        }
        tables = {.cr0 = cr0_pe | cr0_pg | cr0_wp,
                  .cr3 = root,
                  .cr4 = cr4_pae,
                  .efer = efer_lme | efer_lma | efer_nxe,
                  .nested_cr3 = nested_tables_};
        who = {.snp = true, .asid = asid};
        map(va, page | c_bit);
    }

    void accept(std::uint64_t gpa)
    {
        rmp_entry e;
        e.assigned = e.validated = true;
        e.asid = asid;
        e.gpa = gpa;
        e.vmpl.fill(vmpl_perm::all);
        m->rmp().store(guest + gpa, e);
    }
    rmp_entry entry_of(std::uint64_t gpa) const { return m->rmp().load(guest + gpa); }

    spa_t nested_entry(std::uint64_t gpa, unsigned level = 0)
    {
        spa_t table = nested_tables_;
        for (unsigned l = 3; l > level; --l) {
            const spa_t at = table + 8 * (gpa >> (12 + 9 * l) & 511);
            if (load(at) == 0) {
                m->memory().store(at, nested_next_ | rw);
                nested_next_ += page_4k;
            }
            table = load(at) & pte_address;
        }
        return table + 8 * (gpa >> (12 + 9 * level) & 511);
    }
    void map_nested(std::uint64_t gpa, spa_t spa, std::uint64_t flags = rw)
    {
        m->memory().store(nested_entry(gpa), spa | flags);
    }

    /// In the guest's tables of `levels` levels: System address of the entry for `address`.
    spa_t entry(std::uint64_t address, unsigned level = 0, unsigned levels = 4)
    {
        std::uint64_t table = root;
        for (unsigned l = levels - 1; l > level; --l) {
            const spa_t at = guest + table + 8 * (address >> (12 + 9 * l) & 511);
            if (load(at) == 0) {
                m->memory().store(at, next_ | rw | c_bit);
                next_ += page_4k;
            }
            table = load(at) & pte_address;
        }
        return guest + table + 8 * (address >> (12 + 9 * level) & 511);
    }
    void map(std::uint64_t address, std::uint64_t value, std::uint64_t flags = rw)
    {
        m->memory().store(entry(address), value | flags);
    }
    std::uint64_t load(spa_t spa) const { return *m->memory().load<std::uint64_t>(spa); }

    guest_translation look(kind k = kind::read, std::uint64_t address = va, bool user = false,
                           bool smap = false)
    {
        return translate_guest(*m, tables, who,
                               {.address = address, .kind = k, .user = user, .smap = smap});
    }
    void expect_page_fault(std::uint32_t code, const guest_translation &t)
    {
        EXPECT_EQ(t.kind, outcome::page_fault) << testing::PrintToString(t);
        EXPECT_EQ(t.error_code, code) << testing::PrintToString(t);
    }
    void expect_nested_fault(std::uint64_t info1, std::uint64_t gpa, const guest_translation &t)
    {
        EXPECT_EQ(t.kind, outcome::nested_page_fault) << testing::PrintToString(t);
        EXPECT_EQ(t.info1, info1) << testing::PrintToString(t);
        EXPECT_EQ(t.gpa, gpa) << testing::PrintToString(t);
    }

    guest_tables tables;
    guest_identity who;

  private:
    static constexpr spa_t nested_tables_ = 128 * mb;
    spa_t nested_next_ = 0;
    std::uint64_t next_ = root + page_4k;
};

} // namespace

TEST_F(nested_walk_test, a_read_marks_what_it_walks_through_as_accessed)
{
    const auto t = look(kind::read, va + 0x123);
    EXPECT_EQ(t.kind, outcome::mapped) << testing::PrintToString(t);
    EXPECT_EQ(t.gpa, page + 0x123);
    EXPECT_EQ(t.spa, guest + page + 0x123);
    EXPECT_EQ(t.page_bytes, page_4k);
    EXPECT_TRUE(t.encrypted);
    EXPECT_TRUE(t.executable);
    EXPECT_FALSE(t.writable) << "the dirty bit is missing";
    for (unsigned level = 0; level < 4; ++level) {
        EXPECT_EQ(load(entry(va, level)) & (pte_accessed | pte_dirty), pte_accessed) << level;
        EXPECT_EQ(load(nested_entry(page, level)) & pte_accessed, pte_accessed) << level;
    }
    EXPECT_EQ(load(nested_entry(page)) & pte_dirty, 0u);
    EXPECT_EQ(load(nested_entry(root)) & pte_dirty, pte_dirty) << "tables count as written";
}

TEST_F(nested_walk_test, a_write_marks_its_page_as_dirty)
{
    EXPECT_TRUE(look(kind::write).writable);
    EXPECT_EQ(load(entry(va)) & pte_dirty, pte_dirty);
    EXPECT_EQ(load(entry(va, 1)) & pte_dirty, 0u);
    EXPECT_EQ(load(nested_entry(page)) & pte_dirty, pte_dirty);
    EXPECT_TRUE(look().writable) << "from now on reads are enough";
    m->memory().store(nested_entry(page), load(nested_entry(page)) & ~pte_dirty);
    EXPECT_FALSE(look().writable);
    EXPECT_TRUE(look(kind::write).writable);
    EXPECT_FALSE(look(kind::fetch).kind != outcome::mapped);
    m->memory().store(entry(va), load(entry(va)) & ~pte_dirty);
    EXPECT_FALSE(look().writable) << "the guest's own bit counts, too";
}

TEST_F(nested_walk_test, the_upper_half)
{
    constexpr std::uint64_t high = 0xffff'8765'4321'0000;
    map(high, page | c_bit);
    EXPECT_EQ(look(kind::read, high + 5).gpa, page + 5);
}

TEST_F(nested_walk_test, bits_that_are_set_are_not_written_again)
{
    look(kind::write);
    for (unsigned level = 0; level < 4; ++level) { // VMPL 1 may read the tables only
        rmp_entry e = entry_of(align_down(entry(va, level), page_4k) - guest);
        e.vmpl[1] = vmpl_perm::read;
        m->rmp().store(align_down(entry(va, level), page_4k), e);
    }
    who.vmpl = 1;
    EXPECT_EQ(look(kind::write).kind, outcome::mapped);
    m->memory().store(entry(va), load(entry(va)) & ~pte_accessed);
    const std::uint64_t gpa = entry(va) - guest;
    expect_nested_fault(nested_p | nested_w | nested_u | walk_private | rmp_error::rmp |
                            rmp_error::vmpl,
                        gpa, look());
    EXPECT_EQ(load(entry(va)) & pte_accessed, 0u);
}

TEST_F(nested_walk_test, an_address_that_is_not_canonical)
{
    EXPECT_EQ(look(kind::read, 0x800000000000).kind, outcome::general_protection);
    EXPECT_EQ(look(kind::read, 0x1000000000000).kind, outcome::general_protection);
    expect_page_fault(0, look(kind::read, 0x7fffffffffff));
    expect_page_fault(0, look(kind::read, 0xffff800000000000));
}

TEST_F(nested_walk_test, page_faults_have_the_bits_of_the_access)
{
    m->memory().store(entry(va), std::uint64_t{0});
    expect_page_fault(0, look());
    expect_page_fault(pf_write, look(kind::write));
    expect_page_fault(pf_user, look(kind::read, va, true));
    expect_page_fault(pf_fetch, look(kind::fetch));
    tables.efer &= ~efer_nxe;
    expect_page_fault(0, look(kind::fetch));
    tables.cr4 |= cr4_smep;
    expect_page_fault(pf_fetch, look(kind::fetch));
}

TEST_F(nested_walk_test, permissions_of_the_guests_tables)
{
    struct row {
        const char *what;
        std::uint64_t flags;
        kind access;
        bool user, smap;
        std::uint64_t cr0, cr4;
        std::optional<std::uint32_t> fault;
    };
    constexpr std::uint64_t p = pte_present, w = pte_write, u = pte_user, nx = pte_no_execute;
    constexpr std::uint64_t wp = cr0_pe | cr0_pg | cr0_wp, no_wp = cr0_pe | cr0_pg;
    const row rows[]{
        {"kernel writes read-only", p | u, kind::write, false, false, wp, 0, 3},
        {"kernel writes read-only, no WP", p | u, kind::write, false, false, no_wp, 0, {}},
        {"user writes read-only, no WP", p | u, kind::write, true, false, no_wp, 0, 7},
        {"user reads the kernel's", p | w, kind::read, true, false, wp, 0, 5},
        {"user writes the kernel's", p | w, kind::write, true, false, wp, 0, 7},
        {"kernel fetches no-execute", p | u | nx, kind::fetch, false, false, wp, 0, 0x11},
        {"user fetches no-execute", p | u | nx, kind::fetch, true, false, wp, 0, 0x15},
        {"user reads no-execute", p | u | nx, kind::read, true, false, wp, 0, {}},
        {"kernel fetches the user's", p | u, kind::fetch, false, false, wp, 0, {}},
        {"... with SMEP", p | u, kind::fetch, false, false, wp, cr4_smep, 0x11},
        {"user fetches its own with SMEP", p | u, kind::fetch, true, false, wp, cr4_smep, {}},
        {"kernel reads the user's with SMAP", p | u, kind::read, false, true, wp, 0, 1},
        {"kernel reads its own with SMAP", p, kind::read, false, true, wp, 0, {}},
        {"kernel fetches the user's with SMAP", p | u, kind::fetch, false, true, wp, 0, {}},
    };
    for (const row &r : rows) {
        map(va, page | c_bit, r.flags);
        tables.cr0 = r.cr0;
        tables.cr4 = cr4_pae | r.cr4;
        const auto t = look(r.access, va, r.user, r.smap);
        EXPECT_EQ(t.kind, r.fault.has_value() ? outcome::page_fault : outcome::mapped) << r.what;
        EXPECT_EQ(t.error_code, r.fault.value_or(0)) << r.what;
    }
}

TEST_F(nested_walk_test, protection_keys_lock_user_pages)
{
    struct row {
        const char *what;
        std::uint32_t rights; ///< of key 5
        std::uint64_t flags;
        kind access;
        bool user;
        std::uint64_t cr0, cr4;
        std::optional<std::uint32_t> fault;
    };
    constexpr std::uint64_t u = rw, kernels = pte_present | pte_write, read_only = rw & ~pte_write;
    constexpr std::uint64_t wp = cr0_pe | cr0_pg | cr0_wp, no_wp = cr0_pe | cr0_pg;
    constexpr std::uint32_t ad = 1, wd = 2;
    const row rows[]{
        {"no access", ad, u, kind::read, true, wp, cr4_pke, 0x25},
        {"no access for the kernel either", ad, u, kind::read, false, wp, cr4_pke, 0x21},
        {"no access, no write", ad, u, kind::write, false, no_wp, cr4_pke, 0x23},
        {"keys are off", ad, u, kind::read, true, wp, 0, {}},
        {"fetches need no key", ad, u, kind::fetch, true, wp, cr4_pke, {}},
        {"nor do the kernel's pages", ad, kernels, kind::read, false, wp, cr4_pke, {}},
        {"no write", wd, u, kind::write, true, wp, cr4_pke, 0x27},
        {"but reads", wd, u, kind::read, true, wp, cr4_pke, {}},
        {"no write for the kernel", wd, u, kind::write, false, wp, cr4_pke, 0x23},
        {"unless it ignores write protection", wd, u, kind::write, false, no_wp, cr4_pke, {}},
        {"which users cannot", wd, u, kind::write, true, no_wp, cr4_pke, 0x27},
        {"read-only without a lock", 0, read_only, kind::write, true, wp, cr4_pke, 7},
        {"read-only and locked", wd, read_only, kind::write, true, wp, cr4_pke, 0x27},
    };
    for (const row &r : rows) {
        map(va, page | c_bit | 5ull << pte_key_shift, r.flags);
        tables.cr0 = r.cr0;
        tables.cr4 = cr4_pae | r.cr4;
        tables.pkru = r.rights << 10;
        const auto t = look(r.access, va, r.user);
        EXPECT_EQ(t.kind, r.fault.has_value() ? outcome::page_fault : outcome::mapped) << r.what;
        EXPECT_EQ(t.error_code, r.fault.value_or(0)) << r.what;
        tables.pkru = ~(3u << 10);
        EXPECT_FALSE(look(r.access, va, r.user).error_code & pf_key) << "other keys, " << r.what;
    }
}

TEST_F(nested_walk_test, a_translation_for_reads_does_not_unlock_writes)
{
    tables.cr4 |= cr4_pke;
    map(va, page | c_bit | pte_dirty | 15ull << pte_key_shift);
    m->memory().store(nested_entry(page), load(nested_entry(page)) | pte_dirty);
    EXPECT_TRUE(look(kind::read, va, true).writable);
    tables.pkru = 2u << 30;
    EXPECT_FALSE(look(kind::read, va, true).writable);
    EXPECT_TRUE(look(kind::fetch, va, true).readable);
    tables.pkru = 1u << 30;
    EXPECT_EQ(look(kind::fetch, va, true).kind, outcome::mapped);
    EXPECT_FALSE(look(kind::fetch, va, true).readable);
    tables.efer &= ~efer_lma;
    EXPECT_EQ(look(kind::read, 0x1000).error_code & pf_key, 0u) << "only in long mode";
}

TEST_F(nested_walk_test, permissions_count_in_each_table)
{
    m->memory().store(entry(va, 2), load(entry(va, 2)) & ~pte_write);
    expect_page_fault(3, look(kind::write));
    EXPECT_EQ(look().kind, outcome::mapped);
    m->memory().store(entry(va, 3), load(entry(va, 3)) & ~pte_user);
    expect_page_fault(5, look(kind::read, va, true));
    m->memory().store(entry(va, 1), load(entry(va, 1)) | pte_no_execute);
    expect_page_fault(0x11, look(kind::fetch));
    EXPECT_FALSE(look().executable);
}

TEST_F(nested_walk_test, reserved_bits)
{
    map(va, page | c_bit | 1ull << 48);
    expect_page_fault(pf_present | pf_reserved, look());
    map(va, page | c_bit | 1ull << 47);
    EXPECT_EQ(look().kind, outcome::nested_page_fault) << "an address like any other";
    map(va, page | c_bit | 1ull << 52);
    EXPECT_EQ(look().kind, outcome::mapped) << "software's own bit";
    map(va, page | c_bit | pte_no_execute);
    EXPECT_EQ(look().kind, outcome::mapped);
    tables.efer &= ~efer_nxe;
    expect_page_fault(pf_present | pf_reserved, look());
    map(va, page | c_bit);
    m->memory().store(entry(va, 3), load(entry(va, 3)) | pte_large);
    expect_page_fault(pf_present | pf_reserved, look());
}

TEST_F(nested_walk_test, large_pages)
{
    m->memory().store(entry(va, 1), c_bit | pte_large | rw); // guest physical 0 to 2 MB
    const std::uint64_t in_page = va & (page_2m - 1);
    auto t = look();
    EXPECT_EQ(t.kind, outcome::mapped) << testing::PrintToString(t);
    EXPECT_EQ(t.gpa, in_page);
    EXPECT_EQ(t.page_bytes, page_2m);
    m->memory().store(entry(va, 1), c_bit | pte_large | rw | 0x2000);
    expect_page_fault(pf_present | pf_reserved, look());
    m->memory().store(entry(va, 1), c_bit | pte_large | rw | 0x1000); // PAT
    EXPECT_EQ(look().gpa, in_page);
    m->memory().store(entry(va, 2), c_bit | pte_large | rw); // 1 GB
    t = look(kind::read, align_down(va, region_1g) + 0x5432);
    EXPECT_EQ(t.gpa, 0x5432u);
    EXPECT_EQ(t.page_bytes, region_1g);
}

TEST_F(nested_walk_test, five_levels)
{
    constexpr std::uint64_t far = 0x23456789abc000;
    tables.cr4 |= cr4_la57;
    m->memory().store(entry(far, 0, 5), page | c_bit | rw);
    EXPECT_EQ(look(kind::read, far).gpa, page);
    EXPECT_EQ(look(kind::read, 1ull << 56).kind, outcome::general_protection);
}

TEST_F(nested_walk_test, five_nested_levels)
{
    const spa_t top = 200 * mb;
    m->memory().store(top, tables.nested_cr3 | rw);
    tables.nested_cr3 = top;
    tables.host_cr4 = cr4_la57;
    EXPECT_EQ(look().spa, guest + page);
}

TEST_F(nested_walk_test, legacy_modes)
{
    constexpr std::uint64_t address = 0xc0403123;
    tables.efer = efer_nxe;
    tables.cr3 = 0x20020; // aligned to 32 bytes
    m->memory().store(guest + 0x20020 + 3 * 8, std::uint64_t{0x21000} | pte_present);
    m->memory().store(guest + 0x21000 + 2 * 8, std::uint64_t{0x22000} | rw);
    m->memory().store(guest + 0x22000 + 3 * 8, page | c_bit | rw);
    auto t = look(kind::write, address);
    EXPECT_EQ(t.gpa, page + 0x123) << testing::PrintToString(t);
    EXPECT_TRUE(t.encrypted);
    EXPECT_EQ(load(guest + 0x20020 + 3 * 8), 0x21001u) << "has no accessed bit";
    m->memory().store(guest + 0x22000 + 3 * 8, page | rw);
    EXPECT_FALSE(look(kind::read, 0).encrypted);

    tables.cr4 = 0;
    tables.cr3 = 0x23fff; // the low bits are no part of the address
    m->memory().store(guest + 0x23000 + 4 * (address >> 22), std::uint32_t{0x24000 | rw});
    m->memory().store(guest + 0x24000 + 4 * 3, std::uint32_t{page | rw});
    t = look(kind::write, address);
    EXPECT_EQ(t.gpa, page + 0x123) << testing::PrintToString(t);
    EXPECT_TRUE(t.encrypted) << "there is no bit to say otherwise";
    EXPECT_EQ(*m->memory().load<std::uint32_t>(guest + 0x24000 + 4 * 3), page | rw | 0x60);

    const auto set_top = [&](std::uint64_t value) {
        m->memory().store(guest + 0x23000 + 4 * (address >> 22), static_cast<std::uint32_t>(value));
    };
    m->memory().store(guest + 0x24000 + 4 * 3, std::uint32_t{page | rw | 1u << 21});
    EXPECT_EQ(look(kind::read, address).gpa, (page | 1u << 21) + 0x123) << "a bit of the address";
    m->memory().store(guest + 0x24000 + 4 * 3, std::uint32_t{page | rw});
    set_top(0x24000 | rw | pte_large);
    EXPECT_EQ(look(kind::read, address).gpa, page + 0x123) << "without PSE, nothing is large";

    tables.cr4 = cr4_pse;
    set_top(rw | pte_large);
    t = look(kind::read, address);
    EXPECT_EQ(t.page_bytes, 4 * mb);
    EXPECT_EQ(t.gpa, address & (4 * mb - 1));
    set_top(rw | pte_large | 1u << 21);
    expect_page_fault(pf_present | pf_reserved, look(kind::read, address));
    set_top(rw | pte_large | 0xc0400000 | 0xa5u << 13);
    EXPECT_EQ(look(kind::read, address).gpa, 0xa5'c0400000 + (address & (4 * mb - 1)))
        << "bits 39 to 32 of the address are in bits 20 to 13";
}

TEST_F(nested_walk_test, without_paging_all_is_private)
{
    tables.cr0 = cr0_pe;
    const auto t = look(kind::write, page + 5);
    EXPECT_EQ(t.spa, guest + page + 5);
    EXPECT_TRUE(t.encrypted && t.writable && t.executable);
    EXPECT_EQ(t.page_bytes, page_4k);
}

TEST_F(nested_walk_test, nested_faults_of_the_page)
{
    map_nested(page, 0, 0);
    expect_nested_fault(nested_u | final_private, page + 7, look(kind::read, va + 7));
    expect_nested_fault(nested_u | nested_w | final_private, page, look(kind::write));
    expect_nested_fault(nested_u | nested_id | final_private, page, look(kind::fetch));
    map_nested(page, guest + page, pte_present | pte_user);
    EXPECT_EQ(look().kind, outcome::mapped);
    EXPECT_FALSE(look().writable);
    expect_nested_fault(nested_p | nested_u | nested_w | final_private, page, look(kind::write));
    map_nested(page, guest + page, pte_present | pte_write);
    expect_nested_fault(nested_p | nested_u | final_private, page, look());
    map_nested(page, guest + page, rw | pte_no_execute);
    expect_nested_fault(nested_p | nested_u | nested_id | final_private, page, look(kind::fetch));
    EXPECT_FALSE(look().executable);
    map_nested(page, guest + page, rw | 1ull << 50);
    expect_nested_fault(nested_p | nested_u | nested_rsv | final_private, page, look());
}

TEST_F(nested_walk_test, what_is_not_there_comes_before_what_is_forbidden)
{
    constexpr std::uint64_t written = nested_u | nested_w | final_private;
    map(va, page_2m | c_bit); // with nested tables of its own
    map_nested(page_2m, guest + page, 0);
    const spa_t upper = nested_entry(page_2m, 1);
    m->memory().store(upper, load(upper) & ~pte_write);
    expect_nested_fault(written, page_2m, look(kind::write));
    map_nested(page_2m, guest + page, rw | 1ull << 50);
    expect_nested_fault(written | nested_p | nested_rsv, page_2m, look(kind::write));
    map_nested(page_2m, guest + page);
    expect_nested_fault(written | nested_p, page_2m, look(kind::write));
}

TEST_F(nested_walk_test, nested_faults_of_a_table)
{
    const std::uint64_t at = entry(va) - guest;
    map_nested(align_down(at, page_4k), 0, 0);
    expect_nested_fault(nested_u | nested_w | walk_private, at, look());
    expect_nested_fault(nested_u | nested_w | walk_private, at, look(kind::fetch));
    map_nested(align_down(at, page_4k), align_down(entry(va), page_4k), pte_present | pte_user);
    expect_nested_fault(nested_p | nested_u | nested_w | walk_private, at, look());
    map_nested(root, guest + root, 0);
    expect_nested_fault(nested_u | nested_w | walk_private, root + 8 * (va >> 39), look());
}

TEST_F(nested_walk_test, nested_tables_outside_ram)
{
    tables.nested_cr3 = hole;
    expect_nested_fault(nested_u | nested_w | walk_private, root + 8 * (va >> 39), look());
}

TEST_F(nested_walk_test, rmp_checks_of_the_page)
{
    constexpr std::uint64_t info = nested_p | nested_u | final_private | rmp_error::rmp;
    const auto change = [&](auto f) {
        accept(page);
        rmp_entry e = entry_of(page);
        f(e);
        m->rmp().store(guest + page, e);
    };
    change([](rmp_entry &e) { e.asid = asid + 1; });
    expect_nested_fault(info, page, look());
    EXPECT_EQ(look().verdict.rule, rmp_rule::guest_asid);
    change([](rmp_entry &e) { e.gpa += page_4k; });
    expect_nested_fault(info | nested_w, page, look(kind::write));
    EXPECT_EQ(look().verdict.rule, rmp_rule::guest_gpa);
    change([](rmp_entry &e) { e = {}; });
    expect_nested_fault(info | nested_id, page, look(kind::fetch));
    EXPECT_EQ(look().spa, guest + page);
    change([](rmp_entry &e) { e.vmpl[2] = vmpl_perm::read; });
    who.vmpl = 2;
    EXPECT_EQ(look().kind, outcome::mapped);
    EXPECT_FALSE(look().writable);
    expect_nested_fault(info | nested_w | rmp_error::vmpl, page, look(kind::write));
}

TEST_F(nested_walk_test, a_page_that_is_not_validated)
{
    rmp_entry e = entry_of(page);
    e.validated = false;
    m->rmp().store(guest + page, e);
    EXPECT_EQ(look().kind, outcome::not_validated);
    EXPECT_EQ(look().gpa, page);
    const std::uint64_t table = align_down(entry(va, 2), page_4k);
    e = entry_of(table - guest);
    e.validated = false;
    m->rmp().store(table, e);
    EXPECT_EQ(look().kind, outcome::not_validated);
    EXPECT_EQ(look().gpa, entry(va, 2) - guest);
}

TEST_F(nested_walk_test, shared_pages_are_the_hosts)
{
    map(va, page);
    constexpr std::uint64_t info = nested_p | nested_u | nested_w | rmp_error::final_access;
    const auto t = look();
    EXPECT_EQ(t.kind, outcome::mapped) << "reads are not checked";
    EXPECT_FALSE(t.encrypted);
    EXPECT_FALSE(look().writable);
    expect_nested_fault(info | rmp_error::rmp, page, look(kind::write));
    m->rmp().store(guest + page, {});
    EXPECT_TRUE(look(kind::write).writable);
    const auto fetch = look(kind::fetch);
    EXPECT_EQ(fetch.kind, outcome::nested_page_fault) << "fetches are private";
    EXPECT_EQ(fetch.info1 & rmp_error::encrypted, rmp_error::encrypted);
}

TEST_F(nested_walk_test, sizes_must_agree)
{
    m->memory().store(nested_entry(page, 1), guest | pte_large | rw);
    expect_nested_fault(nested_p | nested_u | nested_w | walk_private | rmp_error::rmp,
                        root + 8 * (va >> 39), look());
    EXPECT_EQ(look().verdict.rule, rmp_rule::guest_size);
    rmp_entry e = entry_of(0);
    e.size_2m = true;
    m->rmp().store(guest, e);
    EXPECT_EQ(look(kind::write).spa, guest + page);
    map(va, 3 * page_2m + 0x5000);
    m->memory().store(nested_entry(3 * page_2m, 1), (guest + page_2m) | pte_large | rw);
    EXPECT_EQ(look().spa, guest + page_2m + 0x5000) << "at an odd multiple of 2 MB";
}

TEST_F(nested_walk_test, marks_of_nested_tables_are_the_hosts_writes)
{
    rmp_entry e;
    e.assigned = true;
    m->rmp().store(align_down(nested_entry(page), page_4k), e);
    const auto t = look();
    expect_nested_fault(nested_p | nested_u | nested_w | walk_private | rmp_error::rmp,
                        root + 8 * (va >> 39), t);
    EXPECT_EQ(t.verdict.rule, rmp_rule::hypervisor_owned);
    EXPECT_EQ(load(nested_entry(page)) & pte_accessed, 0u);
    m->rmp().store(align_down(nested_entry(page), page_4k), {});
    EXPECT_EQ(look(kind::write).kind, outcome::mapped);
    m->rmp().store(align_down(nested_entry(page), page_4k), e);
    EXPECT_EQ(look(kind::write).kind, outcome::mapped) << "marks that are set are not written";
}

TEST_F(nested_walk_test, a_guest_without_snp_is_checked_as_any_other)
{
    who.snp = false;
    for (std::uint64_t gpa = 0; gpa < page_2m; gpa += page_4k) {
        m->rmp().store(guest + gpa, {});
    }
    EXPECT_EQ(look(kind::write).spa, guest + page);
    EXPECT_EQ(look(kind::fetch).spa, guest + page);
    accept(page);
    EXPECT_FALSE(look().writable);
    expect_nested_fault(nested_p | nested_u | nested_w | rmp_error::final_access | rmp_error::rmp,
                        page, look(kind::write));
    map_nested(page, 0, 0);
    expect_nested_fault(nested_u | rmp_error::final_access, page, look());
}

TEST_F(nested_walk_test, an_operand_whose_page_the_instruction_checks_itself)
{
    const auto operand = [&] {
        return translate_guest(*m, tables, who, {.address = va, .page_unchecked = true});
    };
    m->rmp().store(guest + page, {});
    EXPECT_EQ(operand().kind, outcome::mapped);
    EXPECT_EQ(operand().spa, guest + page);
    EXPECT_FALSE(operand().large_nested);
    m->rmp().store(align_down(entry(va), page_4k), {});
    EXPECT_EQ(operand().kind, outcome::nested_page_fault) << "tables are checked";
    for (std::uint64_t gpa = 0; gpa < page_2m; gpa += page_4k) {
        m->rmp().store(guest + gpa, {});
    }
    rmp_entry whole;
    whole.assigned = whole.validated = whole.size_2m = true;
    whole.asid = asid;
    whole.vmpl.fill(vmpl_perm::all);
    m->rmp().store(guest, whole);
    m->memory().store(nested_entry(page, 1), guest | pte_large | rw);
    EXPECT_TRUE(operand().large_nested);
}

TEST_F(nested_walk_test, a_vmpl_without_a_permission)
{
    rmp_entry e = entry_of(page);
    e.vmpl[1] = vmpl_perm::read | vmpl_perm::user_exec;
    m->rmp().store(guest + page, e);
    who.vmpl = 1;
    EXPECT_EQ(look(kind::fetch, va, true).kind, outcome::mapped);
    EXPECT_EQ(look(kind::fetch, va, false).kind, outcome::nested_page_fault);
}

TEST_F(nested_walk_test, what_may_be_fetched_is_not_always_readable)
{
    EXPECT_TRUE(look(kind::fetch).readable);
    EXPECT_TRUE(look(kind::fetch, va, true).readable);
    EXPECT_EQ(look(kind::fetch, va, false, true).kind, outcome::mapped);
    EXPECT_FALSE(look(kind::fetch, va, false, true).readable) << "SMAP keeps it from the kernel";
    EXPECT_TRUE(look(kind::read).readable && look(kind::write).readable);
    rmp_entry e = entry_of(page);
    e.vmpl[1] = vmpl_perm::supervisor_exec;
    m->rmp().store(guest + page, e);
    who.vmpl = 1;
    EXPECT_EQ(look(kind::fetch).kind, outcome::mapped);
    EXPECT_FALSE(look(kind::fetch).readable);
    tables.cr0 = cr0_pe;
    EXPECT_FALSE(look(kind::fetch, page).readable);
    who.vmpl = 0;
    EXPECT_TRUE(look(kind::fetch, page).readable);
}

} // namespace rmpopt::hw
