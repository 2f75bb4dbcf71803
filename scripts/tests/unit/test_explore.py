# SPDX-License-Identifier: GPL-2.0-or-later
"""Stalls are written, read and resolved; a search draws, judges, goes on, minimises and replays."""
import argparse
import contextlib
import io
import json
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli import cli
from rmpopt_cli.base.errors import OK, TEST_FAILED, BadInput, Failure
from rmpopt_cli.commands import explore
from rmpopt_cli.explore import findings, points, search
from rmpopt_cli.explore.points import Place
from rmpopt_cli.guest import stalls
from rmpopt_cli.guest.given import Given
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.guest.stalls import Stall
from rmpopt_cli.guest.symbols import Symbols
from rmpopt_cli.scenarios.catalogue import Scenario
from rmpopt_cli.scenarios.runner import Outcome

NAMES = Symbols("ffffffff81000000 T _stext\n"
                "ffffffff81000100 t __pfx_rmpopt_work\nffffffff81000110 t rmpopt_work\nffffffff81000140 T rmpopt_end\n"
                "ffffffff81000200 T entry_SYSCALL_64\nffffffff81000400 T alias_one\nffffffff81000400 T alias_two\n"
                "ffffffff81000480 T _etext\n")


class StallTest(unittest.TestCase):
    def test_read_and_written(self) -> None:
        for text in ("rmpopt@2#17:300us", "rmpopt_work+0x45@0#1:3ms", "entry-0x1f@3#2:15ns", "doorbell@0#1:1ms",
                     "pending@1#2:1ms", "interrupt@1#2:20ms/idle"):
            self.assertEqual(str(stalls.parse(text)), text)
        self.assertEqual(str(stalls.parse("rmpopt@0#1:1500000ns")), "rmpopt@0#1:1500us")

    def test_bad_ones(self) -> None:
        for text in ("", "rmpopt", "rmpopt@1", "rmpopt@1#0:1us", "rmpopt@1#1:0us", "rmpopt@1#1:1s", "a b@1#1:1us",
                     "rmpopt@1#1:1.5ms", "rmpopt@1#1:11000ms", "rmpopt@1#1:1us,stall=x", "rmpopt@1#1:1us/",
                     "rmpopt@1#1:1us/busy"):
            with self.assertRaisesRegex(BadInput, "--stall .*: give SITE@CPU#OCCURRENCE:TIME", msg=text):
                stalls.parse(text)

    def test_sentence(self) -> None:
        self.assertEqual(stalls.parse("rmpopt_work+0x45@2#1:3100us").sentence(),
                         "CPU 2 stalls 3.1 ms at rmpopt_work+0x45")
        self.assertEqual(stalls.parse("rmpopt@0#3:20us").sentence(), "CPU 0 stalls 0.02 ms at occurrence 3 of rmpopt")
        self.assertEqual(stalls.parse("pending@1#1:2ms").sentence(),
                         "CPU 1 takes no interrupts for 2 ms at the first interrupt")
        self.assertEqual(stalls.parse("pending@1#2:2ms/idle").sentence(),
                         "CPU 1 takes no interrupts for 2 ms, or until all others are idle, at occurrence 2 of pending")

    def test_resolved(self) -> None:
        told = [Stall("rmpopt", 1, 2, 3), Stall("rmpopt_work+0x10", 0, 1, 1000), Stall("alias_two", 0, 1, 1000),
                Stall("entry-0x8", 0, 1, 1000, until_idle=True)]
        self.assertEqual(stalls.plugin_words(told, ["rmpopt_*"], NAMES),
                         ["stall=rmpopt@1#2:3ns", "stall=entry-0xe0@0#1:1us", "stall=entry+0x200@0#1:1us",
                          "stall=entry-0x8@0#1:1us/idle", "points-code=entry-0xf0+48", "points-code=entry-0xc0+192"])

    def test_named_as_it_is_given(self) -> None:
        self.assertEqual(stalls.named("entry-0xe0", NAMES), "rmpopt_work+0x10")
        self.assertEqual(stalls.named("entry-0xe0", None), "entry-0xe0")
        self.assertEqual(stalls.named("rmpopt", NAMES), "rmpopt")

    def test_unknown_names(self) -> None:
        for words in (([Stall("nowhere+0x1", 0, 1, 1)], [], NAMES), ([], ["nowhere*"], NAMES),
                      ([Stall("rmpopt_work", 0, 1, 1)], [], None), ([], ["rmpopt*"], None)):
            with self.assertRaises(BadInput):
                stalls.plugin_words(*words)

    def test_need_a_seed(self) -> None:
        stalled = {"stalls": [stalls.parse("rmpopt@0#1:1us")]}
        with self.assertRaisesRegex(BadInput, "--stall and --at need --seed"):
            Request(**stalled).check()
        with self.assertRaisesRegex(BadInput, "--stall and --at need --seed"):
            Request(**stalled, machine=MachineOptions(seed=1, no_plugin=True)).check()
        Request(**stalled, machine=MachineOptions(seed=1)).check()


class DrawTest(unittest.TestCase):
    PLACES = [Place("rmpopt", 0, 4), Place("interrupt", 1, 100_000), Place("f+0x1", 0, 7), Place("f+0x4", 1, 1)]

    def test_the_same_seed_draws_the_same(self) -> None:
        drawn = [points.draw(self.PLACES, seed, 3, 20_000_000) for seed in range(300)]
        self.assertEqual(drawn, [points.draw(self.PLACES, seed, 3, 20_000_000) for seed in range(300)])
        self.assertGreater(len({tuple(d) for d in drawn}), 290)

    def test_within_bounds(self) -> None:
        times = {(p.site, p.cpu): p.times for p in self.PLACES}
        for seed in range(500):
            drawn = points.draw(self.PLACES, seed, 3, 2_000_000)
            self.assertTrue(1 <= len(drawn) <= 3)
            for stall in drawn:
                self.assertTrue(1 <= stall.occurrence <= times[stall.site, stall.cpu])
                self.assertTrue(990 <= stall.ns <= 2_000_000, stall)
                self.assertEqual(stalls.parse(str(stall)), stall)

    def test_each_kind_is_drawn(self) -> None:
        drawn = [stall for seed in range(600) for stall in points.draw(self.PLACES, seed, 1, 1_000_000)]
        for kind in ({"rmpopt"}, {"interrupt"}, {"f+0x1", "f+0x4"}):
            self.assertGreater(sum(stall.site in kind for stall in drawn), 150)
        occurrences = [stall.occurrence for stall in drawn if stall.site == "interrupt"]
        self.assertTrue(min(occurrences) < 10 and max(occurrences) > 99_990)

    def test_interrupts_come_late_in_half_of_their_stalls(self) -> None:
        places = [*self.PLACES, Place("pending", 1, 500)]
        for seed in range(600):
            for before, after in zip(points.draw(self.PLACES, seed, 3, 10 ** 6), points.draw(places, seed, 3, 10 ** 6)):
                if after.site == "pending":
                    self.assertEqual((before.site, before.cpu, before.ns), ("interrupt", 1, after.ns))
                    self.assertTrue(1 <= after.occurrence <= 500)
                else:
                    self.assertEqual(before, after)
        drawn = [stall.site for seed in range(600) for stall in points.draw(places, seed, 1, 10 ** 6)]
        self.assertGreater(min(drawn.count("interrupt"), drawn.count("pending")), 60)

    def test_priorities_are_the_same_points_until_all_others_are_idle(self) -> None:
        for seed in range(100):
            uniform = points.draw(self.PLACES, seed, 3, 10 ** 6)
            self.assertEqual(points.draw(self.PLACES, seed, 3, 10 ** 6, points.PRIORITIES),
                             [Stall(s.site, s.cpu, s.occurrence, 10 ** 6, until_idle=True) for s in uniform])

    def test_turns(self) -> None:
        orders = [points.draw_turns(4, seed) for seed in range(400)]
        self.assertEqual(orders, [points.draw_turns(4, seed) for seed in range(400)])
        self.assertEqual({str(one) for order in orders for one in order},
                         {f"turns=0:{rest}" for rest in ("1:3:2", "2:1:3", "2:3:1", "3:1:2", "3:2:1")})
        self.assertTrue(180 < sum(not order for order in orders) < 300)
        self.assertFalse(any(points.draw_turns(cpus, seed) for seed in range(50) for cpus in (1, 2)))

    def test_turns_are_read_and_written(self) -> None:
        turns = points.Turns("0:2:3:1")
        self.assertEqual(points.parse(str(turns)), turns)
        self.assertEqual(turns.sentence(), "CPUs take turns in the order 0, 2, 3, 1")
        self.assertEqual(points.parse("rmpopt@0#1:1us"), Stall("rmpopt", 0, 1, 1000))


class Machine:
    """Stands in for the boots of a search: fails when CPU 1 stalls at interrupt 3 and at rmpopt 1 or 2."""

    def __init__(self) -> None:
        self.boots = 0

    def perform(self, scenario: Scenario, given: Given) -> Outcome:
        self.boots += 1
        report = given.boot["report"]
        report.mkdir(parents=True)
        (report / "report.json").write_text(json.dumps(
            {"cpus": 4, "points": [{"site": site, "cpu": 1, "times": 3} for site in ("rmpopt", "interrupt")]}))
        (report / "events.jsonl").write_text('{"t": 12.5, "type": "end"}\n')
        (report / "command").write_text("qemu -kernel /nowhere/bzImage\n")
        at = {(stall.site, stall.occurrence) for stall in given.boot["stalls"]}
        if ("interrupt", 3) in at and at & {("rmpopt", 1), ("rmpopt", 2)}:
            return Outcome(scenario.name, "fail", f"WARNING: at 0x{self.boots:x}", 1.0, [], str(report))
        return Outcome(scenario.name, "pass", "", 1.0, [], str(report))


class SearchTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        self.machine = Machine()
        self.said: list[str] = []
        self.enterContext(mock.patch("rmpopt_cli.scenarios.runner.perform", self.machine.perform))
        self.enterContext(contextlib.redirect_stderr(io.StringIO()))

    def of(self, seeds: range = range(1, 101), **more: object) -> search.Search:
        return search.Search(Scenario("s", "", "work"), Given(), ["--scenario", "s"], list(seeds), self.top / "out",
                             jobs=2, **more)  # type: ignore[arg-type]

    def explore(self, wanted: search.Search) -> list[search.Run]:
        return search.explore(wanted, self.said.append)

    def test_finds_and_minimises(self) -> None:
        runs = self.explore(self.of(minimise=True))
        failed = [run for run in runs if run.failed]
        self.assertEqual(len(runs), 100)
        self.assertTrue(failed)
        for run in failed:
            self.assertEqual(run.finding, "WARNING: at N")
            self.assertEqual(len(run.minimised or []), 2, "without an order of turns")
            self.assertTrue((self.top / "out" / f"seed-{run.seed}").is_dir())
        passed = next(run for run in runs if not run.failed)
        self.assertFalse((self.top / "out" / f"seed-{passed.seed}").exists())

    def test_tells_how_to_replay(self) -> None:
        self.explore(self.of(minimise=True, enough=1))
        line = next(line for line in self.said if "replay:" in line)
        self.assertRegex(line, r"scripts/rmpopt explore (--stall '\w+@1#\d:\d+\ws' ?){2}--scenario s")

    def test_goes_on_where_it_stopped(self) -> None:
        self.explore(self.of(range(1, 31)))
        with (self.top / "out" / search.RESULTS).open("a") as results:
            results.write('{"seed": 31, "verd')
        boots = self.machine.boots
        runs = self.explore(self.of(range(1, 41)))
        self.assertEqual(self.machine.boots - boots, 11)
        self.assertEqual(sorted(run.seed for run in runs), list(range(1, 41)))

    def test_another_search_is_refused(self) -> None:
        self.explore(self.of(range(1, 3)))
        with self.assertRaisesRegex(BadInput, "results of another search"):
            self.explore(self.of(range(1, 3), most=5))

    def test_enough(self) -> None:
        runs = self.explore(self.of(range(1, 2000), enough=2))
        self.assertEqual(sum(run.failed for run in runs), 2)
        self.assertLess(len(runs), 1000)

    def test_fails_without_stalls(self) -> None:
        failed = Outcome("s", "fail", "a bug", 1.0, [], "/nowhere")
        with mock.patch("rmpopt_cli.scenarios.runner.perform", return_value=failed), \
                self.assertRaisesRegex(Failure, "fails without any stall: a bug"):
            self.explore(self.of())

    def test_turns_that_matter_are_replayed(self) -> None:
        boots = self.machine.perform

        def perform(scenario: Scenario, given: Given) -> Outcome:
            outcome = boots(scenario, given)
            return outcome if given.machine.get("turns") else Outcome("s", "pass", "", 1.0, [], outcome.report)

        with mock.patch("rmpopt_cli.scenarios.runner.perform", perform):
            self.explore(self.of(range(1, 2000), minimise=True, enough=1))
        replay = r"replay: .* --turns 0(:\d){3} (--stall \S+ ){2}--scenario"
        self.assertTrue(any(re.search(replay, line) for line in self.said))
        self.said.clear()
        fixed = self.of(range(1, 101), minimise=True)
        fixed.output, fixed.given = self.top / "fixed", Given({}, {"turns": "0:1:2:3"})
        self.explore(fixed)
        self.assertTrue(self.said)
        self.assertFalse(any("take turns" in line for line in self.said))

    def test_replay(self) -> None:
        unlucky = [stalls.parse("interrupt@1#3:1ms"), stalls.parse("rmpopt@1#2:1ms")]
        self.assertEqual(search.replay(self.of(), unlucky, 3, self.said.append), TEST_FAILED)
        self.assertEqual(search.replay(self.of(), unlucky[:1], 1, self.said.append), OK)
        self.assertEqual(sum(line.startswith("fail: WARNING") for line in self.said), 3)
        self.assertFalse(any("not the same" in line for line in self.said))

    def test_only_the_script_is_explored(self) -> None:
        self.assertEqual(self.of().explored.script, "rmpopt-mark --points on\nwork\nrmpopt-mark --points off")
        self.assertEqual(self.of(boots=True).explored.script, "work")

    def test_summary(self) -> None:
        told = findings.summary(self.explore(self.of()))
        self.assertEqual(told["runs"], 100)
        self.assertEqual(told["findings"][0]["runs"], told["failed"])
        self.assertIn("WARNING: at N", "\n".join(findings.lines(told)))

    def test_merge(self) -> None:
        for name, seeds in (("a", range(1, 31, 2)), ("b", range(2, 31, 2))):
            part = self.of(seeds)
            part.output = self.top / name
            self.explore(part)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            cli.main(["explore", "merge", str(self.top / "a"), str(self.top / "b"), "--json"])
        self.assertEqual(json.loads(out.getvalue())["runs"], 30)
        self.assertEqual(cli.main(["explore", "merge", str(self.top)]), 2)


class WordsTest(unittest.TestCase):
    def test_bad_words(self) -> None:
        for words in (["--seeds", "5-1"], ["--shard", "3/2"], ["--stalls", "0"], ["--longest", "1s"], ["--gdb"],
                      ["--scenario", "boot", "--", "true"], ["--scenario", "nothing"], ["merge"]):
            with contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(cli.main(["explore", *words]), 2, words)

    def test_after_a_command_the_bound_of_the_watch_is_awaited(self) -> None:
        scenario = explore._scenario(argparse.Namespace(words=["true"], scenario=None))
        self.assertGreater(scenario.quiet, scenario.bound)

    def test_points_that_the_kernel_lacks(self) -> None:
        """They are refused before there is anything of a search."""
        for words in (["--at", "nosuch*"], ["--stall", "nosuch+0x4@0#1:1ms"]):
            told = io.StringIO()
            with contextlib.redirect_stderr(told), mock.patch("rmpopt_cli.guest.linux.parts"), \
                    mock.patch("rmpopt_cli.guest.symbols.for_kernel", return_value=NAMES), \
                    mock.patch("rmpopt_cli.guest.workspace.fresh", side_effect=AssertionError):
                self.assertEqual(cli.main(["explore", *words]), 2, words)
            self.assertIn("the kernel has no function of that name", told.getvalue())

    def test_the_command_line_of_what_was_given(self) -> None:
        given = Given({"kernel": "/k/bzImage", "append": "a b"}, {"smp": "2", "memory": 3 << 30, "policies": ["x=y"]})
        self.assertEqual(given.words(), ["--kernel", "/k/bzImage", "--append", "a b", "--smp", "2", "--mem", "3G",
                                         "--policy", "x=y"])


if __name__ == "__main__":
    unittest.main()
