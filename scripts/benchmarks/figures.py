# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks of whole guests have in common."""
import statistics

# What a machine with our plugin has, and Linux sets up; to be added to one without.
IOMMU = "--qemu-opts=-device amd-iommu,xtsup=on"


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def cells(figures: dict[str, dict[str, float]], form: str) -> list[str]:
    """Seconds, then ratios, each as minimum, median and maximum in the given format."""
    return ["  ".join(format(figures[kind][k], form) for k in ("min", "median", "max"))
            for kind in ("seconds", "ratio")]
