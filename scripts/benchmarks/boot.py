#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the reference kernel takes to reach init, without the plugin and with it."""
import json

from paired import IOMMU, Benchmark, Figures, main, rmpopt

VARIANTS = {
    "no plugin": ["--no-plugin", IOMMU],
    "plugin, rmp=none": ["--rmp", "none"],  # the guest does the same work as without the plugin
    "plugin, enforce=off": ["--enforce", "off"],
    "plugin, enforce=on": ["--enforce", "on"],
}


def boot(options: list[str]) -> Figures:
    return {"boot to init": json.loads(rmpopt("boot", "--json", *options))["seconds"]["init"]}


if __name__ == "__main__":
    main(__doc__, {"boot": Benchmark(VARIANTS, boot)}, smp="4,cores=2,threads=2")
