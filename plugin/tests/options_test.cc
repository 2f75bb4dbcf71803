// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.h"

#include <gtest/gtest.h>
#include <vector>

namespace rmpopt
{

namespace
{

struct parsed {
    options opt;
    std::string error;
};

parsed parse(std::vector<const char *> args)
{
    parsed p;
    p.error = parse_options(static_cast<int>(args.size()), args.data(), p.opt);
    return p;
}

TEST(options, none_is_a_venice_with_enforcement)
{
    const parsed p = parse({});
    EXPECT_EQ(p.error, "");
    EXPECT_EQ(p.opt.persona->name, "venice");
    EXPECT_EQ(p.opt.layout(), hw::rmp_layout::segmented);
    EXPECT_EQ(p.opt.enforce, enforcement::on);
    EXPECT_EQ(p.opt.audit, 0u);
    EXPECT_TRUE(p.opt.log.empty() && p.opt.report.empty());
}

TEST(options, persona_is_taken)
{
    EXPECT_EQ(parse({"persona=genoa"}).opt.persona->name, "genoa");
}

TEST(options, unknown_persona_is_refused_with_the_known_ones)
{
    EXPECT_EQ(parse({"persona=rome"}).error,
              "option persona: no persona 'rome'; use one of venice, turin, genoa, milan");
}

TEST(options, stalls_need_a_deterministic_machine)
{
    for (const char *option :
         {"points=on", "points-code=entry+0x10+4", "stall=rmpopt@0#1:1us", "turns=0:1"}) {
        EXPECT_EQ(parse({option}).error,
                  "options turns, points, points-code and stall need deterministic=on");
        EXPECT_EQ(parse({option, "deterministic=on"}).error, "");
    }
    EXPECT_EQ(parse({"points=off"}).error, "");
    EXPECT_NE(parse({"points=yes"}).error, "");
    EXPECT_NE(parse({"stall=rmpopt", "deterministic=on"}).error, "");
}

TEST(options, injections_are_several)
{
    const auto p = parse({"inject=psp:SNP_INIT_EX:0x3", "inject=rmpupdate:5:7"});
    ASSERT_EQ(p.error, "");
    ASSERT_EQ(p.opt.injections.size(), 2u);
    EXPECT_EQ(p.opt.injections[0].status, 3u);
    EXPECT_EQ(p.opt.injections[1].count, 7u);
    EXPECT_TRUE(parse({"inject=psp:SNP_INIT"}).error.starts_with("option inject: 'psp:SNP_INIT'"));
}

TEST(options, turns_are_an_order_of_all_cpus)
{
    EXPECT_EQ(parse({"turns=0:2:3:1", "deterministic=on"}).opt.turns,
              (std::vector<unsigned>{0, 2, 3, 1}));
    for (const char *turns : {"turns=", "turns=1:0", "turns=0:2", "turns=0:1:1",
                              "turns=0:", "turns=0,1", "turns=0:-1", "turns=0:x"}) {
        EXPECT_TRUE(parse({turns, "deterministic=on"}).error.ends_with("such as 0:2:1:3")) << turns;
    }
}

TEST(options, time_limit_is_a_number_of_seconds)
{
    EXPECT_EQ(parse({"time-limit=70"}).opt.time_limit, 70u);
    EXPECT_NE(parse({"time-limit=70s"}).error, "");
}

TEST(options, empty_persona_is_refused)
{
    EXPECT_NE(parse({"persona="}).error, "");
}

TEST(options, rmpopt_may_be_left_out_of_a_persona)
{
    EXPECT_TRUE(parse({}).opt.cpu().rmpopt);
    EXPECT_TRUE(parse({"rmpopt=on"}).opt.cpu().rmpopt);
    const hw::cpu_model without = parse({"rmpopt=off", "persona=venice"}).opt.cpu();
    EXPECT_FALSE(without.rmpopt);
    EXPECT_TRUE(without.segmented_rmp) << "all else stays";
    EXPECT_FALSE(parse({"rmpopt=on", "persona=turin"}).opt.cpu().rmpopt);
    EXPECT_EQ(parse({"rmpopt=maybe"}).error, "option rmpopt: 'maybe' is not on or off");
}

TEST(options, rmp_auto_follows_the_persona)
{
    EXPECT_EQ(parse({"rmp=auto", "persona=genoa"}).opt.layout(), hw::rmp_layout::contiguous);
    EXPECT_EQ(parse({"rmp=auto", "persona=turin"}).opt.layout(), hw::rmp_layout::segmented);
}

TEST(options, rmp_can_be_contiguous_on_any_persona)
{
    EXPECT_EQ(parse({"rmp=contiguous"}).opt.layout(), hw::rmp_layout::contiguous);
    EXPECT_EQ(parse({"rmp=contiguous", "persona=milan"}).opt.layout(), hw::rmp_layout::contiguous);
}

TEST(options, rmp_can_be_left_out)
{
    EXPECT_EQ(parse({"rmp=none"}).opt.layout(), hw::rmp_layout::none);
}

TEST(options, segmented_rmp_is_refused_on_a_persona_without_it)
{
    const std::string expected = "option rmp: persona genoa has no segmented RMP; use "
                                 "rmp=contiguous or another persona";
    EXPECT_EQ(parse({"rmp=segmented", "persona=genoa"}).error, expected);
    EXPECT_EQ(parse({"persona=genoa", "rmp=segmented"}).error, expected);
}

TEST(options, unknown_rmp_is_refused_with_the_known_ones)
{
    EXPECT_EQ(parse({"rmp=raw"}).error,
              "option rmp: 'raw' is not auto, segmented, contiguous or none");
}

TEST(options, watch_is_on_or_off)
{
    EXPECT_FALSE(parse({}).opt.watch);
    EXPECT_TRUE(parse({"watch=on"}).opt.watch);
    EXPECT_FALSE(parse({"watch=off"}).opt.watch);
    EXPECT_EQ(parse({"watch=1"}).error, "option watch: '1' is not on or off");
}

TEST(options, watch_bound_is_seconds)
{
    EXPECT_EQ(parse({}).opt.watch_bound, 30u);
    EXPECT_EQ(parse({"watch-bound=12"}).opt.watch_bound, 12u);
    for (const char *bad :
         {"watch-bound=", "watch-bound=0", "watch-bound=86401", "watch-bound=1s"}) {
        EXPECT_NE(parse({bad}).error.find("is no number of seconds from 1 to 86400"),
                  std::string::npos)
            << bad;
    }
}

TEST(options, audit_is_a_number)
{
    EXPECT_EQ(parse({"audit=1000"}).opt.audit, 1000u);
    EXPECT_NE(parse({"audit=often"}).error, "");
    EXPECT_NE(parse({"audit=-1"}).error, "");
    EXPECT_NE(parse({"audit="}).error, "");
    EXPECT_NE(parse({"audit=12x"}).error, "");
}

TEST(options, enforce_is_off_on_or_strict)
{
    EXPECT_EQ(parse({"enforce=off"}).opt.enforce, enforcement::off);
    EXPECT_EQ(parse({"enforce=off", "enforce=on"}).opt.enforce, enforcement::on);
    EXPECT_EQ(parse({"enforce=strict"}).opt.enforce, enforcement::strict);
}

TEST(options, enforce_is_nothing_else)
{
    EXPECT_EQ(parse({"enforce=yes"}).error, "option enforce: 'yes' is not on, off or strict");
    EXPECT_NE(parse({"enforce=ON"}).error, "");
    EXPECT_NE(parse({"enforce="}).error, "");
}

TEST(options, paths_are_taken)
{
    const parsed p = parse({"log=l", "report=r=1"});
    EXPECT_EQ(p.error, "");
    EXPECT_EQ(p.opt.log, "l");
    EXPECT_EQ(p.opt.report, "r=1") << "only the first '=' separates";
}

TEST(options, latency_of_the_secure_processor)
{
    constexpr std::uint16_t snp_init = 0x81, launch_update = 0xa1, unknown = 0x7f;
    const auto of = [](const char *option, std::uint16_t command) {
        return parse({option}).opt.psp_latency.of(command);
    };
    EXPECT_EQ(options{}.psp_latency.of(snp_init), 0u);
    EXPECT_EQ(of("psp-latency=none", snp_init), 0u);
    EXPECT_EQ(of("psp-latency=20us", snp_init), 20'000u);
    EXPECT_EQ(of("psp-latency=3ms", unknown), 3'000'000u);
    EXPECT_EQ(of("psp-latency=typical", snp_init), 500'000'000u);
    EXPECT_EQ(of("psp-latency=typical", launch_update), 40'000u);
    EXPECT_EQ(of("psp-latency=typical", unknown), 20'000u);
    for (const char *wrong : {"", "20", "us", "-1us", "20 us", "20s", "10001ms", "99999999999ms",
                              "99999999999999999999ns", "Typical"}) {
        EXPECT_NE(parse({(std::string("psp-latency=") + wrong).c_str()}).error, "") << wrong;
    }
}

TEST(options, an_option_of_the_past_says_what_took_its_place)
{
    EXPECT_NE(parse({"psp=/a/b"}).error.find("give QEMU -device rmpopt-psp"), std::string::npos);
}

TEST(options, empty_path_is_refused)
{
    EXPECT_EQ(parse({"log="}).error, "option log: give a path after '='");
    EXPECT_EQ(parse({"report="}).error, "option report: give a path after '='");
}

TEST(options, policy_is_taken_by_its_name)
{
    const parsed p = parse({"policy.oow=gp", "policy.psmash-kind=2"});
    EXPECT_EQ(p.error, "");
    EXPECT_EQ(p.opt.policy.out_of_window, hw::choice::out_of_window::gp);
    EXPECT_EQ(p.opt.policy.psmash_kind, hw::choice::psmash_kind::fail_permission);
}

TEST(options, policy_with_a_bad_value_is_refused)
{
    EXPECT_EQ(parse({"policy.oow=maybe"}).error, "policy 'oow' cannot be 'maybe'; use cf0 or gp");
}

TEST(options, unknown_policy_is_refused)
{
    EXPECT_TRUE(parse({"policy.=gp"}).error.starts_with("unknown policy ''"));
    EXPECT_TRUE(parse({"policy.x=gp"}).error.starts_with("unknown policy 'x'"));
}

TEST(options, unknown_option_is_refused_with_the_known_ones)
{
    EXPECT_EQ(parse({"speed=fast"}).error,
              "unknown option 'speed'; known: persona, rmpopt, rmp, enforce, "
              "audit, deterministic, watch, watch-bound, measure, tlb, psp, psp-latency, "
              "turns, inject, points, points-code, stall, "
              "control, events, schedule, time-limit, log, report, probe, break, policy.NAME");
}

TEST(options, name_with_another_spelling_is_refused)
{
    EXPECT_NE(parse({"Persona=venice"}).error, "");
    EXPECT_NE(parse({" persona=venice"}).error, "");
    EXPECT_NE(parse({"=venice"}).error, "");
}

TEST(options, word_without_value_is_refused)
{
    EXPECT_EQ(parse({"persona"}).error, "option 'persona' is not of the form name=value");
    EXPECT_EQ(parse({""}).error, "option '' is not of the form name=value");
}

TEST(options, first_error_is_the_one_reported)
{
    EXPECT_EQ(parse({"enforce=1", "rmp=2"}).error, "option enforce: '1' is not on, off or strict");
}

TEST(options, last_of_several_wins)
{
    EXPECT_EQ(parse({"persona=genoa", "persona=turin"}).opt.persona->name, "turin");
}

} // namespace

} // namespace rmpopt
