# SPDX-License-Identifier: GPL-2.0-or-later
"""--policy is checked against what the model knows, and the list fits a terminal."""
import json
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from rmpopt_cli.base.errors import BadInput, Failure
from rmpopt_cli.commands import policies as command
from rmpopt_cli.guest import policies
from rmpopt_cli.provision.cache import Cache

LISTED = json.dumps({"schema": 1, "policies": [
    {"name": "oow", "default": "cf0", "meaning": "RMPOPT of an address outside the core's 2 TB window",
     "values": [{"value": "cf0", "meaning": "CF=0, no exception"}, {"value": "gp", "meaning": "#GP(0)"}],
     "source": "not documented; nobody reported a fault from kernels that looked beyond the window"},
    {"name": "psmash-kind", "default": "7", "meaning": "result of PSMASH on the wrong kind of entry",
     "values": [{"value": "2", "meaning": "EAX=2"}, {"value": "7", "meaning": "EAX=7"}], "source": "sources differ"},
]})


class PoliciesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.known = policies.parse(LISTED)

    def refused(self, text: str) -> str:
        with self.assertRaises(BadInput) as caught:
            policies.check_one(self.known, text)
        self.assertNotIn("\n", str(caught.exception))
        self.assertEqual(caught.exception.status, 2)
        return str(caught.exception)

    def test_known_values(self) -> None:
        for text in ("oow=cf0", "oow=gp", "psmash-kind=7"):
            policies.check_one(self.known, text)

    def test_unknown_name_gets_the_names(self) -> None:
        self.assertRegex(self.refused("speed=gp"), "no policy 'speed'.*: oow, psmash-kind$")

    def test_name_must_match_exactly(self) -> None:
        for name in ("OOW", "oo", "psmash_kind", "policy.oow"):
            self.refused(f"{name}=gp")

    def test_unknown_value_gets_the_values(self) -> None:
        self.assertIn("oow can't be 'ud': give cf0 or gp", self.refused("oow=ud"))

    def test_value_of_another_policy(self) -> None:
        self.assertIn("give 2 or 7", self.refused("psmash-kind=gp"))

    def test_value_must_match_exactly(self) -> None:
        for value in ("GP", "g", "gp=gp"):
            self.refused(f"oow={value}")

    def test_table_marks_defaults(self) -> None:
        text = "\n".join(command.table(self.known, 80))
        self.assertIn("cf0*, gp", text)
        self.assertIn("2, 7*", text)
        self.assertIn("#GP(0)", text)

    def test_table_fits(self) -> None:
        for columns in (60, 80, 100, 300):
            lines = command.table(self.known, columns)
            self.assertLessEqual(max(map(len, lines)), min(columns, command.WIDEST))

    def test_table_loses_no_word(self) -> None:
        for columns in (20, 60, 300):
            words = " ".join(command.table(self.known, columns)).split()
            for policy in self.known:
                for word in f"{policy.name} {policy.meaning}".split():
                    self.assertIn(word, words)


class OtherPluginTest(unittest.TestCase):
    """A plugin of another build directory is asked through the tool beside it."""

    def setUp(self) -> None:
        scratch = TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.build = Path(scratch.name)
        self.plugin = self.build / "plugin" / "librmpopt.so"
        self.tool = self.build / policies.TOOL
        self.tool.parent.mkdir(parents=True)

    def says(self, script: str) -> None:
        self.tool.write_text(f"#!/bin/sh\n{script}\n")
        self.tool.chmod(0o755)

    def check(self, text: str) -> None:
        policies.check(Cache(), [text], self.plugin)

    def test_its_own_policies_count(self) -> None:
        self.says(f"cat <<'END'\n{LISTED}\nEND")
        self.check("psmash-kind=2")
        with self.assertRaisesRegex(BadInput, "no policy 'rcx'"):
            self.check("rcx=gp")

    def test_without_a_tool_the_plugin_judges(self) -> None:
        self.check("anything=goes")

    def test_broken_tool(self) -> None:
        self.says("echo out of order >&2; exit 3")
        with self.assertRaisesRegex(Failure, "out of order"):
            self.check("oow=gp")

    def test_nothing_wanted_asks_nobody(self) -> None:
        self.says("exit 3")
        policies.check(Cache(), [], self.plugin)


if __name__ == "__main__":
    unittest.main()
