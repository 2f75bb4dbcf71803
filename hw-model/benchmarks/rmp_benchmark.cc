// SPDX-License-Identifier: GPL-2.0-or-later
// What the model itself costs, without an emulator around it.
#include "hw/msr.h"
#include "hw/rmpopt.h"
#include "sparse_memory.h"

#include <benchmark/benchmark.h>
#include <memory>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t mb = 1ull << 20;
constexpr spa_t rmp_base = 512 * mb;

/// 2 GB of RAM with a segmented RMP, SNP and RMPOPT enabled, 16 cores.
class snp_machine
{
  public:
    snp_machine()
    {
        machine::settings s;
        s.cpu = find_persona("venice");
        for (unsigned t = 0; t < 16; ++t) {
            s.cpus.core_of_thread.push_back(t);
        }
        s.memory = memory_view({{0, 2 * region_1g, ram_.data()}});
        m_ = std::make_unique<machine>(std::move(s));
        m_->memory().store(rmp_base + rmp_bookkeeping_bytes, (rmp_base + mb) | 2);
        m_->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
        effect_list ignored;
        for (unsigned t = 0; t < 16; ++t) {
            wrmsr(*m_, t, msr::syscfg, syscfg_reset | syscfg_snp_en, ignored);
            wrmsr(*m_, t, msr::rmpopt_base, rmpopt_enable, ignored);
        }
    }
    machine &get() { return *m_; }
    void assign(spa_t spa)
    {
        effect_list ignored;
        rmpupdate(*m_, spa, {.assigned = true, .asid = 1}, ignored);
    }

  private:
    sparse_memory ram_{2 * region_1g};
    std::unique_ptr<machine> m_;
};

void rmpupdate_4k_round_trip(benchmark::State &state)
{
    snp_machine m;
    effect_list effects;
    for ([[maybe_unused]] const auto _ : state) {
        rmpupdate(m.get(), 64 * mb + page_4k, {.assigned = true, .asid = 1}, effects);
        rmpupdate(m.get(), 64 * mb + page_4k, {}, effects);
        effects.clear();
    }
}
BENCHMARK(rmpupdate_4k_round_trip);

void rmpupdate_2m_round_trip(benchmark::State &state)
{
    snp_machine m;
    effect_list effects;
    for ([[maybe_unused]] const auto _ : state) {
        rmpupdate(m.get(), 64 * mb, {.assigned = true, .size_2m = true, .asid = 1}, effects);
        rmpupdate(m.get(), 64 * mb, {.size_2m = true}, effects);
        effects.clear();
    }
}
BENCHMARK(rmpupdate_2m_round_trip);

/// The longest scan: no page of the region is assigned.
void rmpopt_scan_of_an_empty_region(benchmark::State &state)
{
    snp_machine m;
    for ([[maybe_unused]] const auto _ : state) {
        m.get().clear_rmpopt_bit(region_1g);
        benchmark::DoNotOptimize(rmpopt(m.get(), {}, region_1g, 0));
    }
}
BENCHMARK(rmpopt_scan_of_an_empty_region);

/// The shortest scan: the first page is assigned.
void rmpopt_scan_of_a_full_region(benchmark::State &state)
{
    snp_machine m;
    m.assign(region_1g);
    for ([[maybe_unused]] const auto _ : state) {
        benchmark::DoNotOptimize(rmpopt(m.get(), {}, region_1g, 0));
    }
}
BENCHMARK(rmpopt_scan_of_a_full_region);

void rmpopt_answered_from_another_core(benchmark::State &state)
{
    snp_machine m;
    rmpopt(m.get(), {.thread = 15}, region_1g, 0);
    for ([[maybe_unused]] const auto _ : state) {
        benchmark::DoNotOptimize(rmpopt(m.get(), {}, region_1g, 0));
    }
}
BENCHMARK(rmpopt_answered_from_another_core);

void rmp_check_in_the_table(benchmark::State &state)
{
    snp_machine m;
    spa_t spa = 0;
    for ([[maybe_unused]] const auto _ : state) {
        benchmark::DoNotOptimize(m.get().rmp().load(spa).host_writable());
        spa = (spa + page_4k) % (256 * mb);
    }
}
BENCHMARK(rmp_check_in_the_table);

void rmp_check_by_rmpopt_bit(benchmark::State &state)
{
    snp_machine m;
    rmpopt(m.get(), {}, region_1g, 0);
    spa_t spa = 0;
    for ([[maybe_unused]] const auto _ : state) {
        benchmark::DoNotOptimize(m.get().core(0).rmpopt.test(region_1g + spa));
        spa = (spa + page_4k) % region_1g;
    }
}
BENCHMARK(rmp_check_by_rmpopt_bit);

} // namespace

} // namespace rmpopt::hw

BENCHMARK_MAIN();
