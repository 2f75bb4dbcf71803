# SPDX-License-Identifier: GPL-2.0-or-later
"""The folders of this tree keep the rules of the house, and an include that breaks one is named."""
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import house_rules


class ThisTree(unittest.TestCase):
    def test_rules_are_kept(self) -> None:
        found = house_rules.problems(house_rules.CHECKOUT)
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_folders_of_the_table_exist(self) -> None:
        self.assertEqual([name for name in house_rules.ALLOWED if not (house_rules.CHECKOUT / name).is_dir()], [])

    def test_something_is_checked(self) -> None:
        files = frozenset(house_rules.sources(house_rules.CHECKOUT))
        found = {target for file in files
                 for _, target in house_rules.includes(file, (house_rules.CHECKOUT / file).read_text(), files)}
        self.assertGreater(len(found & files), 100)
        self.assertIn("scripts/rmpopt_cli/base/errors.py", found)


class Planted(unittest.TestCase):
    """A small tree with one thing wrong."""

    def problems(self, planted: dict[str, str]) -> list[str]:
        files = {"hw-model/base/types.h": "", "hw-model/rmp/entry.h": '#include "base/types.h"\n',
                 "plugin/plugin.cc": '#include "x86/bits.h"\nint the_emulation;\n', "plugin/x86/bits.h": "",
                 "plugin/qemu/api.h": "#include <glib.h>\n", "scripts/rmpopt_cli/base/errors.py": "",
                 "scripts/rmpopt_cli/guest/boot.py": "from ..base.errors import Failure\n",
                 "plugin/tests/bits_test.cc": '#include "plugin.h"\n#include <glib.h>\n', **planted}
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return house_rules.problems(Path(directory))

    def breaks(self, file: str, text: str, says: str) -> None:
        [problem] = self.problems({file: text})
        self.assertTrue(problem.startswith(f"{file}:"), problem)
        self.assertIn(says, problem)

    def test_nothing_wrong(self) -> None:
        self.assertEqual(self.problems({}), [])

    def test_the_lower_may_not_include_the_upper(self) -> None:
        for include in ("rmp/entry.h", "../rmp/entry.h"):
            self.breaks("hw-model/base/x.h", f'\n#include "{include}"\n',
                        ":2: hw-model/base may not include hw-model/rmp/entry.h")
        self.breaks("scripts/rmpopt_cli/base/x.py", "from ..guest.boot import boot\n",
                    ":1: scripts/rmpopt_cli/base may not include scripts/rmpopt_cli/guest/boot.py")
        self.breaks("scripts/rmpopt_cli/base/y.py", "def f():\n    from rmpopt_cli.guest import boot\n",
                    ":2: scripts/rmpopt_cli/base may not include scripts/rmpopt_cli/guest/boot.py")

    def test_the_model_does_not_know_the_plugin_or_qemu(self) -> None:
        self.breaks("hw-model/rmp/x.cc", '#include "x86/bits.h"', "hw-model/rmp may not include plugin/x86/bits.h")
        self.breaks("hw-model/rmp/x.cc", "#include <qemu-plugin.h>", "hw-model/rmp may not include <qemu-plugin.h>")

    def test_qemu_is_known_in_one_folder(self) -> None:
        self.breaks("plugin/x86/x.cc", "#  include <glib.h>", "plugin/x86 may not include <glib.h>")
        self.breaks("plugin/x86/x.cc", '#include "qemu/api.h"', "plugin/x86 may not include plugin/qemu/api.h")
        self.breaks("plugin/qemu/x.cc", '#include "rmp/entry.h"', "plugin/qemu may not include hw-model/rmp/entry.h")

    def test_nobody_includes_the_wiring(self) -> None:
        self.breaks("plugin/x86/x.cc", '#include "plugin.cc"', "plugin/x86 may not include plugin/plugin.cc")

    def test_the_emulation_is_the_wirings(self) -> None:
        self.breaks("plugin/x86/x.cc", "// no\nvoid f() { the_emulation->g(); }",
                    ":2: only the wiring may name the_emulation")

    def test_folder_without_a_row(self) -> None:
        self.breaks("plugin/new/x.cc", "", "no row")

    def test_circle_in_the_table(self) -> None:
        with mock.patch.dict(house_rules.ALLOWED, {"plugin/base": ("plugin/qemu",)}):
            [problem] = self.problems({})
        self.assertRegex(problem, "the table has a circle: .*plugin/qemu")


if __name__ == "__main__":
    unittest.main()
