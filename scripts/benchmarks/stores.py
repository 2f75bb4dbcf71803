#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long loops that do little but store take in a bare-metal guest, without enforcement and with it."""
import re

from paired import STORES, Benchmark, Figures, main, rmpopt

LINE = re.compile(r"# benchmark (\w+) (\d+) ms")
VARIANTS = {enforce: ["--enforce", enforce] for enforce in ("off", "on", "strict")}


def loops(options: list[str]) -> Figures:
    return {name: int(ms) / 1000 for name, ms in LINE.findall(rmpopt("run", *options, STORES))}


if __name__ == "__main__":
    main(__doc__, {"loops": Benchmark(VARIANTS, loops)})
