// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/measurement.h"

#include "base/cpu_list.h"
#include "hw-model/access/rmp_check.h"

#include <algorithm>

namespace rmpopt
{

using nlohmann::ordered_json;

namespace
{

constexpr double second = 1e9;

double seconds(std::uint64_t ns)
{
    return static_cast<double>(ns) / second;
}

void add(cell_counter &c, std::uint64_t n)
{
    c.fetch_add(n, std::memory_order_relaxed);
}

std::uint64_t get(const cell_counter &c)
{
    return c.load(std::memory_order_relaxed);
}

rmpopt_work sum(const std::vector<rmpopt_work> &by_core)
{
    rmpopt_work all;
    for (const rmpopt_work &w : by_core) {
        all = all + w;
    }
    return all;
}

std::uint64_t sum(const std::vector<entry_changes> &by_region)
{
    std::uint64_t n = 0;
    for (const entry_changes &c : by_region) {
        n += c.count;
    }
    return n;
}

/// "0-3,5": GiB numbers of the regions that the core may skip checks for.
std::string optimised_regions(const hw::rmpopt_table &table, unsigned regions)
{
    std::vector<std::size_t> set;
    for (unsigned gb = 0; gb < regions; ++gb) {
        if (table.test(gb * hw::region_1g)) {
            set.push_back(gb);
        }
    }
    return number_list(set);
}

} // namespace

void vcpu_measure::close_block(unsigned interval)
{
    if (block.stores != 0) {
        const std::scoped_lock guard(lock);
        drawn[static_cast<unsigned>(block.who)].add(interval, block.stores, block.relevant,
                                                    block.skipped);
    }
    block = {};
}

void vcpu_measure::forget(std::uint64_t address)
{
    filter.forget(address);
    if (vcpu_tlb *t = tlb.load(std::memory_order_relaxed)) {
        t->loads.forget(address);
        t->stores.forget(address);
    }
}

void vcpu_measure::forget_all()
{
    filter.forget_all();
    if (vcpu_tlb *t = tlb.load(std::memory_order_relaxed)) {
        t->forget_all();
    }
}

measurement::measurement(settings s)
    : settings_(std::move(s)), machine_end_(settings_.machine->memory().end())
{
    const hw::topology &cpus = settings_.machine->cpus();
    regions_ = static_cast<unsigned>(hw::align_up(machine_end_, hw::region_1g) / hw::region_1g);
    for (unsigned i = 0; i < cpus.threads(); ++i) {
        vcpus_.push_back(std::make_unique<vcpu_measure>(i, regions_));
    }
    seen_ = std::vector<std::atomic<std::uint64_t>>(cpus.cores());
    work_ = std::vector<work_counters>(cpus.cores());
    rmpupdate_ = std::vector<change_counters>(regions_);
    psmash_ = std::vector<change_counters>(regions_);
    told_tables_.assign(cpus.cores(), 0);
    told_ = note().counted;
    phase_base_ = told_;
}

cell_outcome measurement::outcome_of(unsigned thread, cell_accessor who, hw::spa_t spa) const
{
    static constexpr std::array initiators{hw::initiator::host, hw::initiator::nonsnp_guest,
                                           hw::initiator::snp_guest};
    switch (hw::rmp_lookup_of(*settings_.machine, thread,
                              {.who = initiators[static_cast<unsigned>(who)],
                               .kind = hw::rmp_access_kind::write,
                               .spa = spa})) {
    case hw::rmp_lookup::skipped:
        return cell_outcome::skipped;
    case hw::rmp_lookup::made:
        return cell_outcome::checked;
    case hw::rmp_lookup::off:
    case hw::rmp_lookup::unneeded: // not of writes
        break;
    }
    return cell_outcome::off;
}

cell_counter &measurement::counter_of(unsigned thread, cell_accessor who, cell_level level,
                                      hw::spa_t spa)
{
    return vcpus_[thread]->cells.at(static_cast<unsigned>(spa / hw::region_1g), who, level,
                                    outcome_of(thread, who, spa));
}

void measurement::machine_changed()
{
    const hw::topology &cpus = settings_.machine->cpus();
    std::vector<bool> changed(cpus.cores());
    for (unsigned c = 0; c < cpus.cores(); ++c) {
        const hw::core_state &core = settings_.machine->core(c);
        const std::uint64_t now = core.rmpopt.version() << 1 | (core.snp_en.load() ? 1 : 0);
        changed[c] = seen_[c].exchange(now) != now;
    }
    for (unsigned t = 0; t < cpus.threads(); ++t) {
        if (changed[cpus.core_of_thread[t]]) {
            vcpus_[t]->filter.invalidate();
            if (vcpu_tlb *tlb = vcpus_[t]->tlb) {
                tlb->invalidate();
            }
        }
    }
}

void measurement::rmp_changed(hw::spa_range r)
{
    for (const auto &v : vcpus_) {
        if (vcpu_tlb *tlb = v->tlb) {
            tlb->model.rmp_changed(r);
            tlb->invalidate();
        }
    }
}

void measurement::tlb_reset(unsigned thread)
{
    if (vcpu_tlb *tlb = vcpus_[thread]->tlb) {
        tlb->model.flush_all(tlb_flush::reset);
        tlb->forget_all();
    }
}

/// A core's threads share its entries.
void measurement::make_tlbs()
{
    const hw::topology &cpus = settings_.machine->cpus();
    for (unsigned t = 0; t < cpus.threads(); ++t) {
        const auto sharing =
            static_cast<unsigned>(std::ranges::count(cpus.core_of_thread, cpus.core_of_thread[t]));
        vcpu_measure &v = *vcpus_[t];
        if (v.tlb_owner_ == nullptr) {
            v.tlb_owner_ = std::make_unique<vcpu_tlb>(settings_.tlb.share_of(sharing));
            v.tlb.store(v.tlb_owner_.get(), std::memory_order_release);
        } else {
            // Accesses went by unseen meanwhile.
            v.tlb_owner_->model.flush_all(tlb_flush::reset);
            v.tlb_owner_->invalidate();
        }
    }
}

void measurement::rmpopt(unsigned thread, const hw::rmpopt_result &r)
{
    if (r.exception != hw::fault::none) {
        return;
    }
    work_counters &w = work_[settings_.machine->cpus().core_of_thread[thread]];
    add(w.executed, 1);
    add(w.optimised, r.cf ? 1 : 0);
    add(w.scans, r.scanned ? 1 : 0);
    add(w.cached, r.cached ? 1 : 0);
    add(w.scanned_2m, r.looked_at);
    machine_changed();
}

void measurement::count_change(std::vector<change_counters> &changes, hw::spa_t spa,
                               hw::rmp_status s)
{
    if (is_counted(spa)) {
        change_counters &c = changes[spa / hw::region_1g];
        add(c.count, 1);
        add(c.failed, s == hw::rmp_status::success ? 0 : 1);
    }
    machine_changed();
}

void measurement::rmpupdate(hw::spa_t spa, hw::rmp_status s)
{
    count_change(rmpupdate_, spa, s);
}

void measurement::psmash(hw::spa_t spa, hw::rmp_status s)
{
    count_change(psmash_, spa, s);
}

void measurement::guests(std::uint64_t launched, std::uint64_t ended)
{
    guests_launched_.store(launched, std::memory_order_relaxed);
    guests_ended_.store(ended, std::memory_order_relaxed);
}

totals measurement::collect() const
{
    const hw::topology &cpus = settings_.machine->cpus();
    totals t(cpus.cores(), regions_);
    for (unsigned i = 0; i < cpus.threads(); ++i) {
        t.add(cpus.core_of_thread[i], vcpus_[i]->cells);
        const std::scoped_lock guard(vcpus_[i]->lock);
        for (unsigned a = 0; a < cell_accessors; ++a) {
            t.blocks[a] = t.blocks[a] + vcpus_[i]->drawn[a];
        }
        if (const vcpu_tlb *tlb = vcpus_[i]->tlb) {
            t.tlb.add(tlb->model.counters);
        }
    }
    for (unsigned c = 0; c < cpus.cores(); ++c) {
        const work_counters &w = work_[c];
        t.rmpopt[c] = {get(w.executed), get(w.optimised), get(w.scans), get(w.cached),
                       get(w.scanned_2m)};
    }
    for (unsigned r = 0; r < regions_; ++r) {
        t.rmpupdate[r] = {get(rmpupdate_[r].count), get(rmpupdate_[r].failed)};
        t.psmash[r] = {get(psmash_[r].count), get(psmash_[r].failed)};
    }
    t.guests_launched = get(guests_launched_);
    t.guests_ended = get(guests_ended_);
    return t;
}

measurement::moment measurement::current() const
{
    return is_over() ? noted_ : moment{.at = settings_.clock(), .counted = collect()};
}

void measurement::switched(measure_request to)
{
    const std::scoped_lock guard(lock_);
    if (is_over()) {
        return;
    }
    const auto &[now, counted] = note();
    measured_ns_ = measured_ns(now);
    started_ns_ = now;
    mode_ = to;
    for (const auto &v : vcpus_) {
        v->forget_all(); // nobody told of new translations while it was off
    }
    if (to.mode != measure_mode::off) {
        ever_ = to;
        if (to.tlb) {
            make_tlbs();
        }
        if (phases_.empty()) {
            phases_.push_back({.name = "", .start = now, .end = 0, .counted = nullptr});
            phase_base_ = counted;
        }
    }
    used_ = used_ || to.mode != measure_mode::off;
    ordered_json tlb = false;
    if (to.tlb) {
        tlb = settings_.tlb.name;
    }
    settings_.event(
        "measure",
        {{"mode", mode_name(to.mode)}, {"interval", to.interval}, {"tlb", std::move(tlb)}});
}

void measurement::clock_restarts()
{
    const std::scoped_lock guard(lock_);
    const std::uint64_t now = settings_.clock();
    measured_ns_ = measured_ns(now);
    started_ns_ = noted_.at = 0;
}

measure_request measurement::mode() const
{
    const std::scoped_lock guard(lock_);
    return mode_;
}

void measurement::mark(std::string_view name)
{
    const std::scoped_lock guard(lock_);
    if (is_over()) {
        return;
    }
    const auto &[now, counted] = note();
    settings_.event("mark", {{"name", name}});
    used_ = true;
    if (phases_.size() >= most_phases) {
        return;
    }
    end_phase(counted, now);
    if (!name.empty()) {
        phases_.push_back({.name = std::string(name), .start = now, .end = 0, .counted = nullptr});
        phase_base_ = counted;
    }
}

void measurement::end_phase(const totals &now, std::uint64_t at)
{
    if (phases_.empty() || phases_.back().end != 0) {
        return;
    }
    phase &p = phases_.back();
    p.end = std::max<std::uint64_t>(at, 1);
    p.counted = phase_json(p, now - phase_base_);
}

ordered_json measurement::phase_json(const phase &p, const totals &counted) const
{
    ordered_json end;
    if (p.end != 0) {
        end = seconds(p.end);
    }
    ordered_json tlb;
    if (has_tlbs()) {
        tlb = tlb_work_json(counted);
    }
    return {{"name", p.name},
            {"start", seconds(p.start)},
            {"end", end},
            {"cells", cells_json(counted)},
            {"device", counted.device},
            {"estimates", estimates_json(counted)},
            {"tlb", std::move(tlb)},
            {"rmpopt", work_json(sum(counted.rmpopt))},
            {"rmpupdate", sum(counted.rmpupdate)},
            {"guests", {{"launched", counted.guests_launched}, {"ended", counted.guests_ended}}}};
}

void measurement::tick()
{
    const std::scoped_lock guard(lock_);
    const totals &now = note().counted;
    const totals d = now - told_;
    tell_tables();
    tell_work(d);
    ordered_json cells = cells_json(d);
    if (!cells.empty() || d.device != 0) {
        settings_.event("counts", {{"cells", std::move(cells)}, {"device", d.device}});
    }
    told_ = now;
}

void measurement::tell_tables()
{
    for (unsigned c = 0; c < told_tables_.size(); ++c) {
        const hw::rmpopt_table &table = settings_.machine->core(c).rmpopt;
        const std::uint64_t version = table.version();
        if (std::exchange(told_tables_[c], version) != version) {
            settings_.event("table",
                            {{"core", c}, {"optimised", optimised_regions(table, regions_)}});
        }
    }
}

void measurement::tell_work(const totals &d)
{
    for (unsigned c = 0; c < d.rmpopt.size(); ++c) {
        if (d.rmpopt[c] != rmpopt_work{}) {
            ordered_json fields{{"core", c}};
            fields.update(work_json(d.rmpopt[c]));
            settings_.event("rmpopt", std::move(fields));
        }
    }
    for (const auto &[type, changes] :
         {std::pair{"rmpupdate", &d.rmpupdate}, std::pair{"psmash", &d.psmash}}) {
        for (unsigned gb = 0; gb < changes->size(); ++gb) {
            const entry_changes &c = (*changes)[gb];
            if (c != entry_changes{}) {
                settings_.event(type, {{"gb", gb}, {"count", c.count}, {"failed", c.failed}});
            }
        }
    }
}

ordered_json measurement::tlb_json(const totals &t) const
{
    if (!has_tlbs()) {
        return nullptr;
    }
    const tlb_geometry &g = settings_.tlb;
    ordered_json out{{"preset", g.name},
                     {"levels",
                      {{{"name", "L1 DTLB"}, {"entries", g.l1_entries}, {"ways", g.l1_entries}},
                       {{"name", "L2 DTLB"}, {"entries", g.l2_entries}, {"ways", g.l2_ways}}}},
                     {"source", g.source}};
    out.update(tlb_work_json(t));
    return out;
}

std::uint64_t measurement::measured_ns(std::uint64_t now) const
{
    return measured_ns_ + (mode_.mode == measure_mode::off ? 0 : now - started_ns_);
}

ordered_json measurement::report() const
{
    const std::scoped_lock guard(lock_);
    if (!used_) {
        return nullptr;
    }
    const auto [now, counted] = current();
    ordered_json out{{"mode", mode_name(ever_.mode)},
                     {"interval", ever_.interval},
                     {"seconds", seconds(measured_ns(now))},
                     {"confidence", confidence},
                     {"tlb", tlb_json(counted)},
                     {"model",
                      {{"rmpopt_cycles", modelled_cycles(sum(counted.rmpopt))},
                       {"rmpopt_base_cycles", rmpopt_base_cycles},
                       {"rmpopt_entry_cycles", rmpopt_entry_cycles},
                       {"source", "fitted to AMD's measurements (linux-crypto, 2026-03-04)"}}},
                     {"cells", cells_json(counted)},
                     {"device", counted.device},
                     {"unresolved", counted.unresolved},
                     {"estimates", estimates_json(counted)},
                     {"phases", ordered_json::array()}};
    for (const phase &p : phases_) {
        out["phases"].push_back(p.end != 0 ? p.counted : phase_json(p, counted - phase_base_));
    }
    return out;
}

std::size_t measurement::bytes() const
{
    const std::scoped_lock guard(lock_);
    std::size_t n = sizeof *this + told_.bytes() + phase_base_.bytes() + noted_.counted.bytes() +
                    (rmpupdate_.size() + psmash_.size()) * sizeof(change_counters);
    for (const auto &v : vcpus_) {
        n += sizeof *v + v->cells.bytes();
        if (const vcpu_tlb *tlb = v->tlb) {
            n += tlb->bytes();
        }
    }
    return n;
}

} // namespace rmpopt
