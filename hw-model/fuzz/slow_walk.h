// SPDX-License-Identifier: GPL-2.0-or-later
// The translation of a guest's address as a reader of the manual would write it down first: read
// all entries on the way, then apply the rules to them in turn. It writes nothing; it tells what
// the CPU has to write.
//
// Policies have their defaults, SNP is enabled, the table has an entry for all memory.
#pragma once

#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/nested_walk.h"

#include <vector>

namespace rmpopt::hw
{

/// Bits that an entry of a table must have afterwards.
struct mark {
    spa_t spa = 0;
    std::uint64_t bits = 0;
};

class slow_walk
{
  public:
    slow_walk(const machine &m, const guest_tables &t, const guest_identity &who,
              const guest_access &a)
        : m_(m), t_(t), who_(who), a_(a)
    {
        try {
            translate();
        } catch (const stop &) {
        }
    }

    guest_translation expected;
    std::vector<mark> marks; ///< of all that was passed before the end

  private:
    using outcome = guest_translation::outcome;
    struct stop {
    };

    /// One entry on the way, and where its index in the address begins.
    struct level {
        unsigned shift = 0, index_bits = 9;
        bool may_map_page = false;
        bool has_flags = true; ///< permissions and marks
    };

    struct place {
        spa_t spa = 0;
        bool large = false, writable = true, dirty = true, executable = true;
    };

    bool is_write() const { return a_.kind == rmp_access_kind::write; }
    bool is_fetch() const { return a_.kind == rmp_access_kind::fetch; }
    bool is_long() const { return (t_.efer & efer_lma) != 0; }
    bool is_pae() const { return is_long() || (t_.cr4 & cr4_pae) != 0; }
    static bool any(std::uint64_t value, std::uint64_t bits) { return (value & bits) != 0; }

    /// An entry as the CPU finds it, after what it has marked itself.
    std::uint64_t word(spa_t spa, bool wide) const
    {
        std::uint64_t value = wide ? m_.memory().load<std::uint64_t>(spa).value_or(0)
                                   : m_.memory().load<std::uint32_t>(spa).value_or(0);
        for (const mark &k : marks) {
            for (unsigned i = 0; i < (wide ? 8u : 4u); ++i) {
                const std::uint64_t byte = spa + i - k.spa;
                value |= byte < 8 ? (k.bits >> 8 * byte & 0xff) << 8 * i : 0;
            }
        }
        return value;
    }

    std::vector<level> nested_levels() const
    {
        std::vector<level> all{{39, 9}, {30, 9, true}, {21, 9, true}, {12, 9}};
        if (any(t_.host_cr4, cr4_la57)) {
            all.insert(all.begin(), {48, 9});
        }
        return all;
    }
    std::vector<level> own_levels() const
    {
        if (is_long()) {
            std::vector<level> all{{39, 9}, {30, 9, true}, {21, 9, true}, {12, 9}};
            if (any(t_.cr4, cr4_la57)) {
                all.insert(all.begin(), {48, 9});
            }
            return all;
        }
        if (is_pae()) {
            return {{30, 2, false, false}, {21, 9, true}, {12, 9}};
        }
        return {{22, 10, any(t_.cr4, cr4_pse)}, {12, 10}};
    }

    [[noreturn]] void end(outcome kind)
    {
        expected.kind = kind;
        throw stop{};
    }
    [[noreturn]] void end_in_page_fault(std::uint32_t cause)
    {
        const bool tells_fetch = any(t_.efer, efer_nxe) || any(t_.cr4, cr4_smep);
        expected.error_code =
            cause | (is_write() ? 2 : 0) | (a_.user ? 4 : 0) | (is_fetch() && tells_fetch ? 16 : 0);
        end(outcome::page_fault);
    }
    [[noreturn]] void end_in_nested_fault(std::uint64_t gpa, bool table, std::uint64_t cause)
    {
        const bool is_private = table || is_fetch() || expected.encrypted;
        expected.gpa = gpa;
        expected.info1 = cause | 4 | 1ull << (table ? 33 : 32);
        expected.info1 |= table || is_write() ? 2 : 0;
        expected.info1 |= !table && is_fetch() ? 16 : 0;
        expected.info1 |= who_.snp && is_private ? 1ull << 34 : 0;
        end(outcome::nested_page_fault);
    }

    /// What the RMP says to the guest: 0 when the access may be made, bits of EXITINFO1 when not,
    /// or that the page is not validated.
    static constexpr std::uint64_t unvalidated = 1;
    std::uint64_t rmp_refusal(const place &p, std::uint64_t gpa, std::uint8_t needed, bool writes,
                              bool is_private, bool table) const
    {
        constexpr std::uint64_t rmp = 1ull << 31, vmpl = 1ull << 36;
        const rmp_entry here = m_.rmp().load(p.spa);
        const rmp_entry first = m_.rmp().load(align_down(p.spa, page_2m));
        if (!who_.snp || !is_private) {
            if (!writes && (who_.snp || !table)) {
                return 0;
            }
            const bool whole = p.large && !table;
            const bool neighbours = first.assigned || first.subpage_count != 0;
            return here.assigned || (whole && neighbours) ? rmp : 0;
        }
        const bool part_of_2m = first.assigned && first.size_2m;
        const rmp_entry owner = part_of_2m ? first : here;
        const std::uint64_t its_gpa =
            owner.gpa + (part_of_2m ? align_down(p.spa, page_4k) % page_2m : 0);
        const bool is_the_guests = owner.assigned && owner.asid == who_.asid && who_.asid != 0 &&
                                   its_gpa == align_down(gpa, page_4k) && !owner.immutable;
        if (!is_the_guests || owner.size_2m != p.large) {
            return rmp;
        }
        return !owner.validated                             ? unvalidated
               : (owner.vmpl[who_.vmpl] & needed) != needed ? rmp | vmpl
                                                            : 0;
    }
    void check(const place &p, std::uint64_t gpa, std::uint8_t needed, bool writes, bool table)
    {
        const bool is_private = table || is_fetch() || expected.encrypted;
        const std::uint64_t refusal = rmp_refusal(p, gpa, needed, writes, is_private, table);
        if (refusal == unvalidated) {
            expected.gpa = gpa;
            end(outcome::not_validated);
        }
        if (refusal != 0) {
            end_in_nested_fault(gpa, table, 1 | refusal);
        }
    }

    place nested(std::uint64_t gpa, bool table)
    {
        const bool write = table || is_write();
        place p;
        spa_t at = t_.nested_cr3;
        for (const level &l : nested_levels()) {
            const spa_t entry_at = align_down(at, page_4k) % c_bit + 8 * (gpa >> l.shift & 0x1ff);
            const std::uint64_t entry = word(entry_at, true);
            if (!any(entry, 1)) {
                end_in_nested_fault(gpa, table, 0);
            }
            const bool large_bit = any(entry, 1 << 7) && l.shift != 12;
            const bool maps = l.shift == 12 || (large_bit && l.may_map_page);
            const std::uint64_t offset = (1ull << l.shift) - 1;
            if (entry << 12 >> 12 >> m_.phys_bits() != 0 || (large_bit && !maps) ||
                (maps && l.shift != 12 && any(entry, offset & ~0x1fffull))) {
                end_in_nested_fault(gpa, table, 1 | 8);
            }
            p.writable = p.writable && any(entry, 2);
            p.executable = p.executable && !any(entry, pte_no_execute);
            user_ = user_ && any(entry, 4);
            if (maps) {
                if (!user_ || (write && !p.writable) || (is_fetch() && !table && !p.executable)) {
                    end_in_nested_fault(gpa, table, 1);
                }
            }
            mark_nested(entry_at, entry, 0x20u | (maps && write ? 0x40u : 0), gpa, table);
            if (maps) {
                p.dirty = write || any(entry, 0x40);
                p.large = l.shift != 12;
                p.spa = (entry & pte_address & ~offset) | (gpa & offset);
                user_ = true;
                return p;
            }
            at = entry;
        }
        return p;
    }
    /// The host's own write.
    void mark_nested(spa_t at, std::uint64_t entry, std::uint64_t bits, std::uint64_t gpa,
                     bool table)
    {
        if ((entry & bits) == bits) {
            return;
        }
        if (m_.rmp().load(at).assigned) {
            end_in_nested_fault(gpa, table, 1 | 1ull << 31);
        }
        marks.push_back({at, bits});
    }

    void check_canonical()
    {
        const unsigned bits = any(t_.cr4, cr4_la57) ? 57 : 48;
        const std::uint64_t top = a_.address >> (bits - 1);
        if (is_long() && top != 0 && top != ~0ull >> (bits - 1)) {
            end(outcome::general_protection);
        }
    }

    bool is_malformed(std::uint64_t entry, const level &l, bool large_bit, bool maps) const
    {
        if (!is_pae()) {
            return l.shift == 22 && maps && any(entry, 1 << 21);
        }
        return (entry & ~c_bit) << 12 >> 12 >> m_.phys_bits() != 0 ||
               (any(entry, pte_no_execute) && !any(t_.efer, efer_nxe)) ||
               (large_bit && !maps && l.has_flags) ||
               (maps && l.shift != 12 && any(entry, ((1ull << l.shift) - 1) & ~0x1fffull));
    }

    /// Sets the page's guest physical address.
    void walk_own_tables()
    {
        check_canonical();
        const unsigned bytes = is_pae() ? 8 : 4;
        bool writable = true, user = true, executable = true;
        std::uint64_t at = is_long()  ? t_.cr3 & pte_address
                           : is_pae() ? t_.cr3 & 0xffffffe0
                                      : t_.cr3 & 0xfffff000;
        for (const level &l : own_levels()) {
            const std::uint64_t gpa =
                at + bytes * (a_.address >> l.shift & ((1u << l.index_bits) - 1));
            const place table = nested(gpa, true);
            check(table, gpa, vmpl_perm::read, false, true);
            const std::uint64_t entry = word(table.spa, is_pae());
            if (!any(entry, 1)) {
                end_in_page_fault(0);
            }
            const bool large_bit = any(entry, 1 << 7) && l.shift != 12;
            const bool maps = l.shift == 12 || (large_bit && l.may_map_page);
            if (is_malformed(entry, l, large_bit, maps)) {
                end_in_page_fault(1 | 8);
            }
            if (l.has_flags) {
                writable = writable && any(entry, 2);
                user = user && any(entry, 4);
                executable = executable && (!is_pae() || !any(entry, pte_no_execute));
            }
            const bool may_write = writable || (!a_.user && !any(t_.cr0, cr0_wp));
            if (maps) {
                const bool mine = a_.user      ? user
                                  : is_fetch() ? !(user && any(t_.cr4, cr4_smep))
                                               : !(user && a_.smap);
                if (!mine || (is_write() && !may_write) || (is_fetch() && !executable)) {
                    end_in_page_fault(1);
                }
            }
            const std::uint64_t bits = !l.has_flags ? 0 : 0x20u | (maps && is_write() ? 0x40u : 0);
            if ((entry & bits) != bits) {
                check(table, gpa, vmpl_perm::read | vmpl_perm::write, true, true);
                marks.push_back({table.spa, bits});
            }
            if (maps) {
                const std::uint64_t offset = (1ull << l.shift) - 1;
                std::uint64_t base = entry & pte_address & ~offset;
                base |= !is_pae() && l.shift == 22 ? (entry >> 13 & 0xff) << 32 : 0;
                expected.gpa = base | (a_.address & offset);
                expected.page_bytes = offset + 1;
                expected.encrypted = !is_pae() || any(entry, c_bit);
                expected.executable = executable;
                expected.readable = !(a_.smap && user);
                expected.writable =
                    expected.readable && may_write && (is_write() || any(entry, 0x40));
                return;
            }
            at = entry & pte_address;
        }
    }

    void translate()
    {
        if (any(t_.cr0, cr0_pg)) {
            walk_own_tables();
        } else {
            expected.gpa = a_.address;
            expected.page_bytes = page_4k;
            expected.encrypted = expected.executable = true;
            expected.readable = expected.writable = true;
        }
        const std::uint64_t gpa = expected.gpa;
        const place page = nested(gpa, false);
        constexpr std::uint8_t read = vmpl_perm::read, write = read | vmpl_perm::write;
        const std::uint8_t fetch = a_.user ? vmpl_perm::user_exec : vmpl_perm::supervisor_exec;
        if (!a_.page_unchecked) {
            check(page, gpa, is_write() ? write : is_fetch() ? fetch : read, is_write(), false);
        }
        const bool is_private = expected.encrypted;
        expected.spa = page.spa;
        expected.large_nested = page.large;
        expected.executable = expected.executable && page.executable;
        expected.readable =
            expected.readable && rmp_refusal(page, gpa, read, false, is_private, false) == 0;
        expected.writable = expected.writable && page.writable && page.dirty &&
                            rmp_refusal(page, gpa, write, true, is_private, false) == 0;
    }

    const machine &m_;
    const guest_tables &t_;
    const guest_identity &who_;
    const guest_access &a_;
    bool user_ = true; ///< all nested entries on the way allow users
};

} // namespace rmpopt::hw
