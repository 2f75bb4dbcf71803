// SPDX-License-Identifier: GPL-2.0-or-later
// Tables of a guest, nested tables and an RMP that begin in order, and any row of changes to them
// and of accesses. Each access must end as the slow statement of the rules says, and leave no other
// trace in memory than the marks that it names.
#include "byte_source.h"
#include "hw-model/machine/msr.h"
#include "slow_walk.h"
#include "sparse_memory.h"

#include <array>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t rw = pte_present | pte_write | pte_user;
constexpr spa_t rmp_base = 2 * page_2m, ram_bytes = rmp_base + page_2m;
constexpr std::uint64_t rmp_table_bytes = ram_bytes / page_4k * rmp_entry_bytes;
constexpr spa_t rmp_end = rmp_base + rmp_bookkeeping_bytes + rmp_table_bytes - 1;
constexpr spa_t nested_tables = 0x10000, guest = 0x20000; ///< guest physical 0
constexpr unsigned small_pages = 16;                      ///< of the guest, from there on
constexpr spa_t large_page = page_2m;                     ///< both addresses of its large page
constexpr spa_t mutable_bytes = guest + small_pages * page_4k;
constexpr std::uint64_t own_tables = page_4k; ///< guest physical
constexpr unsigned first_data_page = 8;
constexpr std::uint32_t asid = 7;

class target
{
  public:
    target()
    {
        machine::settings s;
        s.cpu = find_cpu_model("venice");
        s.cpus.core_of_thread = {0};
        s.memory = memory_view({{0, ram_bytes, ram_.data()}});
        m = std::make_unique<machine>(std::move(s));
        m->bios_setup({.layout = rmp_layout::contiguous, .base = rmp_base, .end = rmp_end});
        rmp_changes ignored;
        wrmsr(*m, 0, msr::syscfg, syscfg_reset | syscfg_snp_en | syscfg_vmpl_en, ignored);
    }

    /// Tables of the form that `mode` names; all pages are the guest's and validated.
    void set_up(unsigned mode)
    {
        std::memset(ram_.data(), 0, mutable_bytes);
        std::memset(rmp_bytes(), 0, rmp_table_bytes);
        for (unsigned i = 0; i < small_pages; ++i) {
            m->rmp().store(guest + i * page_4k, owned(i * page_4k));
        }
        rmp_entry large = owned(large_page);
        large.size_2m = true;
        m->rmp().store(large_page, large);
        rmp_entry own; // as SNP_INIT protects the table
        own.assigned = own.immutable = true;
        for (spa_t page = rmp_base; page <= rmp_end; page += page_4k) {
            m->rmp().store(page, own);
        }
        // An assigned page of the first 2 MB counts in its first entry.
        rmp_entry first;
        first.subpage_count = small_pages;
        m->rmp().store(0, first);
        make_nested_tables();
        make_own_tables(mode);
    }

    std::byte *bytes() const { return ram_.data(); }
    std::byte *rmp_bytes() const { return bytes() + rmp_base + rmp_bookkeeping_bytes; }
    bool is_rest_untouched() const
    {
        const std::byte *rest = bytes() + mutable_bytes;
        return rest[0] == std::byte{0} &&
               std::memcmp(rest, rest + 1, rmp_base - mutable_bytes - 1) == 0;
    }

    std::unique_ptr<machine> m;
    guest_tables tables;

  private:
    static rmp_entry owned(std::uint64_t gpa)
    {
        rmp_entry e;
        e.assigned = e.validated = true;
        e.asid = asid;
        e.gpa = gpa;
        e.vmpl.fill(vmpl_perm::all);
        return e;
    }
    void store(spa_t spa, std::uint64_t value) { m->memory().store(spa, value); }

    /// Root of five levels, root of four levels, two more, the last one.
    void make_nested_tables()
    {
        for (unsigned i = 0; i < 4; ++i) {
            store(nested_tables + i * page_4k, (nested_tables + (i + 1) * page_4k) | rw);
        }
        store(nested_tables + 3 * page_4k + 8, large_page | pte_large | rw);
        for (unsigned i = 0; i < small_pages; ++i) {
            store(nested_tables + 4 * page_4k + 8 * i, (guest + i * page_4k) | rw);
        }
    }
    /// Likewise: the first pages of the address space are data pages, and at 2 or 4 MB the large
    /// one is.
    void make_own_tables(unsigned mode)
    {
        const bool is_32 = mode == 3;
        const spa_t in_memory = guest + own_tables;
        const auto put = [&](unsigned table, unsigned index, std::uint64_t value) {
            if (is_32) {
                m->memory().store(in_memory + table * page_4k + 4 * index,
                                  static_cast<std::uint32_t>(value));
            } else {
                store(in_memory + table * page_4k + 8 * index, value);
            }
        };
        const std::uint64_t c = is_32 ? 0 : c_bit;
        for (unsigned i = 0; i < 4; ++i) {
            const bool plain = mode == 2 && i == 2;
            put(i, 0, (own_tables + (i + 1) * page_4k) | (plain ? pte_present : rw | c));
        }
        put(3, 1, (is_32 ? 0 : large_page) | pte_large | rw | c);
        for (unsigned i = 0; i < first_data_page; ++i) {
            put(4, i, (first_data_page + i) * page_4k | rw | c);
        }
        tables = {.cr0 = cr0_pe | cr0_wp | (mode == 4 ? 0 : cr0_pg), .efer = efer_nxe};
        constexpr std::array first_table{1u, 0u, 2u, 3u, 0u}; // by mode
        tables.cr3 = own_tables + first_table.at(mode) * page_4k;
        tables.cr4 = is_32 ? cr4_pse : cr4_pae | (mode == 1 ? cr4_la57 : 0);
        tables.efer |= mode < 2 ? efer_lme | efer_lma : 0;
        tables.nested_cr3 = nested_tables + page_4k;
    }

    sparse_memory ram_{ram_bytes};
};

class session
{
  public:
    session(target &t, byte_source &in) : t_(t), in_(in)
    {
        t_.set_up(in_.pick(5));
        while (!in_.empty()) {
            in_.pick(3) == 0 ? change() : access();
        }
        expect(t_.is_rest_untouched(), "memory that belongs to nobody");
    }

  private:
    void change()
    {
        switch (in_.pick(6)) {
        case 0:
            flip(nested_tables + in_.pick(5) * page_4k, 8);
            break;
        case 1:
            flip(guest + own_tables + in_.pick(5) * page_4k, 4);
            break;
        case 2: // where an entry leads
            t_.m->memory().store(entry_at(in_.pick(2) == 0 ? nested_tables : guest + own_tables),
                                 in_.pick(40) * page_4k | rw | (in_.pick(2) == 0 ? c_bit : 0));
            break;
        case 3:
            change_registers();
            break;
        case 4:
            change_owner();
            break;
        case 5: // 2 MB at once
            t_.m->memory().store(nested_tables + 3 * page_4k + 8 * in_.pick(2),
                                 in_.pick(2) * page_2m | pte_large | rw);
            break;
        }
    }
    spa_t entry_at(spa_t tables) { return tables + in_.pick(5) * page_4k + 8 * in_.pick(18); }
    void flip(spa_t table, unsigned bytes)
    {
        const spa_t at = table + bytes * in_.pick(18);
        const auto word = *t_.m->memory().load<std::uint64_t>(at);
        t_.m->memory().store(at, word ^ 1ull << in_.pick(64));
    }
    void change_registers()
    {
        constexpr std::array cr4{cr4_smep, cr4_pse, cr4_la57};
        switch (in_.pick(6)) {
        case 0:
            t_.tables.cr0 ^= cr0_wp;
            break;
        case 1:
            t_.tables.efer ^= efer_nxe;
            break;
        case 2:
            t_.tables.cr4 ^= cr4[in_.pick(cr4.size())];
            break;
        case 3:
            t_.tables.host_cr4 ^= cr4_la57;
            t_.tables.nested_cr3 ^= page_4k; // the other root
            break;
        case 4:
            t_.tables.cr3 ^= 1ull << in_.pick(52);
            break;
        case 5:
            who_ = {.snp = in_.pick(4) != 0, .asid = asid, .vmpl = in_.pick(4)};
            break;
        }
    }
    void change_owner()
    {
        const spa_t page =
            in_.pick(4) == 0 ? page_2m * in_.pick(2) : nested_tables + in_.pick(32) * page_4k;
        rmp_entry e = t_.m->rmp().load(page);
        switch (in_.pick(8)) {
        case 0:
            e.assigned = !e.assigned;
            break;
        case 1:
            e.validated = !e.validated;
            break;
        case 2:
            e.immutable = !e.immutable;
            break;
        case 3:
            e.asid = static_cast<std::uint16_t>(in_.pick(3) == 0 ? 0 : asid + in_.pick(2));
            break;
        case 4:
            e.gpa = in_.pick(20) * page_4k;
            break;
        case 5:
            e.vmpl[in_.pick(4)] = static_cast<std::uint8_t>(in_.pick(16));
            break;
        case 6:
            e.size_2m = page % page_2m == 0 && !e.size_2m;
            break;
        case 7:
            e.vmsa = !e.vmsa;
            break;
        }
        t_.m->rmp().store(page, e);
    }

    std::uint64_t address()
    {
        const std::uint64_t offset = in_.byte() * 16;
        switch (in_.pick(8)) {
        case 0:
            return page_2m + offset;
        case 1:
            return 2 * page_2m + offset;
        case 2:
            return in_.u64();
        default:
            return in_.pick(17) * page_4k + offset;
        }
    }
    void access()
    {
        constexpr std::array kinds{rmp_access_kind::read, rmp_access_kind::write,
                                   rmp_access_kind::fetch};
        const unsigned flags = in_.byte();
        guest_access a{.address = address(),
                       .kind = kinds[in_.pick(3)],
                       .user = (flags & 1) != 0,
                       .smap = (flags & 3) == 2,
                       .page_unchecked = (flags & 0x1c) == 0};
        if ((t_.tables.efer & efer_lma) == 0) {
            a.address = static_cast<std::uint32_t>(a.address);
        }
        judge(a);
    }

    void judge(const guest_access &a)
    {
        const slow_walk slow(*t_.m, t_.tables, who_, a);
        // Kept from one access to the next, because allocating is slow here.
        static std::vector<std::byte> memory, rmp;
        memory.assign(t_.bytes(), t_.bytes() + mutable_bytes);
        rmp.assign(t_.rmp_bytes(), t_.rmp_bytes() + rmp_table_bytes);
        const guest_translation t = translate_guest(*t_.m, t_.tables, who_, a);
        compare(t, slow.expected);
        for (const mark &k : slow.marks) {
            for (unsigned i = 0; i < 8; ++i) {
                memory[k.spa + i] |= static_cast<std::byte>(k.bits >> 8 * i);
            }
        }
        expect(std::memcmp(memory.data(), t_.bytes(), memory.size()) == 0, "memory afterwards");
        expect(std::memcmp(rmp.data(), t_.rmp_bytes(), rmp.size()) == 0, "the RMP afterwards");
        expect_invariants(t, a);
    }

    void compare(const guest_translation &t, const guest_translation &e) const
    {
        using enum guest_translation::outcome;
        expect(t.kind == e.kind, "the outcome");
        switch (t.kind) {
        case general_protection:
            break;
        case page_fault:
            expect(t.error_code == e.error_code, "the error code of #PF");
            break;
        case nested_page_fault:
            expect(t.info1 == e.info1, "EXITINFO1");
            [[fallthrough]];
        case not_validated:
            expect(t.gpa == e.gpa, "the guest physical address of the fault");
            break;
        case mapped:
            expect(t.gpa == e.gpa && t.spa == e.spa, "the addresses");
            expect(t.page_bytes == e.page_bytes && t.large_nested == e.large_nested, "the sizes");
            expect(t.encrypted == e.encrypted, "the C-bit");
            expect(t.readable == e.readable && t.writable == e.writable &&
                       t.executable == e.executable,
                   "the permissions");
            break;
        }
    }

    /// What holds for every walk, however it came about.
    void expect_invariants(const guest_translation &t, const guest_access &a) const
    {
        const bool found = t.kind == guest_translation::outcome::mapped;
        const bool is_private = who_.snp && (t.encrypted || a.kind == rmp_access_kind::fetch);
        if (found && !a.page_unchecked && is_private) {
            const rmp_entry e = rmp_owner(t_.m->rmp(), t.spa);
            expect(e.assigned && e.validated && !e.immutable, "a page that is not the guest's");
            expect(e.asid == asid && e.gpa == align_down(t.gpa, page_4k), "another's page");
        }
        if (found && t.writable && who_.snp && !t.encrypted) {
            expect(!rmp_owner(t_.m->rmp(), t.spa).assigned, "a shared write to a guest's page");
        }
        if (found && t.writable) { // a write needs nothing more
            guest_access write = a;
            write.kind = rmp_access_kind::write;
            write.page_unchecked = false;
            const slow_walk slow(*t_.m, t_.tables, who_, write);
            expect(slow.expected.spa == t.spa && slow.marks.empty(), "a write that needs a mark");
        }
    }

    static void expect(bool holds, const char *what)
    {
        if (!holds) {
            std::cerr << "not as the rules say: " << what << '\n';
            std::abort();
        }
    }

    target &t_;
    byte_source &in_;
    guest_identity who_{.snp = true, .asid = asid};
};

} // namespace

} // namespace rmpopt::hw

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    static rmpopt::hw::target t;
    rmpopt::hw::byte_source in({data, size});
    rmpopt::hw::session(t, in);
    return 0;
}
