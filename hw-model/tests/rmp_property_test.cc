// SPDX-License-Identifier: GPL-2.0-or-later
// Random programs against a reference that knows nothing of 2 MB entries, sub-page counts or
// bookkeeping: it keeps one state per 4 KB page and derives all else by looking at every page.
#include "hw/rmp_check.h"
#include "hw/rmpopt.h"
#include "machine_fixture.h"

#include <map>
#include <rapidcheck/gtest.h>
#include <set>

namespace rmpopt::hw
{

namespace
{

constexpr unsigned cores = 3;

struct page {
    bool assigned = false, immutable = false;
    spa_t whole = 0; ///< base of the 2 MB page that this page is a part of, when `part`
    bool part = false;
    std::uint32_t asid = 0;
    std::uint64_t gpa = 0;
};

class reference
{
  public:
    rmp_status rmpupdate(spa_t spa, const rmp_record &r)
    {
        const std::uint64_t bytes = r.size_2m ? page_2m : page_4k;
        if (spa % bytes != 0 || (!r.assigned && (r.immutable || r.asid != 0)) ||
            !covered(spa, bytes)) {
            return rmp_status::fail_input;
        }
        for (spa_t p = spa; p < spa + bytes; p += page_4k) {
            if (at(p).immutable && (!at(p).part || at(p).whole == p)) {
                return rmp_status::fail_permission;
            }
        }
        for (spa_t p = spa; p < spa + bytes; p += page_4k) {
            if (at(p).part != r.size_2m && (at(p).part || at(p).assigned)) {
                return rmp_status::fail_overlap;
            }
        }
        for (spa_t p = spa; p < spa + bytes; p += page_4k) {
            pages_[p] = !r.assigned ? page{}
                                    : page{.assigned = true,
                                           .immutable = r.immutable,
                                           .whole = spa,
                                           .part = r.size_2m,
                                           .asid = r.asid,
                                           .gpa = r.gpa + (p - spa)};
        }
        optimised_[spa / region_1g].clear();
        return rmp_status::success;
    }

    rmp_status psmash(spa_t spa)
    {
        if (spa % page_2m != 0 || !covered(spa, page_2m)) {
            return rmp_status::fail_input;
        }
        if (!at(spa).part || at(spa).immutable) {
            return rmp_status::fail_permission;
        }
        for (spa_t p = spa; p < spa + page_2m; p += page_4k) {
            pages_[p].part = false;
        }
        optimised_[spa / region_1g].clear();
        return rmp_status::success;
    }

    bool rmpopt(unsigned core, spa_t region)
    {
        const std::uint64_t gb = region / region_1g;
        if (assigned_in(region, region_1g)) {
            optimised_[gb].erase(core);
        } else {
            optimised_[gb].insert(core);
        }
        return reported(core, region);
    }
    bool reported(unsigned core, spa_t region) const
    {
        const auto it = optimised_.find(region / region_1g);
        return it != optimised_.end() && it->second.contains(core);
    }

    const page &at(spa_t spa) const
    {
        static const page none;
        const auto it = pages_.find(spa);
        return it == pages_.end() ? none : it->second;
    }
    bool assigned_in(spa_t from, std::uint64_t bytes) const
    {
        for (auto it = pages_.lower_bound(from); it != pages_.end() && it->first < from + bytes;
             ++it) {
            if (it->second.assigned) {
                return true;
            }
        }
        return false;
    }
    unsigned others_assigned(spa_t base) const
    {
        unsigned n = 0;
        for (spa_t p = base + page_4k; p < base + page_2m; p += page_4k) {
            n += at(p).assigned && !at(p).part ? 1 : 0;
        }
        return n;
    }
    std::uint64_t pages_of(std::uint32_t asid) const
    {
        std::uint64_t n = 0;
        for (const auto &[spa, p] : pages_) {
            n += p.assigned && p.asid == asid ? 1 : 0;
        }
        return n;
    }

  private:
    static bool covered(spa_t spa, std::uint64_t bytes)
    {
        return spa + bytes <= region_1g || (spa >= 2 * region_1g && spa + bytes <= 3 * region_1g);
    }

    std::map<spa_t, page> pages_;
    std::map<std::uint64_t, std::set<unsigned>> optimised_;
};

enum class kind { update, psmash, verify, report };

struct step {
    kind what;
    unsigned core;
    spa_t spa;
    rmp_record record;
};

void showValue(const step &s, std::ostream &os)
{
    os << "{" << static_cast<int>(s.what) << " core " << s.core << " spa " << std::hex << s.spa
       << " assigned " << s.record.assigned << " 2m " << s.record.size_2m << " immutable "
       << s.record.immutable << " asid " << s.record.asid << std::dec << "}";
}

/// Few places, so that steps meet: three 2 MB regions, the edges of RAM, a hole.
constexpr std::array<spa_t, 5> regions_2m{64ull << 20, region_1g - page_2m, region_1g,
                                          2 * region_1g, 3 * region_1g - page_2m};
constexpr std::array<unsigned, 5> pages{0, 0, 1, 2, 511};

rc::Gen<step> any_step()
{
    return rc::gen::exec([] {
        step s{};
        s.what = *rc::gen::weightedElement<kind>(
            {{10, kind::update}, {2, kind::psmash}, {4, kind::verify}, {1, kind::report}});
        s.core = *rc::gen::inRange(0u, cores);
        s.record.size_2m = *rc::gen::weightedElement<bool>({{1, true}, {1, false}});
        s.record.assigned = *rc::gen::weightedElement<bool>({{3, true}, {2, false}});
        s.record.immutable = *rc::gen::weightedElement<bool>({{1, true}, {12, false}});
        s.record.asid = s.record.assigned ? *rc::gen::inRange(0u, 4u) : 0;
        s.record.gpa = *rc::gen::inRange<std::uint64_t>(0, 4) * page_2m;
        const bool misaligned = *rc::gen::weightedElement<bool>({{1, true}, {30, false}});
        const unsigned p =
            s.record.size_2m && *rc::gen::inRange(0, 10) != 0 ? 0 : *rc::gen::elementOf(pages);
        s.spa = *rc::gen::elementOf(regions_2m) + p * page_4k + (misaligned ? 8 : 0);
        return s;
    });
}

/// The machine beside its reference.
class twins
{
  public:
    twins()
    {
        machine::settings s;
        s.cpu = find_persona("venice");
        for (unsigned t = 0; t < 2 * cores; ++t) {
            s.cpus.core_of_thread.push_back(t / 2);
        }
        s.memory =
            memory_view({{0, region_1g, low_.data()}, {2 * region_1g, region_1g, high_.data()}});
        m_ = std::make_unique<machine>(std::move(s));
        m_->memory().store(rmp_base + rmp_bookkeeping_bytes, (rmp_base + (1 << 20)) | 1);
        m_->memory().store(rmp_base + rmp_bookkeeping_bytes + 16, (rmp_base + (8 << 20)) | 1);
        m_->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 30});
        effect_list ignored;
        for (unsigned t = 0; t < 2 * cores; ++t) {
            wrmsr(*m_, t, msr::syscfg, syscfg_reset | syscfg_snp_en, ignored);
            wrmsr(*m_, t, msr::rmpopt_base, rmpopt_enable, ignored);
        }
    }

    void run(const step &s)
    {
        switch (s.what) {
        case kind::update:
            remember_immutable(s.spa);
            RC_ASSERT(rmpupdate(*m_, s.spa, s.record, effects_) == r_.rmpupdate(s.spa, s.record));
            check_immutable();
            break;
        case kind::psmash:
            RC_ASSERT(psmash(*m_, s.spa) == r_.psmash(s.spa));
            break;
        case kind::verify:
            RC_ASSERT(rmpopt(*m_, {.thread = 2 * s.core}, s.spa, 0).cf ==
                      r_.rmpopt(s.core, align_down(s.spa, region_1g)));
            break;
        case kind::report:
            RC_ASSERT(rmpopt(*m_, {.thread = 2 * s.core + 1}, s.spa, 1).cf ==
                      r_.reported(s.core, align_down(s.spa, region_1g)));
            break;
        }
        check();
    }

    /// Applying all effects in their order gives the writability of every page.
    void check_effects() const
    {
        std::map<spa_t, bool> writable;
        for (const guard_range &g : effects_.ranges()) {
            for (spa_t p = g.base; p < g.base + g.bytes; p += page_4k) {
                writable[p] = g.host_writable;
            }
        }
        for_each_page([&](spa_t p) {
            const auto it = writable.find(p);
            RC_ASSERT((it == writable.end() || it->second) == !r_.at(p).assigned);
        });
    }

  private:
    static constexpr spa_t rmp_base = 512ull << 20;

    static void for_each_page(auto f)
    {
        for (const spa_t base : regions_2m) {
            for (spa_t p = base; p < base + page_2m; p += page_4k) {
                f(p);
            }
        }
    }

    void check() const
    {
        for (const spa_t base : regions_2m) {
            const spa_t region = align_down(base, region_1g);
            for (unsigned c = 0; c < cores; ++c) {
                const bool bit = m_->core(c).rmpopt.test(region);
                RC_ASSERT(bit == r_.reported(c, region));
                RC_ASSERT(!bit || !r_.assigned_in(region, region_1g));
            }
            RC_ASSERT(m_->rmp().load(base).subpage_count == r_.others_assigned(base));
            for (const unsigned i : pages) {
                check_page(base + i * page_4k);
                check_writes(base + i * page_4k);
                check_private_reads(base + i * page_4k);
            }
        }
        for (std::uint32_t asid = 1; asid < 4; ++asid) {
            RC_ASSERT(m_->memory().load<std::uint64_t>(rmp_base + 8ull * asid) ==
                      r_.pages_of(asid));
        }
    }

    void check_page(spa_t spa) const
    {
        const rmp_entry e = m_->rmp().load(spa);
        const page &p = r_.at(spa);
        RC_ASSERT(e.assigned == p.assigned);
        if (p.part && p.whole != spa) {
            return; // the base stands for it
        }
        RC_ASSERT(e.size_2m == p.part);
        RC_ASSERT(e.immutable == p.immutable);
        RC_ASSERT(e.asid == p.asid);
        RC_ASSERT(e.gpa == (p.assigned ? p.gpa : 0));
    }

    bool may_write(unsigned core, spa_t spa, bool large_mapping) const
    {
        const rmp_verdict v =
            rmp_check(*m_, 2 * core,
                      {.kind = rmp_access_kind::write, .spa = spa, .large_mapping = large_mapping});
        RC_ASSERT(v.skipped == r_.reported(core, align_down(spa, region_1g)));
        return v.outcome == rmp_outcome::allowed;
    }
    void check_writes(spa_t spa) const
    {
        for (unsigned c = 0; c < cores; ++c) {
            RC_ASSERT(may_write(c, spa, false) == !r_.at(spa).assigned);
            RC_ASSERT(may_write(c, spa, true) ==
                      !r_.assigned_in(align_down(spa, page_2m), page_2m));
        }
    }
    /// Only the owner gets as far as being told to validate the page.
    void check_private_reads(spa_t spa) const
    {
        const page &p = r_.at(spa);
        for (std::uint32_t asid = 1; asid < 4; ++asid) {
            const rmp_verdict v = rmp_check(*m_, 0,
                                            {.who = accessor::snp_guest,
                                             .kind = rmp_access_kind::read,
                                             .spa = spa,
                                             .large_mapping = p.part,
                                             .encrypted = true,
                                             .asid = asid,
                                             .gpa = p.gpa});
            RC_ASSERT((v.rule == rmp_rule::guest_validated) ==
                      (p.assigned && !p.immutable && p.asid == asid));
            RC_ASSERT(v.outcome != rmp_outcome::allowed);
        }
    }

    void remember_immutable(spa_t spa)
    {
        frozen_.clear();
        const spa_t base = align_down(spa, page_2m);
        for (spa_t p = base; p < base + page_2m; p += page_4k) {
            if (const rmp_entry e = m_->rmp().load(p); e.immutable) {
                frozen_[p] = e;
            }
        }
    }
    void check_immutable() const
    {
        for (const auto &[spa, before] : frozen_) {
            rmp_entry now = m_->rmp().load(spa);
            now.subpage_count = before.subpage_count; // belongs to the neighbours
            RC_ASSERT(now == before);
        }
    }

    sparse_memory low_{region_1g};
    sparse_memory high_{region_1g};
    std::unique_ptr<machine> m_;
    reference r_;
    effect_list effects_;
    std::map<spa_t, rmp_entry> frozen_;
};

RC_GTEST_PROP(random_program, agrees_with_one_state_per_page, ())
{
    const auto program = *rc::gen::container<std::vector<step>>(any_step());
    twins t;
    for (const step &s : program) {
        t.run(s);
    }
    t.check_effects();
}

} // namespace

} // namespace rmpopt::hw
