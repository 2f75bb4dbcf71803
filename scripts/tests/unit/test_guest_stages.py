# SPDX-License-Identifier: GPL-2.0-or-later
"""Stages of an SNP guest's boot, from the plugin's events and what the guest said."""
import json
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from rmpopt_cli.reporting import guest_stages

TIMES = "2.22 qemu\n26.30 init 7.47\n27.73 done 8.89 5\n28.64 ended\n"
# The host's kernel started when the machine had run for 0.6 s.
EVENTS = [{"type": "boot", "t": 0.0}, {"type": "guest", "action": "created", "t": 3.7},
          {"type": "rmpupdate", "t": 4.0}, {"type": "guest", "action": "launched", "t": 4.3},
          {"type": "guest", "action": "ended", "t": 29.24}]


class StagesTest(unittest.TestCase):
    def stages(self, times: str = TIMES, events: list[dict] | None = None, cut: str = "") -> dict[str, float] | None:
        with TemporaryDirectory() as scratch:
            where, said = Path(scratch, "events"), Path(scratch, "times")
            where.write_text("\n".join(json.dumps(event) for event in (EVENTS if events is None else events)) + cut)
            said.write_text(times)
            return guest_stages.of(where, said)

    def test_stages(self) -> None:
        self.assertEqual(self.stages(), {"host": 2.82, "qemu": 0.88, "launch": 0.6, "firmware": 15.13, "kernel": 7.47,
                                         "command": 1.43, "end": 0.91})
        self.assertAlmostEqual(sum(self.stages().values()), EVENTS[-1]["t"])

    def test_the_line(self) -> None:
        self.assertEqual(guest_stages.line({"host": 2.82, "qemu": 0.88}),
                         "the SNP guest's boot: host 2.8 s, qemu 0.9 s")

    def test_none_of_a_guest_that_did_not_come_to_its_end(self) -> None:
        for count in range(len(TIMES.splitlines())):
            self.assertIsNone(self.stages("\n".join(TIMES.splitlines()[:count])), count)
        self.assertIsNone(self.stages(events=EVENTS[:-1]))
        self.assertIsNone(self.stages(events=[]))
        self.assertIsNone(self.stages(cut='\n{"type":'))
        self.assertIsNone(self.stages(times=TIMES.replace("7.47", "?")))
        self.assertIsNone(guest_stages.of(Path("/nonexistent"), Path("/nonexistent")))

    def test_none_where_it_is_not_clear_which_guest_it_was(self) -> None:
        self.assertIsNone(self.stages(events=[*EVENTS, {"type": "guest", "action": "created", "t": 30.0}]))
        self.assertIsNone(self.stages(events=[*EVENTS, {"type": "boot", "t": 0.0}]))


if __name__ == "__main__":
    unittest.main()
