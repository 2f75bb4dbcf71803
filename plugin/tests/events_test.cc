// SPDX-License-Identifier: GPL-2.0-or-later
// Each event is told once, and a verdict arrives as the model gave it. Instructions and enforcement
// are the plugin's own; QEMU below them is a fake.
#include "base/log.h"
#include "enforce/enforcement.h"
#include "enforce/write_check.h"
#include "fake_listener.h"
#include "fake_qemu.h"
#include "hw-model/base/x86_bits.h"
#include "insn/dispatch.h"
#include "machine_fixture.h"
#include "observers.h"
#include "sev/encrypted_guest.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace rmpopt
{
namespace
{

using words = std::vector<std::string>;
using fake::qemu;

constexpr std::uint64_t tables = 16ull << 20; ///< of the guest, which map the first GB as it is
constexpr std::uint64_t operand = 32ull << 20;

class events_test : public hw::machine_fixture
{
  protected:
    void SetUp() override
    {
        machine_fixture::SetUp();
        qemu = {};
        qemu.ram = low_ram_.data();
        qemu.ram_bytes = low.bytes;
        m->memory().store(tables, std::uint64_t{tables + 0x1000} | 7);
        m->memory().store(tables + 0x1000, std::uint64_t{0x87});
        qemu.paging = {.cr0 = 1u << 31 | 1u << 16 | 1, .cr3 = tables, .cr4 = 1u << 5, .rflags = 2};
        start_emulation({.machine = m.get(),
                         .heard = &listening,
                         .rmpupdate_failure = [this] { return failure; },
                         .enter_operating_system = [](std::uint32_t, std::uint32_t) {},
                         .set_measure = [](measure_request) {},
                         .end_run = [this] { ended = true; },
                         .points = &points});
        ASSERT_EQ(
            install_checks(
                {.level = enforcement::on, .machine = m.get(), .ram = &ram, .heard = &listening},
                add_encrypted_guest_rules, {}, 0),
            "");
    }

    /// Executes it; true when QEMU need not.
    bool execute(std::initializer_list<std::uint8_t> code)
    {
        const std::vector<std::uint8_t> bytes(code);
        const auto emulation = find_emulation(bytes);
        listening.heard.clear();
        last_fault.reset();
        try {
            emulation.function(0, emulation.data);
        } catch (const fake::continued &) {
            return true;
        } catch (const fake::raised &fault) {
            last_fault = fault;
            return true;
        } catch (const fake::entered &) {
            return true;
        }
        return false;
    }
    void put_record(const hw::rmp_record &r)
    {
        const auto raw = r.encode();
        m->memory().write(operand, raw.data(), raw.size());
    }
    bool rmpupdate(hw::spa_t spa, const hw::rmp_record &r)
    {
        put_record(r);
        qemu.reg[rax] = spa;
        qemu.reg[rcx] = operand;
        return execute({0xf2, 0x0f, 0x01, 0xfe});
    }
    bool wrmsr(std::uint32_t index, std::uint64_t value)
    {
        qemu.reg[rcx] = index;
        qemu.reg[rax] = static_cast<std::uint32_t>(value);
        qemu.reg[rdx] = value >> 32;
        return execute({0x0f, 0x30});
    }
    const words &heard() const { return listening.heard; }

    guest_ram ram;
    fake_listener listening;
    stall_points points;
    std::optional<hw::rmp_status> failure;
    std::optional<fake::raised> last_fault;
    bool ended = false; ///< the guest has said that its work is done
};

TEST_F(events_test, rmpupdate_is_told_once)
{
    enable_snp();
    EXPECT_TRUE(rmpupdate(low_2m, guest_page()));
    EXPECT_EQ(qemu.reg[rax], 0u);
    EXPECT_EQ(heard(), words{"rmpupdate"});
    EXPECT_TRUE(rmpupdate(low_2m + 1, guest_page()));
    EXPECT_EQ(qemu.reg[rax], 1u);
    EXPECT_EQ(heard(), words{"rmpupdate"}) << "a failed one, too";
    failure = hw::rmp_status::fail_inuse;
    EXPECT_TRUE(rmpupdate(low_2m, {}));
    EXPECT_EQ(qemu.reg[rax], 3u);
    EXPECT_EQ(heard(), words{"rmpupdate"}) << "an injected failure, too";
    EXPECT_TRUE(entry(low_2m).assigned);
}

TEST_F(events_test, what_faults_before_it_is_executed_is_not_told)
{
    EXPECT_TRUE(rmpupdate(low_2m, guest_page()));
    ASSERT_TRUE(last_fault.has_value());
    EXPECT_EQ(last_fault->vector, vector::ud);
    EXPECT_EQ(heard(), words{});
}

TEST_F(events_test, the_guest_can_say_that_its_work_is_done)
{
    static constexpr std::initializer_list<std::uint8_t> marker{0x0f, 0x1f, 0x84, 0x00,
                                                                0x52, 0x4d, 0x50, 0x4f};
    qemu.reg[rax] = 0x21444e44;
    execute(marker);
    EXPECT_FALSE(ended) << "another word";
    qemu.reg[rax] = 0x21444e45;
    execute(marker);
    EXPECT_TRUE(ended);
}

TEST_F(events_test, the_guest_can_ask_whether_a_pass_is_due)
{
    const auto due = [this] {
        qemu.reg[rax] = 0x3f455544;
        EXPECT_TRUE(execute({0x0f, 0x1f, 0x84, 0x00, 0x52, 0x4d, 0x50, 0x4f}));
        return qemu.reg[rax];
    };
    enable_snp();
    EXPECT_EQ(due(), 0u) << "RMPOPT is not enabled";
    enable_rmpopt();
    EXPECT_EQ(due(), 1u);
    ASSERT_TRUE(optimise(0, 0).cf);
    EXPECT_EQ(due(), 0u);
    listening.awaits = true;
    EXPECT_EQ(due(), 1u) << "the watch waits for something";
}

TEST_F(events_test, the_guest_can_say_when_points_count)
{
    static constexpr std::initializer_list<std::uint8_t> marker{0x0f, 0x1f, 0x84, 0x00,
                                                                0x52, 0x4d, 0x50, 0x4f};
    points.start({.counts = true, .waits_for_mark = true});
    qemu.reg[rax] = 0x53544e50;
    for (const bool on : {false, true, false}) {
        qemu.reg[rdx] = on ? 1 : 0;
        execute(marker);
        points.reach(stall_site::rmpopt, 0);
    }
    ASSERT_EQ(points.counts().size(), 1u);
    EXPECT_EQ(points.counts().front().times, 1u);
}

TEST_F(events_test, psmash_is_told_once)
{
    enable_snp();
    ASSERT_EQ(assign_2m(low_2m), hw::rmp_status::success);
    qemu.reg[rax] = low_2m;
    EXPECT_TRUE(execute({0xf3, 0x0f, 0x01, 0xff}));
    EXPECT_EQ(heard(), words{"psmash"});
}

TEST_F(events_test, rmpopt_is_told_once_and_also_when_it_faults)
{
    enable_snp();
    qemu.reg[rax] = 0;
    qemu.reg[rcx] = 0;
    EXPECT_TRUE(execute({0xf2, 0x0f, 0x01, 0xfc}));
    EXPECT_TRUE(last_fault.has_value()) << "not enabled";
    EXPECT_EQ(heard(), words{"rmpopt"});
    enable_rmpopt();
    EXPECT_TRUE(execute({0xf2, 0x0f, 0x01, 0xfc}));
    EXPECT_FALSE(last_fault.has_value());
    EXPECT_EQ(heard(), words{"rmpopt"});
}

TEST_F(events_test, msrs_are_told_once)
{
    EXPECT_TRUE(wrmsr(hw::msr::syscfg, hw::syscfg_reset | hw::syscfg_snp_en));
    EXPECT_EQ(heard(), words{"wrmsr"});
    EXPECT_TRUE(wrmsr(hw::msr::rmp_cfg, 0));
    EXPECT_TRUE(last_fault.has_value());
    EXPECT_EQ(heard(), words{"wrmsr"}) << "one that raises #GP";
    EXPECT_FALSE(wrmsr(msr_lstar, 0xffffffff81000000)) << "QEMU executes it";
    EXPECT_EQ(heard(), words{"wrmsr"});
    EXPECT_FALSE(wrmsr(0xc0000081, 0));
    EXPECT_EQ(heard(), words{}) << "a register of QEMU's";
    qemu.reg[rcx] = hw::msr::syscfg;
    EXPECT_TRUE(execute({0x0f, 0x32}));
    EXPECT_EQ(heard(), words{"rdmsr"});
}

TEST_F(events_test, hlt_is_told_when_interrupts_are_off)
{
    EXPECT_FALSE(execute({0xf4}));
    EXPECT_EQ(heard(), words{"halted"});
    qemu.paging.rflags = rflags_if;
    EXPECT_FALSE(execute({0xf4}));
    EXPECT_EQ(heard(), words{});
}

TEST_F(events_test, vmrun_is_told_once)
{
    qemu.reg[rax] = low_2m;
    write_msr(0, hw::msr::vm_hsave_pa, low_2m);
    EXPECT_TRUE(execute({0x0f, 0x01, 0xd8}));
    EXPECT_EQ(heard(), words{"vmrun"});
    EXPECT_TRUE(qemu.in_guest);
    qemu.in_guest = false;
    m->memory().store(low_2m + 0x90, std::uint64_t{1u << 2}); // SEV-ES without SEV
    EXPECT_TRUE(execute({0x0f, 0x01, 0xd8}));
    EXPECT_EQ(heard(), words{"vmrun failed"});
    EXPECT_FALSE(qemu.in_guest);
}

TEST_F(events_test, a_cpu_that_starts_is_told_once)
{
    rmp_translation_rules(true).started(vcpu::current());
    EXPECT_EQ(heard(), words{"started"});
}

TEST_F(events_test, cpus_stall_where_it_is_planned)
{
    enable_snp();
    stall_plan plan{.counts = true};
    for (const char *text :
         {"rmpopt@0#2:7us", "interrupt@1#1:1ms", "doorbell@0#1:2ms", "psmash@0#1:3ms",
          "wrmsr@0#1:4ms", "entry+0x10@0#1:5ms", "pending@1#2:6ms"}) {
        ASSERT_EQ(parse_stall(text, plan.stalls.emplace_back()), "");
    }
    points.start(plan);
    observers all([] { return 0; });
    all.start({.machine = m.get(), .points = &points});
    all.wrmsr({.cpu = 0}, msr_lstar, 0x1000, hw::msr_result::pass, {});
    all.wrmsr({.cpu = 0}, hw::msr::syscfg, 0, hw::msr_result::done, {});
    all.rmpopt({.cpu = 0}, 0, 0, {});
    all.excepted(1, 0);
    EXPECT_EQ(qemu.stalls, (std::vector<std::pair<unsigned, std::uint64_t>>{{0, 4'000'000}}));
    all.rmpopt({.cpu = 0}, 0, 0, {});
    all.interrupted(1, 0);
    all.doorbell(0);
    all.psmash({.cpu = 0}, low_2m, hw::rmp_status::success);
    EXPECT_EQ(qemu.stalls,
              (std::vector<std::pair<unsigned, std::uint64_t>>{
                  {0, 4'000'000}, {0, 7'000}, {1, 1'000'000}, {0, 2'000'000}, {0, 3'000'000}}));
    EXPECT_EQ(all.reach_code(0x1010, 0).ns, 5'000'000u);
    EXPECT_TRUE(all.takes_interrupt(1));
    EXPECT_TRUE(qemu.holds.empty());
    EXPECT_FALSE(all.takes_interrupt(1));
    EXPECT_EQ(qemu.holds, (std::vector<std::pair<unsigned, std::uint64_t>>{{1, 6'000'000}}));
}

/// The last report takes the RMP lock, among others.
TEST_F(events_test, an_audit_that_finds_something_ends_qemu_and_holds_no_lock)
{
    enable_snp();
    hw::rmp_entry e = entry(low_2m);
    e.subpage_count = 3; // but no page is assigned
    m->rmp().store(low_2m, e);
    const auto end = [this] {
        before_refusal([this] { const std::scoped_lock report(m->rmp_lock()); });
        alarm(10);
        observers all([] { return 0; });
        all.start({.machine = m.get(), .audit = 1});
        all.psmash({.cpu = 0}, low_2m, hw::rmp_status::fail_input);
    };
    EXPECT_EXIT(end(), testing::ExitedWithCode(1), "audit: sub-page count");
}

/// What write_check says of a store, and what is delivered.
class verdict_test : public events_test
{
  protected:
    void expect_delivered(hw::spa_t spa, std::uint32_t code, hw::rmp_rule rule)
    {
        const translation_rules rules = rmp_translation_rules(true);
        const translation store{vcpu::current(), 0x7000, translation::access::write, false, spa};
        const refusal *why = rules.forbids(store);
        ASSERT_NE(why, nullptr);
        const hw::rmp_verdict model = hw::rmp_check(
            *m, 0, {.who = hw::initiator::host, .kind = hw::rmp_access_kind::write, .spa = spa});
        EXPECT_EQ(why->verdict, model);
        try {
            rules.refuse(store, *why, 0);
            FAIL();
        } catch (const fake::raised &fault) {
            EXPECT_EQ(fault.vector, vector::pf);
            EXPECT_EQ(static_cast<std::uint32_t>(fault.error_code), code);
        }
        EXPECT_EQ(qemu.cr2, 0x7000u);
        EXPECT_EQ(heard(), words{"denied"});
        EXPECT_EQ(listening.last_denied.verdict, model);
        EXPECT_EQ(listening.last_denied.verdict.rule, rule);
        EXPECT_EQ(listening.last_denied.spa, spa);
        EXPECT_EQ(static_cast<std::uint32_t>(listening.last_denied.code), code);
    }
};

TEST_F(verdict_test, of_an_assigned_page)
{
    enable_snp();
    ASSERT_EQ(assign(low_2m), hw::rmp_status::success);
    expect_delivered(low_2m + 8, 0x80000003, hw::rmp_rule::hypervisor_owned);
}

TEST_F(verdict_test, of_a_segment_with_reserved_bits)
{
    set_rst(2, high_segment | 1 | 1ull << 62);
    enable_snp();
    expect_delivered(high_2m, 0xb, hw::rmp_rule::segment_reserved_bits);
}

TEST_F(verdict_test, of_an_operand)
{
    enable_snp();
    ASSERT_EQ(assign(operand), hw::rmp_status::success);
    qemu.reg[rax] = low_2m;
    qemu.reg[rcx] = operand + 64;
    EXPECT_TRUE(execute({0xf2, 0x0f, 0x01, 0xfd})); // RMPREAD
    ASSERT_TRUE(last_fault.has_value());
    EXPECT_EQ(static_cast<std::uint32_t>(last_fault->error_code), 0x80000003u);
    EXPECT_EQ(qemu.cr2, operand + 64);
    EXPECT_EQ(heard(), words{"denied"});
    EXPECT_EQ(listening.last_denied.verdict.rule, hw::rmp_rule::hypervisor_owned);
}

/// Enforcement over memory that QEMU really shares.
class effects_test : public hw::machine_fixture
{
  protected:
    void SetUp() override
    {
        machine_fixture::SetUp();
        qemu = {};
        fd_ = memfd_create("guest", MFD_CLOEXEC);
        ASSERT_EQ(ftruncate(fd_, static_cast<off_t>(low.bytes)), 0);
        qemu_view = static_cast<std::byte *>(
            mmap(nullptr, low.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd_, 0));
        ASSERT_NE(qemu_view, MAP_FAILED);
        qemu.ram = qemu_view;
        qemu.ram_bytes = low.bytes;
        ASSERT_EQ(ram.map({.fd = fd_, .qemu_host = qemu_view, .bytes = low.bytes, .layout = {low}}),
                  "");
        ASSERT_EQ(
            install_checks(
                {.level = enforcement::on, .machine = m.get(), .ram = &ram, .heard = &listening},
                add_encrypted_guest_rules, {}, 0),
            "");
        const std::string error = start_protection();
        if (!error.empty()) {
            GTEST_SKIP() << error;
        }
        enable_snp();
        changes.clear();
    }
    void TearDown() override
    {
        if (started()) {
            m->reset();
            release_protection();
        }
        munmap(qemu_view, low.bytes);
        close(fd_);
    }
    bool started() const { return !IsSkipped(); }

    /// By asking the kernel to write there, which fails instead of raising a signal.
    bool is_writable(hw::spa_t spa) const
    {
        const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        const bool ok = read(zero, qemu_view + spa, 1) == 1;
        close(zero);
        return ok;
    }

    void expect_protection_follows(void (*take)(const hw::rmp_changes &))
    {
        ASSERT_EQ(assign(low_2m), hw::rmp_status::success);
        EXPECT_TRUE(is_writable(low_2m));
        take(changes);
        EXPECT_FALSE(is_writable(low_2m));
        changes.clear();
        ASSERT_EQ(release(low_2m), hw::rmp_status::success);
        take(changes);
        EXPECT_TRUE(is_writable(low_2m));
    }

    int fd_ = -1;
    std::byte *qemu_view = nullptr;
    guest_ram ram;
    fake_listener listening;
};

TEST_F(effects_test, a_vcpu_protects_before_its_next_instruction)
{
    expect_protection_follows(take_effect);
}

TEST_F(effects_test, firmware_protects_at_once)
{
    expect_protection_follows(take_effect_now);
}

TEST_F(effects_test, with_several_threads_pages_are_protected_once_vcpus_have_stopped)
{
    qemu.on_vcpu_thread = false; // with one thread nothing has to be queued
    ASSERT_EQ(assign(low_2m), hw::rmp_status::success);
    take_effect(changes);
    EXPECT_TRUE(is_writable(low_2m)) << "a store that is under way would be half done";
    fake::run_queued();
    EXPECT_FALSE(is_writable(low_2m));
}

TEST_F(effects_test, work_that_comes_after_a_reset_protects_nothing)
{
    qemu.on_vcpu_thread = false;
    ASSERT_EQ(assign(low_2m), hw::rmp_status::success);
    take_effect(changes);
    m->reset();
    release_protection();
    fake::run_queued();
    EXPECT_TRUE(is_writable(low_2m));
}

TEST_F(effects_test, what_is_under_way_at_a_reset_protects_nothing)
{
    ASSERT_EQ(assign(low_2m), hw::rmp_status::success);
    m->reset();
    release_protection();
    take_effect(changes); // of before the reset
    EXPECT_TRUE(is_writable(low_2m));
}

} // namespace
} // namespace rmpopt
