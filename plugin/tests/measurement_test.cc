// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine_fixture.h"
#include "measure/measurement.h"

#include <atomic>
#include <thread>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class measurement_fixture : public hw::machine_fixture
{
  protected:
    void SetUp() override
    {
        build();
        m->memory().store(0, std::uint64_t{0});
        measured = std::make_unique<measurement>(
            measurement::settings{.machine = m.get(),
                                  .tlb = tlb_presets().front(),
                                  .clock = [this] { return time; },
                                  .event =
                                      [this](std::string_view type, nlohmann::ordered_json fields) {
                                          events.emplace_back(type, json(fields));
                                      },
                                  .is_over = [this] { return is_over; }});
    }
    /// A store that misses the filter, as the plugin's callback does it.
    void store(unsigned thread, hw::spa_t spa, cell_accessor who = cell_accessor::host)
    {
        vcpu_measure &v = measured->vcpu(thread);
        cell_counter *const *known = v.filter.find(spa);
        cell_counter *c = known != nullptr ? *known : nullptr;
        if (c == nullptr) {
            v.filter.begin_lookup();
            c = &measured->counter_of(thread, who, cell_level::store, spa);
            v.filter.remember(spa, c);
        }
        bump(*c);
    }
    bool optimise_and_tell(unsigned thread, hw::spa_t region)
    {
        const hw::rmpopt_result r = optimise(thread, region, 0);
        measured->rmpopt(thread, r);
        return r.cf;
    }
    json report() const { return measured->report(); }
    std::vector<json> told(std::string_view type) const
    {
        std::vector<json> out;
        for (const auto &[t, fields] : events) {
            if (t == type) {
                out.push_back(fields);
            }
        }
        return out;
    }
    void enable()
    {
        enable_snp();
        enable_rmpopt();
        measured->machine_changed();
    }

    std::unique_ptr<measurement> measured;
    std::uint64_t time = 0;
    bool is_over = false;
    std::vector<std::pair<std::string, json>> events;
};

TEST_F(measurement_fixture, NothingToReportWhenNobodyAsked)
{
    EXPECT_TRUE(report().is_null());
}

TEST_F(measurement_fixture, CountingEndsWithTheLastTickBeforeTheEnd)
{
    measured->switched({.mode = measure_mode::exact});
    store(0, low_2m);
    time = 1'000'000'000;
    measured->tick();
    const json before = report();
    is_over = true;
    time = 2'000'000'000;
    store(0, low_2m);
    measured->tick();
    measured->mark("late");
    measured->switched({});
    EXPECT_EQ(report(), before);
    EXPECT_EQ(told("counts").size(), 1u);
}

TEST_F(measurement_fixture, CountingEndsWithAMarkThatIsLaterThanTheLastTick)
{
    measured->switched({.mode = measure_mode::exact});
    store(0, low_2m);
    measured->tick();
    store(0, low_2m);
    measured->mark("last");
    is_over = true;
    store(0, low_2m);
    EXPECT_EQ(report()["cells"], json::parse(R"([[0, 0, "host", "store", 0, 0, 2]])"));
    EXPECT_EQ(report()["phases"][1]["cells"], json::array());
}

TEST_F(measurement_fixture, WithoutSnpNothingIsChecked)
{
    measured->switched({.mode = measure_mode::exact});
    store(0, low_2m);
    EXPECT_EQ(report()["cells"], json::parse(R"([[0, 0, "host", "store", 0, 0, 1]])"));
    EXPECT_TRUE(report()["estimates"][0]["skip_rate"].is_null());
}

TEST_F(measurement_fixture, ByCoreRegionAccessorAndOutcome)
{
    enable();
    ASSERT_TRUE(optimise_and_tell(0, high.base));
    measured->switched({.mode = measure_mode::exact});
    store(0, high_2m);
    store(1, high_2m); // the sibling shares the table
    store(2, high_2m); // another core
    store(3, low_2m);
    store(2, low_2m, cell_accessor::guest);
    EXPECT_EQ(report()["cells"], json::parse(R"([
        [0, 2, "host", "store", 0, 2, 0],
        [1, 0, "host", "store", 1, 0, 0],
        [1, 0, "guest", "store", 1, 0, 0],
        [1, 2, "host", "store", 1, 0, 0]])"));
    EXPECT_EQ(report()["estimates"][0]["skip_rate"], 0.5);
}

TEST_F(measurement_fixture, StoresOfSnpGuestsAreAlwaysChecked)
{
    enable();
    ASSERT_TRUE(optimise_and_tell(0, high.base));
    measured->switched({.mode = measure_mode::exact});
    store(0, high_2m, cell_accessor::guest);
    store(1, high_2m + hw::page_4k, cell_accessor::snp_guest);
    EXPECT_EQ(report()["cells"], json::parse(R"([
        [0, 2, "guest", "store", 0, 1, 0],
        [0, 2, "snp-guest", "store", 1, 0, 0]])"));
    EXPECT_EQ(report()["estimates"][0]["skip_rate"], 1.0);
    EXPECT_EQ(report()["estimates"][1]["accessor"], "snp-guest");
    EXPECT_EQ(report()["estimates"][1]["skip_rate"], 0.0);
}

TEST_F(measurement_fixture, TheFilterDoesNotOutliveTheTable)
{
    enable();
    measured->switched({.mode = measure_mode::exact});
    store(0, high_2m);
    optimise_and_tell(0, high.base);
    store(0, high_2m);
    measured->rmpupdate(high_2m, update(high_2m, guest_page()));
    store(0, high_2m + hw::page_2m);
    store(0, high_2m);
    EXPECT_EQ(report()["cells"], json::parse(R"([[0, 2, "host", "store", 3, 1, 0]])"));
}

TEST_F(measurement_fixture, AnRmpupdateElsewhereCostsNoFilter)
{
    enable();
    optimise_and_tell(0, high.base);
    measured->switched({.mode = measure_mode::exact});
    store(0, high_2m);
    measured->rmpupdate(low_2m, update(low_2m, guest_page()));
    EXPECT_NE(measured->vcpu(0).filter.find(high_2m), nullptr);
}

TEST_F(measurement_fixture, PhasesAreCountedApart)
{
    enable();
    measured->switched({.mode = measure_mode::exact});
    store(0, low_2m);
    time = 2'000'000'000;
    measured->mark("first");
    store(0, low_2m);
    store(0, low_2m);
    optimise_and_tell(0, high.base);
    time = 3'500'000'000;
    measured->mark("");
    store(0, low_2m);
    measured->mark("second");
    const json phases = report()["phases"];
    ASSERT_EQ(phases.size(), 3u);
    EXPECT_EQ(phases[0]["name"], "");
    EXPECT_EQ(phases[0]["estimates"][0]["stores"], 1);
    EXPECT_EQ(phases[1]["name"], "first");
    EXPECT_EQ(phases[1]["start"], 2.0);
    EXPECT_EQ(phases[1]["end"], 3.5);
    EXPECT_EQ(phases[1]["estimates"][0]["stores"], 2);
    EXPECT_EQ(phases[1]["rmpopt"]["executed"], 1);
    EXPECT_EQ(phases[1]["rmpopt"]["scanned_2m"], 512);
    EXPECT_EQ(phases[2]["name"], "second");
    EXPECT_TRUE(phases[2]["end"].is_null());
    EXPECT_TRUE(phases[2]["estimates"].empty());
    EXPECT_EQ(report()["estimates"][0]["stores"], 4) << "between phases counts as well";
}

TEST_F(measurement_fixture, EventsTellWhatIsNew)
{
    enable();
    measured->tick();
    events.clear();
    measured->tick();
    EXPECT_TRUE(events.empty());
    optimise_and_tell(2, high.base);
    store(2, high_2m);
    measured->tick();
    ASSERT_EQ(told("table").size(), 1u);
    EXPECT_EQ(told("table")[0], json::parse(R"({"core": 1, "optimised": "2"})"));
    ASSERT_EQ(told("rmpopt").size(), 1u);
    EXPECT_EQ(told("rmpopt")[0]["scans"], 1);
    ASSERT_EQ(told("counts").size(), 1u);
    EXPECT_EQ(told("counts")[0]["cells"], json::parse(R"([[1, 2, "host", "store", 0, 1, 0]])"));
    events.clear();
    measured->rmpupdate(high_2m, update(high_2m, guest_page()));
    measured->rmpupdate(high_2m, hw::rmp_status::fail_overlap);
    measured->tick();
    EXPECT_EQ(told("rmpupdate")[0], json::parse(R"({"gb": 2, "count": 2, "failed": 1})"));
    EXPECT_EQ(told("table")[0]["optimised"], "");
    EXPECT_TRUE(told("counts").empty());
}

TEST_F(measurement_fixture, CountsOfEventsAddUpToTheReport)
{
    enable();
    measured->switched({.mode = measure_mode::exact});
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < 100; ++i) {
        store(i % 4, i % 3 == 0 ? low_2m : high_2m);
        if (i % 7 == 0) {
            measured->tick();
        }
    }
    measured->tick();
    for (const json &counts : told("counts")) {
        for (const json &cell : counts["cells"]) {
            sum += cell[4].get<std::uint64_t>() + cell[5].get<std::uint64_t>();
        }
    }
    EXPECT_EQ(sum, 100u);
}

TEST_F(measurement_fixture, TimeCountsWhileMeasured)
{
    measured->switched({.mode = measure_mode::exact});
    time = 1'000'000'000;
    measured->switched({});
    time = 5'000'000'000;
    measured->switched({.mode = measure_mode::sampled, .interval = 10});
    time = 7'000'000'000;
    EXPECT_EQ(report()["seconds"], 3.0);
    EXPECT_EQ(report()["mode"], "sampled");
}

TEST_F(measurement_fixture, PhasesWithoutEndCannotFillMemory)
{
    measured->switched({.mode = measure_mode::exact});
    for (std::size_t i = 0; i < 2 * measurement::most_phases; ++i) {
        measured->mark("x");
    }
    EXPECT_EQ(report()["phases"].size(), measurement::most_phases);
}

TEST_F(measurement_fixture, ADrawnBlockCountsItsStoresTimesTheInterval)
{
    vcpu_measure &v = measured->vcpu(0);
    v.block = {.who = cell_accessor::host, .stores = 3, .relevant = 2, .skipped = 1};
    v.close_block(10);
    v.close_block(10); // nothing in it
    EXPECT_EQ(v.drawn[0].blocks, 1u);
    EXPECT_EQ(v.drawn[0].ss, 10 * 9 * 9);
}

TEST(PageFilter, FindsOnlyThePageThatItWasToldOf)
{
    page_filter<cell_counter *> filter;
    cell_counter counter{0};
    filter.begin_lookup();
    filter.remember(0x7000, &counter);
    ASSERT_NE(filter.find(0x7fff), nullptr);
    EXPECT_EQ(*filter.find(0x7fff), &counter);
    EXPECT_EQ(filter.find(0x8000), nullptr);
    EXPECT_EQ(filter.find(0x7000 + page_filter<cell_counter *>::slots * 0x1000ull), nullptr)
        << "same slot";
    filter.forget(0x7123);
    EXPECT_EQ(filter.find(0x7000), nullptr);
}

TEST(PageFilter, PageZeroIsNoEmptySlot)
{
    const page_filter<cell_counter *> filter;
    EXPECT_EQ(filter.find(0), nullptr);
}

TEST(PageFilter, InvalidatedUntilTheNextLookup)
{
    page_filter<cell_counter *> filter;
    cell_counter counter{0};
    filter.begin_lookup();
    filter.remember(0x7000, &counter);
    filter.invalidate();
    EXPECT_EQ(filter.find(0x7000), nullptr);
    filter.begin_lookup();
    EXPECT_EQ(filter.find(0x7000), nullptr) << "what was known is forgotten";
    filter.remember(0x7000, &counter);
    EXPECT_NE(filter.find(0x7000), nullptr);
}

TEST(PageFilter, AChangeDuringALookupWins)
{
    page_filter<cell_counter *> filter;
    cell_counter counter{0};
    filter.begin_lookup();
    filter.invalidate(); // another CPU's RMPUPDATE
    filter.remember(0x7000, &counter);
    EXPECT_EQ(filter.find(0x7000), nullptr);
}

TEST(MeasureRequest, Words)
{
    measure_request r;
    EXPECT_EQ(parse_measure("exact", r), "");
    EXPECT_EQ(r.mode, measure_mode::exact);
    EXPECT_FALSE(r.tlb);
    EXPECT_EQ(parse_measure("exact+tlb", r), "");
    EXPECT_EQ(r.mode, measure_mode::exact);
    EXPECT_TRUE(r.tlb);
    EXPECT_EQ(parse_measure("sampled=1000", r), "");
    EXPECT_EQ(r.interval, 1000u);
    EXPECT_EQ(parse_measure("off", r), "");
    EXPECT_EQ(r, measure_request{});
    for (const char *bad : {"", "on", "sampled", "sampled=", "sampled=1", "sampled=0", "sampled=-5",
                            "sampled=5x", "sampled=1000000001", "sampled=99999999999", "exact "}) {
        EXPECT_NE(parse_measure(bad, r).find("is not off, exact, exact+tlb or sampled=N"),
                  std::string::npos)
            << bad;
    }
}

TEST(PageFilter, ForgetsAllAsOftenAsOneLikes)
{
    page_filter<int> filter;
    filter.begin_lookup();
    for (int i = 0; i < 10000; ++i) {
        EXPECT_EQ(filter.find(0x7000), nullptr);
        EXPECT_EQ(filter.find(0), nullptr);
        filter.remember(0x7000, i);
        ASSERT_NE(filter.find(0x7000), nullptr);
        EXPECT_EQ(*filter.find(0x7000), i);
        filter.forget_all();
    }
}

/// One counter for each region, CPU and outcome: that grows with memory.
TEST(Measurement, StaysSmallWithTwoTerabytesAndSixtyFourCpus)
{
    hw::machine::settings s;
    s.cpu = hw::find_cpu_model("venice");
    for (unsigned t = 0; t < 64; ++t) {
        s.cpus.core_of_thread.push_back(t / 2);
    }
    std::byte nothing{};
    s.memory = hw::memory_view({{0, 2048 * hw::region_1g, &nothing}});
    const hw::machine m(std::move(s));
    measurement measured({.machine = &m,
                          .tlb = tlb_presets().back(),
                          .clock = [] { return std::uint64_t{0}; },
                          .event = [](auto, auto) {}});
    EXPECT_GT(measured.bytes(), 10u << 20);
    measured.switched({.mode = measure_mode::exact, .tlb = true});
    EXPECT_LE(measured.bytes(), 64u << 20);
}

TEST_F(measurement_fixture, SecondsGoOnWhenTheClockStartsAnew)
{
    time = 1'000'000'000;
    measured->switched({.mode = measure_mode::exact});
    time = 3'000'000'000;
    measured->clock_restarts();
    time = 500'000'000;
    EXPECT_DOUBLE_EQ(report()["seconds"].get<double>(), 2.5);
}

TEST_F(measurement_fixture, ATlbIsModelledOnceItIsAskedFor)
{
    measured->switched({.mode = measure_mode::exact});
    EXPECT_EQ(measured->vcpu(0).tlb.load(), nullptr);
    EXPECT_TRUE(report()["tlb"].is_null());
    measured->switched({.mode = measure_mode::exact, .tlb = true});
    vcpu_tlb *tlb = measured->vcpu(0).tlb;
    ASSERT_NE(tlb, nullptr);
    tlb->model.fill(0x1000, {.spa = 0x1000, .page_bytes = hw::page_4k});
    bump(measured->counter_of(0, cell_accessor::host, cell_level::fill, 0x1000));
    const json told = report()["tlb"];
    EXPECT_EQ(told["preset"], "zen3");
    EXPECT_EQ(told["walks"], 1);
    EXPECT_EQ(told["fills"][0]["accessor"], "host");
    EXPECT_EQ(report()["phases"][0]["tlb"]["walks"], 1);
}

TEST_F(measurement_fixture, FiltersOfATlbEndWithChanges)
{
    measured->switched({.mode = measure_mode::exact, .tlb = true});
    vcpu_tlb &tlb = *measured->vcpu(0).tlb;
    const auto remember = [&] {
        for (page_filter<tlb_hit> *f : {&tlb.loads, &tlb.stores}) {
            f->begin_lookup();
            f->remember(0x1000, {});
        }
    };
    const auto known = [&] { return tlb.stores.find(0x1000) != nullptr; };
    remember();
    measured->rmp_changed({0, hw::page_4k});
    EXPECT_FALSE(known());
    remember();
    EXPECT_TRUE(known());
    measured->tlb_reset(0);
    EXPECT_FALSE(known());
    remember();
    measured->vcpu(0).forget(0x1234);
    EXPECT_FALSE(known());
    EXPECT_EQ(tlb.loads.find(0x1000), nullptr);
    remember();
    measured->vcpu(0).forget_all();
    EXPECT_FALSE(known());
}

TEST_F(measurement_fixture, ATlbThatWasNotLookedAtIsEmptyAfterwards)
{
    measured->switched({.mode = measure_mode::exact, .tlb = true});
    vcpu_tlb &tlb = *measured->vcpu(0).tlb;
    tlb.model.fill(0x1000, {.spa = 0x1000, .page_bytes = hw::page_4k});
    measured->switched({.mode = measure_mode::off});
    measured->switched({.mode = measure_mode::exact, .tlb = true});
    EXPECT_EQ(tlb.model.find(0x1000, 0x1000), nullptr);
}

TEST_F(measurement_fixture, phases_that_two_threads_begin_follow_each_other)
{
    std::atomic<std::uint64_t> now{0};
    measured = std::make_unique<measurement>(measurement::settings{
        .machine = m.get(), .tlb = {}, .clock = [&now] { return ++now; }, .event = [](auto...) {}});
    measured->switched({.mode = measure_mode::exact});
    std::atomic<bool> stop{false};
    std::uint64_t stores = 0;
    std::thread vcpu([&] {
        for (; !stop; ++stores) {
            store(0, 0);
        }
    });
    constexpr unsigned marks = 1000;
    const auto mark_all = [this] {
        for (unsigned i = 0; i < marks; ++i) {
            measured->mark("phase");
        }
    };
    std::thread other(mark_all);
    mark_all();
    other.join();
    measured->mark("");
    stop = true;
    vcpu.join();
    std::uint64_t counted = 0;
    double end = 0;
    const json all = report();
    for (const json &phase : all["phases"]) {
        EXPECT_GE(phase["start"], end);
        EXPECT_GE(phase["end"], phase["start"]);
        end = phase["end"];
        for (const json &cell : phase["cells"]) {
            ASSERT_LE(cell[6], stores); // off: SNP is not enabled
            counted += cell[6].get<std::uint64_t>();
        }
    }
    EXPECT_LE(counted, stores);
}

} // namespace
} // namespace rmpopt
