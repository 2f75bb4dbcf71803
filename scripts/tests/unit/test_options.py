# SPDX-License-Identifier: GPL-2.0-or-later
"""An option of the machine is defined once, and reaches each verb and the plugin."""
import argparse
import unittest
from pathlib import Path
from unittest import mock

from rmpopt_cli import cli
from rmpopt_cli.base import options
from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.guest.given import FIXED
from rmpopt_cli.guest.machine import (MachineOptions, check_smp, check_turns, count_cpus, parse_seed, plugin_argument,
                                      show_size)
from rmpopt_cli.guest.request import Request


def parsed(*words: str) -> argparse.Namespace:
    return cli.parser().parse_args(words)


def machine(*words: str) -> MachineOptions:
    return MachineOptions(**options.given(parsed(*words), MachineOptions))


class VerbsTest(unittest.TestCase):
    def test_defaults_are_the_fields(self) -> None:
        self.assertEqual(machine("boot"), MachineOptions())
        self.assertEqual(machine("run", "x.elf"), MachineOptions(memory=2 << 30, thread="multi", watch="off"))
        self.assertEqual(Request(**options.given(parsed("boot"), Request)), Request())

    def test_each_verb_has_each_option(self) -> None:
        flags = {each.flag_of(name) for name, each, _ in options.of(MachineOptions)}
        fixed = {each.flag_of(name) for name, each, _ in options.of(MachineOptions) if name in FIXED}
        for words, there in ((("boot",), flags), (("run",), flags), (("experiment",), flags - fixed),
                             (("scenario", "run"), flags - fixed)):
            found = cli.parser()
            for word in words:
                [verbs] = [action for action in found._actions if isinstance(action, argparse._SubParsersAction)]
                found = verbs.choices[word]
            self.assertEqual(there - set(found._option_string_actions), set(), words)

    def test_what_was_not_given_is_left_to_the_scenario(self) -> None:
        self.assertEqual(options.given(parsed("scenario", "run", "boot"), MachineOptions), {})
        given = options.given(parsed("scenario", "run", "boot", "--policy", "a=b", "--mem", "4G"), MachineOptions)
        self.assertEqual(given, {"policies": ["a=b"], "memory": 4 << 30})

    def test_several_at_once(self) -> None:
        self.assertEqual(machine("boot", "--qemu-opts", "-s -S", "--qemu-opts=-trace x").qemu_options,
                         ["-s", "-S", "-trace", "x"])
        self.assertEqual(machine("boot").qemu_options, [])

    def test_what_was_chosen(self) -> None:
        arguments = parsed("boot", "--seed", "7", "--mem", "2G", "--stall", "rmpopt@2#17:300us", "--net", "--share",
                           "/tmp:/mnt:rw", "--persona", "venice")
        request = Request(**options.given(arguments, Request), command="true",
                          machine=MachineOptions(**options.given(arguments, MachineOptions)))
        self.assertEqual(request.chosen(), {"--net": True, "--share": ["/tmp:/mnt:rw"], "--mem": "2G", "--seed": "7",
                                            "--stall": ["rmpopt@2#17:300us"], "COMMAND": "true"})

    def test_bad_values_are_named(self) -> None:
        for words, says in ((("--mem", "lots"), "--mem lots"), (("--watch-bound", "0"), "--watch-bound 0"),
                            (("--watch-bound", "x"), "--watch-bound x"), (("--tlb", "zen9"), "--tlb zen9"),
                            (("--measure", "sampled=1"), "--measure sampled=1"), (("--policy", "x"), "--policy x"),
                            (("--qemu-opts", "'"), "check the quotes"), (("--plugin", "/no.so"), "--plugin /no.so")):
            with self.assertRaisesRegex(BadInput, says):
                parsed("boot", *words)

    def test_a_directory_that_would_be_part_of_none(self) -> None:
        for words in (("boot", "--report"), ("experiment", "passes", "--output"), ("explore", "--output"),
                      ("kernel", "build", "--output")):
            with self.assertRaisesRegex(BadInput, f"{words[-1]} /nonexistent/x: there is no directory /nonexistent"):
                parsed(*words, "/nonexistent/x")
            parsed(*words, "/tmp/x")

    def test_arrangements_of_cpus_that_qemu_would_refuse(self) -> None:
        for good in ("1", "4,cores=2,threads=2", "4,threads=2", "6,cores=3", "cores=2,threads=2", "cpus=2,maxcpus=4",
                     "8,sockets=2,dies=2", "4,maxcpus=8,sockets=1,cores=4,threads=2", "maxcpus=4"):
            self.assertEqual(check_smp(good), good)
        for bad, says in (("3,cores=2", "3 CPUs can't be divided by cores 2"),
                          ("4,threads=3", "can't be divided by threads 3"),
                          ("2,cores=4", "2 CPUs can't be divided by cores 4"),
                          ("8,sockets=1,cores=2,threads=2", r"sockets 1 \* cores 2 \* threads 2 is 4, and not 8 CPUs"),
                          ("4,maxcpus=2", "maxcpus can't be less than the 4"), ("3,3", "give CPUs as QEMU does"),
                          ("4,cpus=4", "give CPUs as QEMU does"), ("4,", "give CPUs"), ("0", "give CPUs"),
                          ("cores", "give CPUs"), ("cpus=cores=2", "give CPUs")):
            with self.assertRaisesRegex(BadInput, says):
                check_smp(bad)

    def test_a_shell_without_a_terminal(self) -> None:
        with mock.patch("sys.stdin.isatty", return_value=False), \
                self.assertRaisesRegex(BadInput, "--file FILE -- sh /root/FILE"):
            Request(shell=True).check()

    def test_what_does_not_go_together(self) -> None:
        with self.assertRaisesRegex(BadInput, "one host thread"):
            MachineOptions(time="virtual", thread="multi").check()
        for request in (Request(watch_fatal=True, machine=MachineOptions(watch="off")), Request(reboots=-1),
                        Request(machine=MachineOptions(memory=1 << 20)), Request(shell=True, command="x")):
            with self.assertRaises(BadInput):
                request.check()

    def test_sizes(self) -> None:
        self.assertEqual([show_size(size) for size in (6 << 30, 1 << 40, 2560 << 20, 1 << 10)],
                         ["6G", "1T", "2560M", "1K"])


class PluginTest(unittest.TestCase):
    def told(self, **values: object) -> list[str]:
        return plugin_argument(MachineOptions(plugin=Path("/p.so"), **values), {}).split(",")  # type: ignore[arg-type]

    def test_defaults(self) -> None:
        self.assertEqual(self.told(), ["/p.so", "persona=venice", "rmp=auto", "enforce=on", "watch=on"])
        self.assertNotIn("watch=off", self.told(watch="off"))

    def test_all(self) -> None:
        self.assertEqual(self.told(persona="turin", policies=["oow=gp", "a=b"], audit=7, watch_bound=5,
                                   measure="exact+tlb", tlb="zen3")[1:],
                         ["persona=turin", "policy.oow=gp", "policy.a=b", "rmp=auto", "enforce=on", "audit=7",
                          "watch=on", "watch-bound=5", "measure=exact+tlb", "tlb=zen3"])

    def test_seed(self) -> None:
        self.assertIn("deterministic=on", self.told(seed=0))
        self.assertNotIn("deterministic=on", self.told())
        self.assertEqual(parse_seed("18446744073709551615"), (1 << 64) - 1)
        for wrong in ("18446744073709551616", "-1", "x", ""):
            with self.assertRaisesRegex(BadInput, "--seed"):
                parse_seed(wrong)
        with self.assertRaisesRegex(BadInput, "--seed needs one host thread"):
            MachineOptions(seed=1, thread="multi").check()

    def test_threads_of_an_idle_host(self) -> None:
        for machine, idle, wanted in ((MachineOptions(), 2, "multi"), (MachineOptions(), 1, "single"),
                                      (MachineOptions(smp="1"), 1, "single"),
                                      (MachineOptions(smp="5"), 2, "single"), (MachineOptions(smp="5"), 3, "multi"),
                                      (MachineOptions(thread="multi"), 0, "multi"),
                                      (MachineOptions(thread="single"), 9, "single"),
                                      (MachineOptions(no_plugin=True), 9, "single"),
                                      (MachineOptions(time="virtual"), 9, "single"),
                                      (MachineOptions(seed=1), 9, "single")):
            self.assertEqual(machine.on_idle_host(idle), wanted, machine)

    def test_number_of_cpus(self) -> None:
        for smp, wanted in (("3", 3), ("cpus=3,cores=2", 3), ("4,cores=2,threads=2,maxcpus=8", 4),
                            ("sockets=2,cores=3,threads=2", 12), ("maxcpus=8", 8)):
            self.assertEqual(count_cpus(smp), wanted, smp)

    def test_turns(self) -> None:
        self.assertIn("turns=0:2:1", self.told(seed=0, turns=check_turns("0:2:1")))
        self.assertNotIn("turns", self.told(seed=0))
        for wrong in ("", "0", "1:0", "0:2", "0:1:1", "0,1", "0:1:", "0:x"):
            with self.assertRaisesRegex(BadInput, "--turns"):
                check_turns(wrong)
        for machine in (MachineOptions(turns="0:1"), MachineOptions(turns="0:1", seed=1, no_plugin=True)):
            with self.assertRaisesRegex(BadInput, "--turns needs --seed and the plugin"):
                machine.check()

    def test_places(self) -> None:
        self.assertTrue(plugin_argument(MachineOptions(), {"log": Path("/l"), "report": Path("/r")})
                        .endswith(",log=/l,report=/r"))


if __name__ == "__main__":
    unittest.main()
