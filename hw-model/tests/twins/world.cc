// SPDX-License-Identifier: GPL-2.0-or-later
#include "world.h"

#include <span>

namespace rmpopt::hw
{

namespace
{

using picker = std::function<unsigned(unsigned)>;

template <class T> T one_of(const picker &pick, std::initializer_list<T> choices)
{
    return *(choices.begin() + pick(static_cast<unsigned>(choices.size())));
}

op draw_op(const picker &pick)
{
    using enum op;
    return one_of(pick, {rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         rmpupdate,
                         psmash,
                         psmash,
                         rmpread,
                         rmpopt,
                         rmpopt,
                         rmpopt,
                         rmpopt,
                         write_rmpopt_base,
                         write_vm_hsave_pa,
                         use_as_guest,
                         use_as_guest,
                         enter_guest,
                         leave_guest,
                         enable_snp,
                         enable_snp,
                         clear_rmpopt_tables,
                         shutdown,
                         reset});
}

/// Few places, so that steps meet: whole and cut 2 MB regions and their edges, no entries at all.
spa_t draw_spa(const picker &pick, bool base)
{
    const spa_t region = one_of<spa_t>(
        pick, {world::regions[0], world::regions[0], world::regions[0], world::regions[1],
               world::regions[1], world::regions[1], world::hole, world::beyond});
    const spa_t block = one_of<spa_t>(pick, {0, 0, 0, page_2m, region_1g - page_2m});
    const spa_t page = base ? 0 : one_of<spa_t>(pick, {0, 0, 1, 1, 2, 255, 256, 511});
    const spa_t inside = pick(30) == 0 ? one_of<spa_t>(pick, {1, 8, 0xfff}) : 0;
    return region + block + page * page_4k + inside;
}

rmp_record draw_record(const picker &pick)
{
    rmp_record r;
    r.size_2m = pick(2) != 0;
    r.assigned = pick(5) < 3;
    r.immutable = pick(12) == 0;
    if (r.assigned || pick(12) == 0) {
        r.asid = one_of<std::uint32_t>(pick, {0, 1, 1, 2, 2, 3, 1023, 1024, 1024 + 1, 0x80000001});
    }
    r.gpa = pick(4) * page_2m + (pick(8) == 0 ? 0x123 : 0);
    r.hpage_region_status = pick(8) == 0;
    return r;
}

} // namespace

step draw_step(const world &w, const picker &pick)
{
    step s;
    s.what = draw_op(pick);
    if (s.what >= op::shutdown && pick(4) != 0) {
        s.what = op::rmpupdate; // there is little to see until SNP is on again
    }
    s.ctx.thread = pick(w.threads());
    s.ctx.cpl = pick(30) == 0 ? 3 : 0;
    s.ctx.long_mode = pick(30) != 0;
    s.ctx.guest_mode = pick(30) == 0;
    if (s.what == op::rmpupdate) {
        s.record = draw_record(pick);
    }
    s.spa = draw_spa(pick, s.what == op::psmash || (s.record.size_2m && pick(8) != 0));
    if (s.what == op::rmpopt) {
        s.operand = one_of<std::uint64_t>(pick, {0, 0, 0, 0, 1, 1, 2, 1ull << 32});
        s.spa |= pick(10) == 0 ? 1ull << world::phys_bits : 0;
    } else if (s.what == op::write_rmpopt_base) {
        s.operand = one_of<std::uint64_t>(pick, {1, 1, 1, 0, world::regions[1] | 1, world::hole | 1,
                                                 world::beyond, 4096 * region_1g | 1, 3,
                                                 (1ull << world::phys_bits) - region_1g + 1,
                                                 1ull << 29 | 1, 1ull << world::phys_bits | 1});
    }
    return s;
}

std::ostream &operator<<(std::ostream &os, const step &s)
{
    constexpr std::array names{
        "RMPUPDATE",           "PSMASH",       "RMPREAD",     "RMPOPT",      "WRMSR RMPOPT_BASE",
        "WRMSR VM_HSAVE_PA",   "use as guest", "enter guest", "leave guest", "enable SNP",
        "clear RMPOPT tables", "shutdown",     "reset"};
    static_assert(names.size() == ops);
    os << "{" << names[static_cast<unsigned>(s.what)] << " thread " << s.ctx.thread << " cpl "
       << s.ctx.cpl << (s.ctx.long_mode ? "" : " not in long mode")
       << (s.ctx.guest_mode ? " in guest mode" : "") << std::hex << " spa 0x" << s.spa
       << " operand 0x" << s.operand;
    if (s.what == op::rmpupdate) {
        const rmp_record &r = s.record;
        os << (r.assigned ? " assigned" : "") << (r.size_2m ? " 2m" : "")
           << (r.immutable ? " immutable" : "") << " asid 0x" << r.asid << " gpa 0x" << r.gpa;
    }
    return os << std::dec << "}";
}

} // namespace rmpopt::hw
