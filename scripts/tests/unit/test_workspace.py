# SPDX-License-Identifier: GPL-2.0-or-later
"""The directories of boots, several of which may run at once."""
import json
import os
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rmpopt_cli.base.errors import BadInput
from rmpopt_cli.guest import workspace
from rmpopt_cli.provision.cache import Cache


class WorkspaceTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Cache(Path(scratch.name))

    def test_what_is_gone_is_old(self) -> None:
        self.assertEqual(workspace.modified(Path("/nonexistent")), 0)

    def test_boots_at_once_do_not_trip_over_each_others_clean_up(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            spaces = list(pool.map(lambda _: workspace.create(self.cache, None), range(100)))
        self.assertEqual(len({space.report for space in spaces}), 100)
        kept = list((self.cache.root / "reports").iterdir())
        self.assertLessEqual(len(kept), workspace.KEPT_REPORTS + 4)

    def test_what_failed_is_kept_longer(self) -> None:
        top = self.cache.directory("reports")
        for number in range(9):
            report = top / str(number)
            report.mkdir()
            if number != 1:  # was killed
                found = [{"severity": "warning"}] if number == 2 else [{"severity": "note"}]
                (report / workspace.RESULT).write_text(json.dumps({"status": int(number == 0), "findings": found}))
            os.utime(report, (number, number))
        workspace.prune(top, 2)
        self.assertEqual(sorted(path.name for path in top.iterdir()), ["1", "2", "7", "8"])

    def test_two_boots_do_not_share_a_report(self) -> None:
        where = self.cache.root / "mine"
        first = workspace.create(self.cache, where)
        with self.assertRaisesRegex(BadInput, "another boot writes there"):
            workspace.create(self.cache, where)
        self.assertEqual(list((self.cache.root / "run").iterdir()), [first.run])
        first.drop_run()
        workspace.create(self.cache, where).drop_run()

    def boot(self, where: Path, word: str) -> Path | None:
        """What a boot does with a report directory. Returns where the earlier report is."""
        space = workspace.create(self.cache, where)
        old = space.keep_earlier()
        space.clean()
        space.result.write_text(word)
        space.drop_run()
        return old

    def test_the_earlier_report_is_kept(self) -> None:
        where, old = self.cache.root / "mine", self.cache.root / "mine.old"
        where.mkdir()
        (where / "notes").write_text("the user's own")
        self.assertIsNone(self.boot(where, "first"))
        for new, earlier in (("second", "first"), ("third", "second")):
            self.assertEqual(self.boot(where, new), old)
            self.assertEqual((where / workspace.RESULT).read_text(), new)
            self.assertEqual((old / workspace.RESULT).read_text(), earlier)
        self.assertEqual([path.name for path in old.iterdir()], [workspace.RESULT])

    def test_the_earlier_report_is_not_destroyed(self) -> None:
        where = self.cache.root / "mine"
        self.boot(where, "first")
        where.with_name("mine.old").write_text("in the way")
        with self.assertRaisesRegex(BadInput, "the report in it can't be moved to .*mine.old"):
            self.boot(where, "second")
        self.assertEqual((where / workspace.RESULT).read_text(), "first")

    def test_runs_that_are_in_use_stay(self) -> None:
        spaces = [workspace.create(self.cache, None) for _ in range(3)]
        self.assertTrue(all(space.run.is_dir() for space in spaces))


if __name__ == "__main__":
    unittest.main()
