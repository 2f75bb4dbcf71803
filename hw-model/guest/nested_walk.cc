// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/nested_walk.h"

#include "hw-model/base/x86_bits.h"

#include <atomic>
#include <optional>

namespace rmpopt::hw
{

namespace
{

using outcome = guest_translation::outcome;

/// One format of page tables.
struct table_form {
    unsigned levels = 4;
    unsigned index_bits = 9;
    unsigned top_index_bits = 9;
    unsigned entry_bytes = 8;
    unsigned large_levels = 2;             ///< from the second-lowest on, how many may map pages
    std::uint64_t root_mask = pte_address; ///< of CR3
    /// Entries of the root have neither permissions nor an accessed bit: PAE's four pointers.
    bool plain_root = false;
};

constexpr table_form long_mode(bool five_levels)
{
    return {.levels = five_levels ? 5u : 4u};
}

/// APM vol. 2, 5.2 and 5.3.
table_form form_of(const guest_tables &t)
{
    if ((t.efer & efer_lma) != 0) {
        return long_mode((t.cr4 & cr4_la57) != 0);
    }
    if ((t.cr4 & cr4_pae) != 0) {
        return {.levels = 3,
                .top_index_bits = 2,
                .large_levels = 1,
                .root_mask = 0xffffffe0,
                .plain_root = true};
    }
    return {.levels = 2,
            .index_bits = 10,
            .top_index_bits = 10,
            .entry_bytes = 4,
            .large_levels = (t.cr4 & cr4_pse) != 0 ? 1u : 0u,
            .root_mask = 0xfffff000};
}

bool is_canonical(std::uint64_t va, unsigned levels)
{
    const unsigned unused = 64 - (12 + 9 * levels);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(va << unused) >> unused) == va;
}

/// Entries from `from_bit` to 51 that the address of a page or table must not use.
constexpr std::uint64_t address_bits(unsigned from_bit)
{
    return ((1ull << 52) - 1) & ~((1ull << from_bit) - 1);
}

/// An entry of a table, in memory that other CPUs write, too.
class table_entry
{
  public:
    table_entry(const memory_view &memory, spa_t spa, unsigned bytes)
        : at_(memory.at(spa, bytes)), wide_(bytes == 8)
    {
    }

    bool exists() const { return at_ != nullptr; }

    std::uint64_t load() const
    {
        return wide_ ? std::atomic_ref(*reinterpret_cast<std::uint64_t *>(at_)).load()
                     : std::atomic_ref(*reinterpret_cast<std::uint32_t *>(at_)).load();
    }

    /// False when the entry is not `seen` any more: the walk must begin anew.
    bool mark(std::uint64_t seen, std::uint64_t bits) const
    {
        return wide_ ? exchange<std::uint64_t>(seen, bits) : exchange<std::uint32_t>(seen, bits);
    }

  private:
    template <class T> bool exchange(std::uint64_t seen, std::uint64_t bits) const
    {
        auto expected = static_cast<T>(seen);
        return std::atomic_ref(*reinterpret_cast<T *>(at_))
            .compare_exchange_strong(expected, static_cast<T>(seen | bits));
    }

    std::byte *at_;
    bool wide_;
};

/// A step of the walk: where it got, or `failed`.
struct step {
    bool failed = false;
    spa_t spa = 0;
    bool large = false;    ///< mapped by a nested page of 2 MB or more
    bool writable = false; ///< by the nested tables, without a mark
    bool executable = false;
};

class walk
{
  public:
    walk(const machine &m, const guest_tables &t, const guest_identity &who, const guest_access &a)
        : m_(m), tables_(t), who_(who), access_(a)
    {
    }

    /// Nothing when an entry was changed by another CPU in the meantime.
    std::optional<guest_translation> run()
    {
        result_ = {};
        again_ = false;
        if ((tables_.cr0 & cr0_pg) == 0) {
            result_.gpa = access_.address;
            result_.encrypted = true;
            result_.page_bytes = page_4k;
            guest_readable_ = guest_writable_ = result_.executable = true;
            finish();
        } else if (walk_guest_tables()) {
            finish();
        }
        return again_ ? std::nullopt : std::optional(result_);
    }

  private:
    bool is_write() const { return access_.kind == rmp_access_kind::write; }
    bool is_fetch() const { return access_.kind == rmp_access_kind::fetch; }

    /// Of the guest's own tables.
    bool page_fault(std::uint32_t cause)
    {
        const bool tells_fetch =
            is_fetch() && ((tables_.efer & efer_nxe) != 0 || (tables_.cr4 & cr4_smep) != 0);
        result_.kind = outcome::page_fault;
        result_.error_code = cause | (is_write() ? pf_write : 0) | (access_.user ? pf_user : 0) |
                             (tells_fetch ? pf_fetch : 0);
        return false;
    }

    /// APM vol. 2, 15.25.6: nested accesses are a user's; those to the guest's tables are writes.
    step nested_fault(std::uint64_t gpa, bool table, std::uint64_t cause)
    {
        result_.kind = outcome::nested_page_fault;
        result_.gpa = gpa;
        result_.info1 = cause | pf_user | (table || is_write() ? pf_write : 0) |
                        (!table && is_fetch() ? pf_fetch : 0) |
                        (table ? rmp_error::page_walk : rmp_error::final_access) |
                        (who_.snp && is_private(table) ? rmp_error::encrypted : 0);
        return {.failed = true};
    }

    bool is_private(bool table) const { return table || is_fetch() || result_.encrypted; }

    step try_again()
    {
        again_ = true;
        return {.failed = true};
    }

    /// The nested tables. `table`: the address is that of an entry of the guest's tables.
    step walk_nested_tables(std::uint64_t gpa, bool table)
    {
        const table_form form = long_mode((tables_.host_cr4 & cr4_la57) != 0);
        const bool write = table || is_write();
        step s{.writable = true, .executable = true};
        bool user = true;
        spa_t at = tables_.nested_cr3 & pte_address;
        for (unsigned level = form.levels; level-- > 0;) {
            const unsigned shift = 12 + 9 * level;
            const spa_t entry_spa = at + 8 * (gpa >> shift & 511);
            const table_entry entry(m_.memory(), entry_spa, 8);
            const std::uint64_t value = entry.exists() ? entry.load() : 0;
            if ((value & pte_present) == 0) {
                return nested_fault(gpa, table, 0);
            }
            const bool leaf =
                level == 0 || (level <= form.large_levels && (value & pte_large) != 0);
            const std::uint64_t page = 1ull << shift;
            if ((value & reserved_bits(value, level, leaf, page, form, false)) != 0) {
                return nested_fault(gpa, table, pf_present | pf_reserved);
            }
            s.writable = s.writable && (value & pte_write) != 0;
            s.executable = s.executable && (value & pte_no_execute) == 0;
            user = user && (value & pte_user) != 0;
            if (leaf &&
                (!user || (write && !s.writable) || (!table && is_fetch() && !s.executable))) {
                return nested_fault(gpa, table, pf_present);
            }
            const std::uint64_t marks = pte_accessed | (leaf && write ? pte_dirty : 0);
            if ((value & marks) != marks) {
                const rmp_verdict v = rmp_check(m_, who_.thread,
                                                {.who = initiator::host,
                                                 .kind = rmp_access_kind::walk_write,
                                                 .spa = entry_spa});
                if (v.outcome != rmp_outcome::allowed) {
                    result_.verdict = v;
                    return nested_fault(gpa, table, pf_present | v.error_bits);
                }
                if (!entry.mark(value, marks)) {
                    return try_again();
                }
            }
            if (leaf) {
                s.writable = s.writable && (write || (value & pte_dirty) != 0);
                s.large = page >= page_2m;
                s.spa = align_down(value & pte_address, page) + (gpa & (page - 1));
                return s;
            }
            at = value & pte_address;
        }
        return nested_fault(gpa, table, 0);
    }

    /// Bits of an entry that must be 0. `own`: of the guest's tables, whose C-bit is none of them.
    std::uint64_t reserved_bits(std::uint64_t entry, unsigned level, bool leaf, std::uint64_t page,
                                const table_form &form, bool own) const
    {
        if (form.entry_bytes == 4) {
            return leaf && level != 0 ? 1u << 21 : 0; // 5.2.2
        }
        // Guests see fewer address bits where the C-bit is one of them; nested tables do not.
        std::uint64_t bits = address_bits(m_.phys_bits());
        if (own) {
            bits &= ~c_bit;
            bits |= (tables_.efer & efer_nxe) == 0 ? pte_no_execute : 0;
        }
        if (leaf && level != 0) {
            bits |= (page - 1) & ~0x1fffull; // bit 12 is PAT
        }
        if (!leaf && level > form.large_levels && !form.plain_root) {
            bits |= entry & pte_large;
        }
        return bits;
    }

    rmp_access rmp_access_of(rmp_access_kind kind, const step &s, std::uint64_t gpa) const
    {
        return {.who = who_.snp ? initiator::snp_guest : initiator::nonsnp_guest,
                .kind = kind,
                .spa = s.spa,
                .large_mapping = s.large,
                .encrypted = result_.encrypted,
                .asid = who_.asid,
                .gpa = gpa,
                .vmpl = who_.vmpl,
                .user = access_.user};
    }

    /// The RMP check of an access to what `s` found; false if it fails.
    bool check(rmp_access_kind kind, const step &s, std::uint64_t gpa)
    {
        const rmp_verdict v = rmp_check(m_, who_.thread, rmp_access_of(kind, s, gpa));
        if (v.outcome == rmp_outcome::allowed) {
            return true;
        }
        result_.spa = s.spa;
        if (v.outcome == rmp_outcome::vmm_communication) {
            result_.kind = outcome::not_validated;
            result_.gpa = gpa;
        } else {
            const bool table =
                kind == rmp_access_kind::walk_read || kind == rmp_access_kind::walk_write;
            nested_fault(gpa, table, pf_present | v.error_bits);
        }
        result_.verdict = v;
        return false;
    }

    /// Sets `result_`'s address and permissions; false if there is a fault.
    bool walk_guest_tables()
    {
        const table_form form = form_of(tables_);
        if ((tables_.efer & efer_lma) != 0 && !is_canonical(access_.address, form.levels)) {
            result_.kind = outcome::general_protection;
            return false;
        }
        bool writable = true, user = true, executable = true;
        std::uint64_t table = tables_.cr3 & form.root_mask;
        for (unsigned level = form.levels; level-- > 0;) {
            const unsigned shift = 12 + form.index_bits * level;
            const bool top = level + 1 == form.levels;
            const unsigned bits = top ? form.top_index_bits : form.index_bits;
            const std::uint64_t gpa =
                table + form.entry_bytes * (access_.address >> shift & ((1ull << bits) - 1));
            const step s = walk_nested_tables(gpa, true);
            if (s.failed || !check(rmp_access_kind::walk_read, s, gpa)) {
                return false;
            }
            const table_entry entry(m_.memory(), s.spa, form.entry_bytes);
            const std::uint64_t value = entry.exists() ? entry.load() : 0;
            if ((value & pte_present) == 0) {
                return page_fault(0);
            }
            const bool plain = top && form.plain_root;
            const bool leaf =
                level == 0 || (level <= form.large_levels && (value & pte_large) != 0);
            const std::uint64_t page = 1ull << shift;
            if ((value & reserved_bits(value, level, leaf, page, form, true)) != 0) {
                return page_fault(pf_present | pf_reserved);
            }
            if (!plain) {
                writable = writable && (value & pte_write) != 0;
                user = user && (value & pte_user) != 0;
                executable = executable && (form.entry_bytes == 4 || (value & pte_no_execute) == 0);
            }
            if (leaf) {
                const bool unlocked = is_fetch() || has_key(value, user, is_write());
                if (!unlocked || !is_allowed(writable, user, executable)) {
                    return page_fault(pf_present | (unlocked ? 0 : pf_key));
                }
            }
            const std::uint64_t marks =
                plain ? 0 : pte_accessed | (leaf && is_write() ? pte_dirty : 0);
            if ((value & marks) != marks) {
                if (!check(rmp_access_kind::walk_write, s, gpa)) {
                    return false;
                }
                if (!entry.mark(value, marks)) {
                    return !try_again().failed;
                }
            }
            if (leaf) {
                result_.encrypted = form.entry_bytes == 4 || (value & c_bit) != 0;
                result_.page_bytes = page;
                result_.gpa = page_base(value, form, page) + (access_.address & (page - 1));
                result_.executable = executable;
                guest_readable_ = (!access_.smap || !user) && has_key(value, user, false);
                guest_writable_ = may_write(writable) && has_key(value, user, true) &&
                                  (is_write() || (value & pte_dirty) != 0);
                return true;
            }
            table = value & pte_address;
        }
        return page_fault(0);
    }

    static std::uint64_t page_base(std::uint64_t entry, const table_form &form, std::uint64_t page)
    {
        std::uint64_t base = align_down(entry & pte_address, page);
        if (form.entry_bytes == 4 && page != page_4k) {
            base = align_down(entry & 0xffc00000, page) | (entry >> 13 & 0xff) << 32; // 5.2.2
        }
        return base;
    }

    bool may_write(bool writable) const
    {
        return writable || (!access_.user && (tables_.cr0 & cr0_wp) == 0);
    }

    /// APM vol. 2, 5.6.7: the key of a user page has two bits in PKRU, which forbid data accesses
    /// (AD) and writes (WD).
    bool has_key(std::uint64_t entry, bool user, bool write) const
    {
        constexpr std::uint32_t no_access = 1, no_write = 2;
        const bool has_keys = (tables_.cr4 & cr4_pke) != 0 && (tables_.efer & efer_lma) != 0;
        if (!has_keys || !user) {
            return true;
        }
        const std::uint32_t rights = tables_.pkru >> 2 * (entry >> pte_key_shift & 15);
        const bool may_not_write =
            (rights & no_write) != 0 && (access_.user || (tables_.cr0 & cr0_wp) != 0);
        return (rights & no_access) == 0 && !(write && may_not_write);
    }

    bool is_allowed(bool writable, bool user, bool executable) const
    {
        const bool smep = is_fetch() && !access_.user && user && (tables_.cr4 & cr4_smep) != 0;
        const bool smap = !is_fetch() && access_.smap && user;
        return (user || !access_.user) && !smep && !smap && (!is_write() || may_write(writable)) &&
               (!is_fetch() || executable);
    }

    /// The page itself.
    void finish()
    {
        const std::uint64_t gpa = result_.gpa;
        const step s = walk_nested_tables(gpa, false);
        if (s.failed || (!access_.page_unchecked && !check(access_.kind, s, gpa))) {
            return;
        }
        result_.spa = s.spa;
        result_.large_nested = s.large;
        result_.executable = result_.executable && s.executable;
        const auto passes = [&](rmp_access_kind kind) {
            return rmp_check(m_, who_.thread, rmp_access_of(kind, s, gpa)).outcome ==
                   rmp_outcome::allowed;
        };
        result_.readable = guest_readable_ && passes(rmp_access_kind::read);
        result_.writable =
            guest_readable_ && guest_writable_ && s.writable && passes(rmp_access_kind::write);
    }

    const machine &m_;
    const guest_tables &tables_;
    const guest_identity &who_;
    const guest_access &access_;
    guest_translation result_;
    // What the guest's own tables allow.
    bool guest_readable_ = false, guest_writable_ = false;
    bool again_ = false;
};

} // namespace

guest_translation translate_guest(const machine &m, const guest_tables &tables,
                                  const guest_identity &who, const guest_access &access)
{
    walk w(m, tables, who, access);
    for (;;) {
        if (const auto result = w.run()) {
            return *result;
        }
    }
}

} // namespace rmpopt::hw
