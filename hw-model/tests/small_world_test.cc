// SPDX-License-Identifier: GPL-2.0-or-later
// Every state of a small world: two regions of one 2 MB region each, two cores, a few pages. All
// operations in all states, breadth first, until nothing new turns up. In each state the model
// agrees with its reference and the audit finds nothing.
#include "twins/twins.h"

#include <cstdio>
#include <deque>
#include <gtest/gtest.h>
#include <sstream>
#include <unordered_set>

namespace rmpopt::hw
{

namespace
{

constexpr world small{.cores = 2, .pages = pages_per_2m};
constexpr spa_t first = world::regions[0], second = world::regions[1];
constexpr spa_t held_page = page_4k; ///< the one that a guest holds while it runs
constexpr spa_t last_page = page_2m - page_4k;
constexpr unsigned guest_thread = 2;
constexpr std::uint64_t gpa = 0x4000'0000;

/// Values in which neighbours repeat, or whose guest address grows from page to page, as one run.
struct raw_run {
    std::uint64_t lo = 0, hi = 0, step = 0;
    unsigned length = 0;
};
struct page_run {
    reference_page page;
    std::uint64_t step = 0;
    unsigned length = 0;
};

std::vector<raw_run> pack(std::span<const std::uint64_t> words)
{
    std::vector<raw_run> runs;
    for (std::size_t i = 0; i < words.size(); i += 2) {
        if (!runs.empty()) {
            raw_run &r = runs.back();
            const std::uint64_t step = words[i] - words[i - 2];
            if (words[i + 1] == r.hi && (step == 0 || step == page_4k) &&
                (r.length == 1 || step == r.step)) {
                r.step = step;
                ++r.length;
                continue;
            }
        }
        runs.push_back({words[i], words[i + 1], 0, 1});
    }
    return runs;
}

void unpack(const std::vector<raw_run> &runs, std::span<std::uint64_t> words)
{
    std::size_t at = 0;
    for (const raw_run &r : runs) {
        for (unsigned i = 0; i < r.length; ++i) {
            words[at++] = r.lo + i * r.step;
            words[at++] = r.hi;
        }
    }
}

std::vector<page_run> pack(const std::vector<reference_page> &pages)
{
    std::vector<page_run> runs;
    for (const reference_page &p : pages) {
        if (!runs.empty()) {
            page_run &r = runs.back();
            reference_page next = r.page;
            next.gpa = p.gpa;
            const std::uint64_t step = p.gpa - (r.page.gpa + (r.length - 1) * r.step);
            if (next == p && (step == 0 || step == page_4k) && (r.length == 1 || step == r.step)) {
                r.step = step;
                ++r.length;
                continue;
            }
        }
        runs.push_back({p, 0, 1});
    }
    return runs;
}

void unpack(const std::vector<page_run> &runs, std::vector<reference_page> &pages)
{
    pages.clear();
    for (const page_run &r : runs) {
        for (unsigned i = 0; i < r.length; ++i) {
            pages.push_back(r.page);
            pages.back().gpa += i * r.step;
        }
    }
}

/// All of both twins that steps can change, apart from counters.
struct saved {
    std::uint64_t asid_pages = 0; ///< of ASID 1, the only one
    std::vector<raw_run> entries;
    std::array<std::uint64_t, 2> msr{};
    std::array<bool, 2> snp_en{};
    std::array<unsigned, 2> bits{};
    bool guest_runs = false;
    std::vector<page_run> pages;
    std::vector<reference_core> cores;
};

saved save(twins &t)
{
    saved s;
    s.asid_pages = t.bookkeeping()[1];
    s.entries = pack(t.entries(0));
    s.pages = pack(t.expected().pages());
    s.cores = t.expected().cores();
    s.guest_runs = t.model().page_in_use(held_page);
    for (unsigned c = 0; c < 2; ++c) {
        const core_state &core = t.model().core(c);
        s.msr[c] = core.rmpopt.msr();
        s.snp_en[c] = core.snp_en;
        s.bits[c] = (core.rmpopt.test(first) ? 1 : 0) | (core.rmpopt.test(second) ? 2 : 0);
    }
    return s;
}

void restore(twins &t, const saved &s)
{
    t.bookkeeping()[1] = s.asid_pages;
    unpack(s.entries, t.entries(0));
    unpack(s.pages, t.expected().pages());
    t.expected().cores() = s.cores;
    for (unsigned c = 0; c < 2; ++c) {
        core_state &core = t.model().core(c);
        core.rmpopt.clear_all();
        core.rmpopt.set_msr(s.msr[c]);
        core.snp_en = s.snp_en[c];
        for (unsigned i = 0; i < 2; ++i) {
            if ((s.bits[c] >> i & 1) != 0) {
                core.rmpopt.set(world::regions[i]);
            }
        }
    }
    t.execute({.what = s.guest_runs ? op::enter_guest : op::leave_guest,
               .ctx = {.thread = guest_thread},
               .spa = held_page});
    t.assume_guards();
}

/// Two states are one when their keys are equal.
std::string key(const saved &s)
{
    std::ostringstream os;
    os << s.guest_runs << s.asid_pages << ' ' << std::hex;
    for (const raw_run &r : s.entries) {
        os << r.lo << ',' << r.hi << ',' << r.step << ',' << r.length << ' ';
    }
    for (unsigned c = 0; c < 2; ++c) {
        os << s.msr[c] << s.snp_en[c] << s.bits[c] << ' ';
        os << s.cores[c].rmpopt_base << s.cores[c].snp_en << s.cores[c].optimised.size();
    }
    for (const page_run &r : s.pages) {
        const reference_page &p = r.page;
        os << p.assigned << p.immutable << p.validated << p.part << p.asid << ' ' << p.gpa << ','
           << r.step << ',' << r.length << ' ';
    }
    return os.str();
}

rmp_record page(spa_t spa, bool immutable = false, bool size_2m = false)
{
    rmp_record r;
    r.assigned = true;
    r.immutable = immutable;
    r.size_2m = size_2m;
    r.asid = 1;
    r.gpa = gpa + spa % region_1g;
    return r;
}

void add_page_steps(std::vector<step> &out, spa_t spa)
{
    out.push_back({.what = op::rmpupdate, .spa = spa, .record = page(spa)});
    out.push_back({.what = op::rmpupdate, .spa = spa});
    out.push_back({.what = op::rmpread, .spa = spa});
}

void add_2m_steps(std::vector<step> &out, spa_t base)
{
    out.push_back({.what = op::rmpupdate, .spa = base, .record = page(base, false, true)});
    out.push_back({.what = op::rmpupdate, .spa = base, .record = {.size_2m = true}});
    out.push_back({.what = op::psmash, .spa = base});
}

/// More is done to the first region than to the second: two of them are there to show that they
/// keep apart.
std::vector<step> all_steps()
{
    std::vector<step> out;
    for (const spa_t spa : {first, held_page, last_page, second, second + last_page}) {
        add_page_steps(out, spa);
    }
    add_2m_steps(out, first);
    add_2m_steps(out, second);
    out.push_back({.what = op::rmpupdate, .spa = first, .record = page(first, true)});
    out.push_back({.what = op::rmpupdate, .spa = first, .record = page(first, true, true)});
    out.push_back({.what = op::use_as_guest, .spa = first});
    for (const spa_t wrong : {first + 8, first + page_4k + 1, first + page_2m, world::hole}) {
        out.push_back({.what = op::rmpupdate, .spa = wrong, .record = page(0)});
        out.push_back({.what = op::psmash, .spa = wrong});
    }
    for (const unsigned thread : {0u, 3u}) {
        for (const spa_t spa : {first, second}) {
            out.push_back({.what = op::rmpopt, .ctx = {.thread = thread}, .spa = spa});
            out.push_back(
                {.what = op::rmpopt, .ctx = {.thread = thread}, .spa = spa, .operand = 1});
        }
        const step write{.what = op::write_rmpopt_base, .ctx = {.thread = thread}};
        out.insert(out.end(), 2, write);
        out.back().operand = second | rmpopt_enable;
    }
    out.push_back({.what = op::write_rmpopt_base, .ctx = {.thread = 1}, .operand = rmpopt_enable});
    out.push_back({.what = op::clear_rmpopt_tables});
    for (const op o : {op::enter_guest, op::leave_guest}) {
        out.push_back({.what = o, .ctx = {.thread = guest_thread}, .spa = held_page});
    }
    out.push_back({.what = op::shutdown});
    for (const unsigned thread : {0u, 3u}) {
        out.push_back({.what = op::enable_snp, .ctx = {.thread = thread}});
    }
    return out;
}

class explorer
{
  public:
    void run()
    {
        note();
        while (!frontier_.empty() && !testing::Test::HasFailure()) {
            const auto [state, depth] = std::move(frontier_.front());
            frontier_.pop_front();
            depth_ = depth;
            for (const step &s : steps_) {
                restore(twins_, state);
                take(s);
            }
        }
        std::printf("%zu states, %lu transitions, depth %u\n", seen_.size(), transitions_, depth_);
    }

  private:
    void take(const step &s)
    {
        ++transitions_;
        const std::string wrong = twins_.execute(s);
        ASSERT_EQ(wrong, "") << s;
        note(&s);
    }
    /// What is seen for the first time is looked at and explored later.
    void note(const step *by = nullptr)
    {
        saved s = save(twins_);
        if (!seen_.insert(std::hash<std::string>{}(key(s))).second) {
            return;
        }
        const std::string wrong = twins_.compare();
        if (!wrong.empty()) {
            std::ostringstream os;
            by == nullptr ? os << "at the start" : os << *by;
            FAIL() << wrong << " after " << os.str();
        }
        frontier_.emplace_back(std::move(s), depth_ + 1);
    }

    twins twins_{small};
    const std::vector<step> steps_ = all_steps();
    std::unordered_set<std::size_t> seen_; ///< hashes: 64 bits for some ten thousand states
    std::deque<std::pair<saved, unsigned>> frontier_;
    unsigned depth_ = 0;
    std::uint64_t transitions_ = 0;
};

TEST(small_world, agrees_with_its_reference_in_every_state)
{
    explorer().run();
}

} // namespace

} // namespace rmpopt::hw
