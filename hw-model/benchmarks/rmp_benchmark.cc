// SPDX-License-Identifier: GPL-2.0-or-later
// What the model itself costs, without an emulator around it.
#include "hw-model/access/rmp_check.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/insn/rmpupdate.h"
#include "hw-model/machine/msr.h"
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
        s.cpu = find_cpu_model("venice");
        for (unsigned t = 0; t < 16; ++t) {
            s.cpus.core_of_thread.push_back(t);
        }
        s.memory = memory_view({{0, 2 * region_1g, ram_.data()}});
        m_ = std::make_unique<machine>(std::move(s));
        m_->memory().store(rmp_base + rmp_bookkeeping_bytes, (rmp_base + mb) | 2);
        m_->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
        rmp_changes ignored;
        for (unsigned t = 0; t < 16; ++t) {
            wrmsr(*m_, t, msr::syscfg, syscfg_reset | syscfg_snp_en, ignored);
            wrmsr(*m_, t, msr::rmpopt_base, rmpopt_enable, ignored);
        }
    }
    machine &get() { return *m_; }
    void assign(spa_t spa)
    {
        rmp_changes ignored;
        rmpupdate(*m_, spa, {.assigned = true, .asid = 1}, ignored);
    }

  private:
    sparse_memory ram_{2 * region_1g};
    std::unique_ptr<machine> m_;
};

void rmpupdate_4k_round_trip(benchmark::State &state)
{
    snp_machine m;
    rmp_changes changes;
    for ([[maybe_unused]] const auto _ : state) {
        rmpupdate(m.get(), 64 * mb + page_4k, {.assigned = true, .asid = 1}, changes);
        rmpupdate(m.get(), 64 * mb + page_4k, {}, changes);
        changes.clear();
    }
}
BENCHMARK(rmpupdate_4k_round_trip);

void rmpupdate_2m_round_trip(benchmark::State &state)
{
    snp_machine m;
    rmp_changes changes;
    for ([[maybe_unused]] const auto _ : state) {
        rmpupdate(m.get(), 64 * mb, {.assigned = true, .size_2m = true, .asid = 1}, changes);
        rmpupdate(m.get(), 64 * mb, {.size_2m = true}, changes);
        changes.clear();
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

/// Checks of `a` over 256 MB from its address on.
void check(benchmark::State &state, const machine &m, rmp_access a)
{
    const spa_t from = a.spa;
    spa_t offset = 0;
    for ([[maybe_unused]] const auto _ : state) {
        benchmark::DoNotOptimize(rmp_check(m, 0, a));
        offset = (offset + page_4k) % (256 * mb);
        a.spa = from + offset;
    }
}

void rmp_check_of_a_host_read(benchmark::State &state)
{
    snp_machine m;
    check(state, m.get(), {.kind = rmp_access_kind::read});
}
BENCHMARK(rmp_check_of_a_host_read);

void rmp_check_of_a_host_write(benchmark::State &state)
{
    snp_machine m;
    check(state, m.get(), {.kind = rmp_access_kind::write});
}
BENCHMARK(rmp_check_of_a_host_write);

void rmp_check_of_a_host_write_through_a_large_mapping(benchmark::State &state)
{
    snp_machine m;
    check(state, m.get(), {.kind = rmp_access_kind::write, .large_mapping = true});
}
BENCHMARK(rmp_check_of_a_host_write_through_a_large_mapping);

void rmp_check_of_a_host_write_while_guests_run(benchmark::State &state)
{
    snp_machine m;
    for (unsigned t = 1; t < 16; ++t) {
        const std::scoped_lock lock(m.get().rmp_lock());
        m.get().enter_guest(t, {.spa = {t * 2 * page_4k}, .count = 1});
    }
    check(state, m.get(), {.kind = rmp_access_kind::write});
}
BENCHMARK(rmp_check_of_a_host_write_while_guests_run);

void rmp_check_skipped_by_rmpopt(benchmark::State &state)
{
    snp_machine m;
    rmpopt(m.get(), {}, region_1g, 0);
    check(state, m.get(), {.kind = rmp_access_kind::write, .spa = region_1g});
}
BENCHMARK(rmp_check_skipped_by_rmpopt);

void rmp_check_of_a_private_access(benchmark::State &state)
{
    snp_machine m;
    check(
        state, m.get(),
        {.who = initiator::snp_guest, .kind = rmp_access_kind::read, .encrypted = true, .asid = 1});
}
BENCHMARK(rmp_check_of_a_private_access);

} // namespace

} // namespace rmpopt::hw

BENCHMARK_MAIN();
