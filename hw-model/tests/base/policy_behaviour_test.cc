// SPDX-License-Identifier: GPL-2.0-or-later
// Each knob decides its own situation and nothing else. A probe brings about the situation of one
// knob and puts into words what happened.
#include "hw-model/access/rmp_check.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/guest_insn.h"
#include "hw-model/insn/svm_check.h"
#include "hw-model/machine/cpuid.h"
#include "machine_fixture.h"
#include "policy_probe.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

namespace rmpopt::hw
{

namespace
{

std::string word(fault f)
{
    return f == fault::gp0 ? "gp" : f == fault::ud ? "ud" : "none";
}
std::string word(const rmpopt_result &r)
{
    return r.exception != fault::none ? word(r.exception) : r.cf ? "cf1" : "cf0";
}
std::string word(rmp_status s)
{
    return std::to_string(static_cast<unsigned>(s));
}
std::string word(msr_result r)
{
    return r == msr_result::gp0 ? "gp" : r == msr_result::done ? "done" : "pass";
}
std::string bit(bool set)
{
    return set ? "set" : "clear";
}

constexpr std::uint64_t gb = region_1g;

// RMPOPT.

std::string oow(probe_machine &w)
{
    w.start();
    return word(w.optimise(0, 2048 * gb));
}

std::string maxphys(probe_machine &w)
{
    constexpr unsigned bits = 40; // the window ends at 2^41
    w.start(bits);
    return word(w.optimise(0, 1ull << bits));
}

std::string rax_align(probe_machine &w)
{
    w.start();
    return word(w.optimise(0, 4096));
}

std::string rcx(probe_machine &w)
{
    w.start();
    return word(w.optimise(0, 0, 2));
}

std::string cpl(probe_machine &w)
{
    w.start();
    return word(rmpopt(*w.m, {.cpl = 3}, 0, 0));
}

std::string snpoff_exec(probe_machine &w)
{
    w.start();
    w.m->firmware_clear_snp_en();
    w.m->core(0).rmpopt.set_msr(rmpopt_enable); // as shutdown-msr=keep leaves it
    return word(w.optimise(0, 0));
}

std::string rmpopt_guest(probe_machine &w)
{
    w.start();
    return word(rmpopt(*w.m, {.guest_mode = true}, 0, 0));
}

std::string rmpopt_flags(probe_machine &w)
{
    w.start();
    return w.optimise(0, 0).changed_flags == flag_cf ? "CF" : "all";
}

std::string no_entry(probe_machine &w)
{
    w.start();
    return word(w.optimise(0, w.hole));
}

std::string hv_fixed(probe_machine &w)
{
    w.start();
    rmp_entry e;
    e.immutable = true;
    w.m->rmp().store(gb - page_4k, e);
    return word(w.optimise(0, 0));
}

// The table and its register.

std::string wrmsr_nosnp(probe_machine &w)
{
    w.build_only();
    const msr_result r = w.write_msr(0, msr::rmpopt_base, rmpopt_enable);
    return word(r) + (w.m->core(0).rmpopt.enabled() ? " enabled" : "");
}

std::string rmpopt_locked(probe_machine &w)
{
    w.start();
    const msr_result r = w.write_msr(0, msr::rmpopt_base, 0);
    return word(r) + (w.m->core(0).rmpopt.enabled() ? " enabled" : "");
}

std::string msr_reserved(probe_machine &w)
{
    w.build_only();
    w.enable_snp();
    const msr_result r = w.write_msr(0, msr::rmpopt_base, gb | rmpopt_enable | 2);
    return word(r) + (w.m->core(0).rmpopt.msr() == (gb | rmpopt_enable) ? " without them" : "");
}

std::string msr_rewrite(probe_machine &w)
{
    w.start();
    w.optimise(0, 0);
    w.enable_rmpopt();
    return bit(w.reports(0, 0));
}

std::string init_msr(probe_machine &w)
{
    w.start();
    w.optimise(0, 0);
    w.m->init_thread(1);
    return word(w.optimise(0, 0, 1));
}

std::string shutdown_msr(probe_machine &w)
{
    w.start();
    w.m->firmware_clear_snp_en();
    return w.m->core(0).rmpopt.enabled() ? "enabled" : "0";
}

std::string shutdown_table(probe_machine &w)
{
    w.start();
    w.optimise(0, 0);
    w.m->firmware_clear_snp_en();
    return bit(w.m->core(0).rmpopt.test(0));
}

std::string shared_update(probe_machine &w)
{
    w.start();
    w.optimise(0, 0);
    w.release(w.low_2m);
    return bit(w.reports(0, 0));
}

// RMPUPDATE, PSMASH, RMPREAD.

std::string guest_exec(probe_machine &w)
{
    w.start();
    const insn_context ctx{.guest_mode = true};
    const fault f = host_insn_fault(*w.m, ctx);
    EXPECT_EQ(rmpread_fault(*w.m, ctx), f);
    return f == fault::none ? word(*refused_in_guest(ctx)) : word(f);
}

std::string spa_align(probe_machine &w)
{
    w.start();
    rmp_record r;
    const std::string update = word(w.update(w.low_2m + 8, w.guest_page()));
    return update + " " + word(rmpread(*w.m, w.low_2m + 8, r));
}

std::string asid_high(probe_machine &w)
{
    w.start();
    const rmp_status s = w.update(w.low_2m, w.guest_page(rmp_entry::asid_limit + 7));
    return word(s) + (w.entry(w.low_2m).asid == 7 ? ", ASID 7" : "");
}

std::string inuse_order(probe_machine &w)
{
    w.start();
    w.update(w.low_2m, w.immutable(w.guest_page()));
    w.hold(w.low_2m);
    return word(w.assign(w.low_2m));
}

std::string immutable_in_2m(probe_machine &w)
{
    w.start();
    w.update(w.low_2m + page_4k, w.immutable(w.guest_page()));
    return word(w.assign_2m(w.low_2m));
}

std::string overlap_in_2m(probe_machine &w)
{
    w.start();
    w.assign_2m(w.low_2m);
    return word(w.release(w.low_2m + page_4k));
}

std::string same_update(probe_machine &w)
{
    w.start();
    w.assign(w.low_2m);
    rmp_entry e = w.entry(w.low_2m);
    e.validated = true;
    w.m->rmp().store(w.low_2m, e);
    w.assign(w.low_2m);
    return bit(w.entry(w.low_2m).validated);
}

std::string psmash_kind(probe_machine &w)
{
    w.start();
    return word(psmash(*w.m, w.low_2m));
}

std::string status_flags_of(probe_machine &w)
{
    w.start();
    const std::uint32_t changed = changed_flags(*w.m);
    return changed == status_flags_mask ? "all" : changed == 0 ? "none" : "some";
}

// Accesses and instructions of guests.

constexpr guest_context guest{.asid = 7};

std::string word(const guest_result &r)
{
    switch (r.exception) {
    case guest_exception::ud:
        return "ud";
    case guest_exception::gp0:
        return "gp";
    case guest_exception::vc:
        return "vc";
    case guest_exception::npf:
        return "npf";
    case guest_exception::none:
        break;
    }
    return word(r.status);
}

/// Two updates in one 2 MB range and one in another, each tried again once if it fails.
std::string overlap_transient(probe_machine &w)
{
    w.start();
    w.update(w.low_2m + page_2m, {}); // whatever range came before it
    std::string all;
    for (const spa_t page : {w.low_2m, w.low_2m + page_4k, w.low_2m + page_2m}) {
        rmp_status s = w.update(page, {});
        all += word(s);
        all += s == rmp_status::success ? " " : word(w.update(page, {})) + " ";
    }
    return all;
}

/// A host write to an assigned page of a core with SNP_EN, before and after SNP_INIT.
std::string checks_from(probe_machine &w)
{
    w.start();
    w.assign(w.low_2m);
    const auto outcome = [&w] {
        const rmp_access a{.kind = rmp_access_kind::write, .spa = w.low_2m};
        return rmp_check(*w.m, 0, a).outcome == rmp_outcome::page_fault ? "#PF" : "allowed";
    };
    const std::string before = outcome();
    w.m->firmware_initialised();
    return before + ", then " + outcome();
}

std::string inuse_write(probe_machine &w)
{
    w.start();
    w.hold(w.low_2m);
    const rmp_verdict v = rmp_check(*w.m, 0, {.kind = rmp_access_kind::write, .spa = w.low_2m});
    return v.outcome == rmp_outcome::page_fault ? "#PF" : "allowed";
}

std::string outcome_of(probe_machine &w, const rmp_access &a)
{
    w.start();
    w.assign(w.low_2m + page_4k);
    return rmp_check(*w.m, 0, a).outcome == rmp_outcome::allowed ? "allowed" : "denied";
}

std::string plain_walk_read(probe_machine &w)
{
    return outcome_of(w, {.kind = rmp_access_kind::walk_read, .spa = w.low_2m + page_4k});
}

std::string plain_guest_2m(probe_machine &w)
{
    return outcome_of(w, {.who = initiator::nonsnp_guest,
                          .kind = rmp_access_kind::write,
                          .spa = w.low_2m,
                          .large_mapping = true});
}

std::string vmsa_size(probe_machine &w)
{
    w.start();
    rmp_entry e;
    e.assigned = e.size_2m = e.vmsa = true;
    e.asid = 7;
    e.gpa = 0x200000;
    w.m->rmp().store(w.low_2m, e);
    const snp_vmsa vmsa{.spa = w.low_2m + page_4k, .asid = 7, .gpa = 0x201000};
    return vmrun_pages_valid(*w.m, 0, {.vmsa = vmsa, .snp_active = true}) ? "runs" : "invalid";
}

std::string walk_fault(probe_machine &w)
{
    w.start();
    return reported_as_write(*w.m, {.kind = rmp_access_kind::walk_write}, false) ? "W" : "no W";
}

std::string not_snp_guest(probe_machine &w)
{
    w.start();
    const guest_context host{.snp_guest = false};
    return word(pvalidate(*w.m, host, {}, {})) + " " + word(rmpadjust(*w.m, host, {}, {})) + " " +
           word(rmpquery(*w.m, host, {}, {}));
}

std::string pvalidate_vmpl(probe_machine &w)
{
    w.start();
    return word(pvalidate(*w.m, {.asid = 7, .vmpl = 1}, {}, {}));
}

/// A page that the guest has validated.
guest_operand validated_page(probe_machine &w)
{
    const rmp_record record = w.guest_page(guest.asid);
    w.update(w.low_2m, record);
    const guest_operand page{.spa = w.low_2m, .gpa = record.gpa};
    EXPECT_EQ(pvalidate(*w.m, guest, {.rdx = 1}, page), guest_result{});
    return page;
}

std::string ciphertext(probe_machine &w)
{
    constexpr std::uint64_t text = 0x74786574;
    w.start();
    w.m->memory().store(w.low_2m, text);
    validated_page(w);
    return w.m->memory().load<std::uint64_t>(w.low_2m) == text ? "plain" : "noise";
}

std::string rmpadjust_align(probe_machine &w)
{
    w.start();
    return word(rmpadjust(*w.m, guest, {.rax = 0x14, .rdx = 1}, validated_page(w)));
}

std::string rmpquery_vmpl(probe_machine &w)
{
    w.start();
    return word(rmpquery(*w.m, guest, {.rdx = 0}, validated_page(w)));
}

std::string guest_size_order(probe_machine &w)
{
    w.start();
    guest_operand page = validated_page(w);
    page.large_nested = true;
    return word(pvalidate(*w.m, guest, {.rcx = 1, .rdx = 1}, page));
}

// Other registers and CPUID.

std::string rmp_msr_locked(probe_machine &w)
{
    w.start();
    const msr_result r = w.write_msr(0, msr::rmp_base, 0);
    return word(r) + (w.read_msr(0, msr::rmp_base) == w.rmp_base ? ", unchanged" : "");
}

std::string segment_unit(probe_machine &w)
{
    w.build_only();
    cpuid_regs r;
    adjust_cpuid(*w.m, 0x80000025, r);
    return std::to_string(r.eax & 0x3f) + " " + std::to_string(r.eax >> 6 & 0x3f);
}

// Firmware.

std::string x86_snp_shutdown(probe_machine &w)
{
    w.build_only();
    firmware firmware(*w.m);
    constexpr spa_t buffer = 0x10000, out = 0x11000;
    const auto run = [&](firmware_command command, std::uint64_t operand) {
        w.m->memory().store(buffer, operand);
        w.m->memory().store(buffer + 8, out);
        return firmware.execute(static_cast<std::uint16_t>(command), buffer).status;
    };
    run(firmware_command::snp_feature_info, 16);
    const auto ecx = w.m->memory().load<std::uint32_t>(out + 8);
    const std::uint16_t status = run(firmware_command::snp_shutdown_ex, 8 | 2ull << 32);
    constexpr std::uint32_t offered = 1u << 1;
    return bit((ecx.value_or(~0u) & offered) != 0) +
           (status == 0 ? ", SUCCESS" : ", INVALID_PARAM");
}

struct outcome {
    std::string_view value, happens;
};
struct probe {
    std::string_view knob;
    std::string (*run)(probe_machine &);
    std::vector<outcome> outcomes;
};

const probe probes[] = {
    {"oow", oow, {{"cf0", "cf0"}, {"gp", "gp"}}},
    {"maxphys", maxphys, {{"cf0", "cf0"}, {"gp", "gp"}}},
    {"rax-align", rax_align, {{"round", "cf1"}, {"gp", "gp"}}},
    {"rcx", rcx, {{"gp", "gp"}, {"cf0", "cf0"}}},
    {"cpl", cpl, {{"gp", "gp"}, {"ud", "ud"}}},
    {"snpoff-exec", snpoff_exec, {{"ud", "ud"}, {"cf0", "cf0"}}},
    {"rmpopt-guest", rmpopt_guest, {{"ud", "ud"}, {"gp", "gp"}}},
    {"rmpopt-flags", rmpopt_flags, {{"keep", "CF"}, {"clear", "all"}}},
    {"no-entry", no_entry, {{"cf1", "cf1"}, {"cf0", "cf0"}}},
    {"hv-fixed", hv_fixed, {{"clean", "cf1"}, {"block", "cf0"}}},
    {"wrmsr-nosnp", wrmsr_nosnp, {{"gp", "gp"}, {"ignore", "done"}}},
    {"rmpopt-locked",
     rmpopt_locked,
     {{"gp", "gp enabled"}, {"ignore", "done enabled"}, {"allow", "done"}}},
    {"msr-reserved", msr_reserved, {{"gp", "gp"}, {"ignore", "done without them"}}},
    {"msr-rewrite", msr_rewrite, {{"clear", "clear"}, {"keep", "set"}}},
    {"init-msr", init_msr, {{"keep", "cf1"}, {"clear", "ud"}}},
    {"shutdown-msr", shutdown_msr, {{"clear", "0"}, {"keep", "enabled"}}},
    {"shutdown-table", shutdown_table, {{"keep", "set"}, {"clear", "clear"}}},
    {"shared-update", shared_update, {{"clear", "clear"}, {"keep", "set"}}},
    {"guest-exec", guest_exec, {{"2", "2"}, {"ud", "ud"}}},
    {"spa-align", spa_align, {{"1", "1 1"}, {"round", "0 0"}}},
    {"asid-high", asid_high, {{"1", "1"}, {"cut", "0, ASID 7"}}},
    {"inuse-order", inuse_order, {{"first", "3"}, {"last", "2"}}},
    {"immutable-in-2m", immutable_in_2m, {{"2", "2"}, {"4", "4"}}},
    {"overlap-in-2m", overlap_in_2m, {{"4", "4"}, {"2", "2"}}},
    {"overlap-transient", overlap_transient, {{"never", "0 0 0 "}, {"once", "40 0 40 "}}},
    {"same-update", same_update, {{"keep", "set"}, {"clear", "clear"}}},
    {"psmash-kind", psmash_kind, {{"7", "7"}, {"2", "2"}}},
    {"status-flags", status_flags_of, {{"set", "all"}, {"keep", "none"}}},
    {"checks-from", checks_from, {{"snp-en", "#PF, then #PF"}, {"snp-init", "allowed, then #PF"}}},
    {"inuse-write", inuse_write, {{"allow", "allowed"}, {"fault", "#PF"}}},
    {"plain-walk-read", plain_walk_read, {{"check", "denied"}, {"allow", "allowed"}}},
    {"plain-guest-2m", plain_guest_2m, {{"check", "denied"}, {"allow", "allowed"}}},
    {"vmsa-size", vmsa_size, {{"any", "runs"}, {"4k", "invalid"}}},
    {"walk-fault", walk_fault, {{"access", "no W"}, {"write", "W"}}},
    {"not-snp-guest", not_snp_guest, {{"ud", "ud ud ud"}, {"gp", "gp gp gp"}}},
    {"pvalidate-vmpl", pvalidate_vmpl, {{"gp", "gp"}, {"2", "2"}}},
    {"ciphertext", ciphertext, {{"scramble", "noise"}, {"plain", "plain"}}},
    {"rmpadjust-align", rmpadjust_align, {{"ignore", "0"}, {"1", "1"}}},
    {"rmpquery-vmpl", rmpquery_vmpl, {{"2", "2"}, {"0", "0"}}},
    {"guest-size-order", guest_size_order, {{"first", "6"}, {"last", "npf"}}},
    {"rmp-msr-locked", rmp_msr_locked, {{"gp", "gp, unchanged"}, {"ignore", "done, unchanged"}}},
    {"segment-unit", segment_unit, {{"bytes", "30 42"}, {"mb", "10 22"}}},
    {"x86-snp-shutdown",
     x86_snp_shutdown,
     {{"off", "clear, INVALID_PARAM"}, {"on", "set, SUCCESS"}}},
};

std::string observe(const probe &p, const policy &choices)
{
    probe_machine w(choices);
    return p.run(w);
}

std::string expected(const probe &p, std::string_view value)
{
    const auto o = std::ranges::find(p.outcomes, value, &outcome::value);
    return o == p.outcomes.end() ? "no outcome listed" : std::string(o->happens);
}

policy with(std::string_view knob, std::string_view value)
{
    policy p;
    EXPECT_EQ(set_policy(p, knob, value), "");
    return p;
}

TEST(policy_behaviour, each_knob_has_a_probe_and_each_probe_a_knob)
{
    EXPECT_EQ(std::size(probes), policy_knobs().size());
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_EQ(std::ranges::count(probes, k.name, &probe::knob), 1) << k.name;
    }
}

TEST(policy_behaviour, each_value_has_an_outcome_of_its_own)
{
    for (const probe &p : probes) {
        const auto knobs = policy_knobs();
        const auto k = std::ranges::find(knobs, p.knob, &policy_knob::name);
        ASSERT_NE(k, knobs.end()) << p.knob;
        EXPECT_EQ(k->values.size(), p.outcomes.size()) << p.knob;
        std::set<std::string_view> different;
        for (const outcome &o : p.outcomes) {
            different.insert(o.happens);
        }
        EXPECT_EQ(different.size(), p.outcomes.size()) << p.knob;
    }
}

TEST(policy_behaviour, the_first_value_is_the_default)
{
    for (const policy_knob &k : policy_knobs()) {
        EXPECT_EQ(k.get(policy{}), 0u) << k.name;
    }
}

TEST(policy_behaviour, each_value_does_what_it_says)
{
    for (const probe &p : probes) {
        for (const outcome &o : p.outcomes) {
            EXPECT_EQ(observe(p, with(p.knob, o.value)), o.happens) << p.knob << '=' << o.value;
        }
    }
}

TEST(policy_behaviour, no_knob_changes_the_situation_of_another)
{
    // What these are for: other updates fail, and accesses are not checked.
    constexpr std::array far_reaching{std::string_view("overlap-transient"),
                                      std::string_view("checks-from")};
    for (const probe &p : probes) {
        policy changed;
        for (const policy_knob &k : policy_knobs()) {
            const bool stays =
                p.knob == k.name || std::ranges::find(far_reaching, k.name) != far_reaching.end();
            k.set(changed, stays ? 0 : 1);
        }
        EXPECT_EQ(observe(p, changed), expected(p, p.outcomes[0].value)) << p.knob;
    }
}

} // namespace

} // namespace rmpopt::hw
