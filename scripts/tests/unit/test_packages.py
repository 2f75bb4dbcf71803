# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package depends on what the installed program needs."""
import re
import unittest

from rmpopt_cli.base.paths import CHECKOUT
from rmpopt_cli.provision import packages


class DebianTest(unittest.TestCase):
    def test_package_depends_on_what_is_needed(self) -> None:
        text = (CHECKOUT / "debian" / "control").read_text()
        depends = re.findall(r"^Depends: ((?:.+\n)(?: .+\n)*)", text, re.M)[0]
        named = {word.strip() for word in depends.split(",") if "$" not in word}
        self.assertEqual(named, {*packages.NEEDED} - {*packages.NEEDED_BY_PROJECT})
