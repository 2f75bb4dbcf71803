# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks of whole guests have in common."""
import statistics

# QEMU without our plugin, but with the IOMMU that a machine with it has, and that Linux sets up.
SAME_MACHINE = ("--no-plugin", "--qemu-opts=-device amd-iommu,xtsup=on")


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def cells(figures: dict[str, dict[str, float]], form: str) -> list[str]:
    """Seconds, then ratios, each as minimum, median and maximum in the given format."""
    return ["  ".join(format(figures[kind][k], form) for k in ("min", "median", "max"))
            for kind in ("seconds", "ratio")]
