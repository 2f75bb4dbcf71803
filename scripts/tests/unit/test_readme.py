# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of options in scripts/README.md are those of the command line, and the documents' examples work.

"python3 -m tests.unit.test_readme write", in scripts/, regenerates them.
"""
import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from rmpopt_cli import cli
from rmpopt_cli.base import options
from rmpopt_cli.base.paths import CHECKOUT
from rmpopt_cli.guest.bare_metal import BareMetalTest
from rmpopt_cli.guest.machine import MachineOptions
from rmpopt_cli.guest.request import Request
from rmpopt_cli.snp_guest.guest import SnpGuest

README = CHECKOUT / "scripts" / "README.md"
KINDS = (MachineOptions, Request, SnpGuest, BareMetalTest)


def _row(name: str, option: options.Option, default: object) -> str:
    values = ", ".join(f"`{choice}`" for choice in option.choices)
    head = f"`{option.flag_of(name)}{' ' + option.metavar if option.metavar else ''}`{' ' + values if values else ''}"
    shown = option.show(default) if option.action == "store" else ""
    return f"| {head} | {f'`{shown}`' if shown else ''} | {option.help} |"


def table(kind: type) -> str:
    rows = [_row(name, option, default) for name, option, default in options.of(kind)]
    return "\n".join(["| Option | Default | |", "|---|---|---|", *rows]) + "\n"


def with_tables(text: str) -> str:
    for kind in KINDS:
        text, found = re.subn(rf"(<!-- {kind.__name__} -->\n).*?(<!-- end -->)",
                              lambda match, kind=kind: match[1] + table(kind) + match[2], text, flags=re.S)
        assert found == 1, kind
    return text


class Findings(unittest.TestCase):
    def test_a_readme_lists_each(self) -> None:
        rows = re.findall(r'finding_info\{"([\w-]+)"', (CHECKOUT / "plugin" / "watch" / "finding.h").read_text())
        self.assertGreater(len(rows), 10)
        text = (CHECKOUT / "README.md").read_text() + README.read_text()
        first_cells = re.findall(r"^\| `.*?\|", text, re.M)
        listed = re.findall(r"`([\w-]+)`", "\n".join(first_cells))
        self.assertEqual(set(rows) - set(listed), set())


class ReadmeTest(unittest.TestCase):
    def test_tables_of_options(self) -> None:
        text = README.read_text()
        self.assertEqual(text, with_tables(text), "run 'python3 -m tests.unit.test_readme write' in scripts/")

    def test_a_change_would_be_seen(self) -> None:
        text = README.read_text()
        self.assertNotEqual(text.replace("`venice`", "`rome`"), with_tables(text.replace("`venice`", "`rome`")))

    def test_all_commands_and_their_options(self) -> None:
        text = README.read_text()
        [verbs] = [a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)]
        for verb, parser in verbs.choices.items():
            self.assertRegex(text, rf"\| .*`{verb}\b", verb)
            below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
            for each in [parser, *(p for a in below for p in a.choices.values())]:
                for flag in each._option_string_actions:
                    self.assertTrue(flag in ("-h", "--help") or f"`{flag}" in text, f"{verb}: {flag}")


def _flags(words: str) -> set[str]:
    """Those of a command, such as "scenario run"."""
    parser = cli.parser()
    for word in words.split():
        [verbs] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        parser = verbs.choices[word]
    return {flag for flag in parser._option_string_actions if flag.startswith("--")}


class SharedOptionsTest(unittest.TestCase):
    """What the text says of options that several commands take."""
    TEXT = README.read_text().replace("\n", " ")
    COMMANDS = ("scenario run", "explore", "experiment")
    MACHINE, BOOT = [{each.flag_of(name) for name, each, _ in options.of(kind)} for kind in (MachineOptions, Request)]

    def named(self, pattern: str) -> set[str]:
        [text] = re.findall(f"`scenario run`, `explore` and `experiment` {pattern}", self.TEXT)
        return {*re.findall("`(--[a-z-]+)`", text)}

    def test_of_the_machine(self) -> None:
        for command in ("boot", "run"):
            self.assertEqual(self.MACHINE - _flags(command), set(), command)
        for command in self.COMMANDS:
            self.assertEqual(self.MACHINE - _flags(command), self.named("take all but ([^;]*);"), command)

    def test_of_boot(self) -> None:
        also = self.named("also take ([^;]*);")
        [of_explore] = re.findall("; the first two take `--require`, and `explore` takes ([^.]*)[.]", self.TEXT)
        more = {"scenario run": {"--require"}, "experiment": set(),
                "explore": {"--require", *re.findall("`(--[a-z-]+)`", of_explore)}}
        for command in self.COMMANDS:
            # --at, --stall, --gdb and --json are in the table of the other commands.
            own = _flags(command) & self.BOOT - {"--at", "--stall", "--gdb", "--json"}
            self.assertEqual(own, also | more[command], command)


class ExamplesTest(unittest.TestCase):
    """Of the documents."""
    TEXT = (CHECKOUT / "README.md").read_text() + README.read_text()

    def test_options_are_known(self) -> None:
        lines = re.findall(r"^    (?!    replay).*?scripts/rmpopt (.*)$", self.TEXT.replace("\\\n", ""), re.M)
        self.assertGreater(len(lines), 20)
        for line in lines:
            words = shlex.split(line.partition(">")[0].replace("$INDEX/$COUNT", "1/8"), comments=True)
            with self.subTest(line):
                cli.parser().parse_args(words)  # exits if it does not know them

    def test_an_installation_builds_no_tests(self) -> None:
        done = subprocess.run(["meson", "introspect", "--buildoptions", CHECKOUT / "meson.build"], capture_output=True,
                              check=True)
        self.assertEqual([option["value"] for option in json.loads(done.stdout) if option["name"] == "tests"], [False])

    def test_ci_notices_each_failure(self) -> None:
        found = re.search(r"^For CI.*?\n\n(.*?)\n\n", self.TEXT, re.M | re.S)
        assert found
        with tempfile.TemporaryDirectory() as top:
            Path(top, "scripts").mkdir()
            Path(top, "scripts", "rmpopt").write_text('#!/bin/sh\n[ "$1" != "$FAILS" ]\n')
            Path(top, "scripts", "rmpopt").chmod(0o755)
            statuses = [subprocess.run(["sh", "-c", textwrap.dedent(found[1])], cwd=top,
                                       env={"HOME": top, "FAILS": verb}).returncode
                        for verb in ("none", "boot", "scenario", "explore")]
        self.assertEqual(statuses, [0, 1, 1, 1])


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        README.write_text(with_tables(README.read_text()))
    else:
        unittest.main()
