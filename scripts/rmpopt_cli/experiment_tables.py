# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables and pictures of an experiment's readings."""
from .experiments import Experiment
from .reporting import svg

CELL = 24
RATES = (("store_rate", "share of the host's RMP checks that RMPOPT saves, per store"),
         ("fill_rate", "the same per TLB fill (model)"))
COLORS = ("#999999", "#0072b2", "#56b4e9", "#e69f00", "#d55e00")  # can be told apart by all
PANEL, PLOT, LEFT, TOP, BAR = 560.0, 180.0, 44.0, 40.0, 11.0


def _phases(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["phase"] for row in rows))


def _cases(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["case"] for row in rows))


def spread(rows: list[dict], case: str, phase: str, key: str) -> tuple[float, float, float] | None:
    """Mean, least and greatest of the runs; None where no check was due."""
    values = [row[key] for row in rows if row["case"] == case and row["phase"] == phase and row[key] is not None]
    return (sum(values) / len(values), min(values), max(values)) if values else None


def _cell(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return "-"
    mean, least, greatest = (100 * value for value in found)
    return f"{mean:.1f} %" if greatest - least < 0.05 else f"{mean:.1f} % ({least:.1f}-{greatest:.1f})"


def _rates(rows: list[dict], key: str) -> list[str]:
    lines = [f"{'':18}" + "".join(f"{case:>{CELL}}" for case in _cases(rows))]
    for phase in _phases(rows):
        cells = [_cell(spread(rows, case, phase, key)) for case in _cases(rows)]
        lines.append(f"{phase:18}" + "".join(f"{cell:>{CELL}}" for cell in cells))
    return lines


def _work(rows: list[dict]) -> list[str]:
    names = ("executed", "optimised", "scans", "cached", "scanned_2m", "cycles")
    heads = ("RMPOPT", "optimised", "looked", "cached", "2 MB entries", "cycles (model)")
    lines = [f"{'':20}{'run':>4}" + "".join(f"{head:>16}" for head in heads)]
    for row in sorted(rows, key=lambda one: (_phases(rows).index(one["phase"]), one["run"])):
        lines.append(f"{row['phase']:20}{row['run']:>4}" + "".join(f"{row['rmpopt'][name]:>16,}" for name in names))
    return lines


def human(experiment: Experiment, rows: list[dict]) -> str:
    runs = max((row["run"] for row in rows), default=0)
    lines = [f"{experiment.name}: {experiment.title}", ""]
    if experiment.work_only:
        return "\n".join([*lines, *_work(rows), ""])
    for key, title in RATES:
        if any(row[key] is not None for row in rows):
            lines += [f"{title}; mean of {runs} boots (least-greatest)", *_rates(rows, key), ""]
    return "\n".join(lines)


def _bar(x: float, found: tuple[float, float, float], color: str, what: str) -> list[str]:
    mean, least, greatest = found
    top = TOP + PLOT * (1 - mean)
    middle = x + BAR / 2
    return [svg.element("rect", svg.title(f"{what}: {_cell(found)}"), x=x, y=top - 0.8, width=BAR - 2,
                        height=PLOT * mean + 0.8, fill=color),
            svg.element("line", x1=middle - 1, x2=middle - 1, y1=TOP + PLOT * (1 - greatest),
                        y2=TOP + PLOT * (1 - least), stroke="#222")]


def _panel(rows: list[dict], key: str, title: str, left: float) -> list[str]:
    parts = [svg.text(left + LEFT, 16.0, title, font_weight="bold")]
    for percent in (0, 25, 50, 75, 100):
        y = TOP + PLOT * (1 - percent / 100)
        parts += [svg.element("line", x1=left + LEFT, x2=left + PANEL - 8, y1=y, y2=y, stroke="#ddd"),
                  svg.text(left + LEFT - 6, y + 4, f"{percent} %", text_anchor="end", fill="#555")]
    phases, cases = _phases(rows), _cases(rows)
    group = (PANEL - LEFT - 8) / len(phases)
    for number, phase in enumerate(phases):
        start = left + LEFT + number * group + (group - BAR * len(cases)) / 2
        parts.append(svg.text(left + LEFT + (number + 0.5) * group, TOP + PLOT + 16, phase, text_anchor="middle"))
        for at, case in enumerate(cases):
            found = spread(rows, case, phase, key)
            if found:
                parts += _bar(start + at * BAR, found, COLORS[at % len(COLORS)], f"{phase}, {case}")
    return parts


def picture(experiment: Experiment, rows: list[dict]) -> str:
    """Bars with their least and greatest values."""
    panels = [(key, title) for key, title in RATES if any(row[key] is not None for row in rows)]
    parts: list[str] = []
    for number, (key, title) in enumerate(panels):
        parts += _panel(rows, key, title, number * PANEL)
    for at, case in enumerate(_cases(rows)):
        x, y = LEFT + at * 130.0, TOP + PLOT + 34
        parts += [svg.element("rect", x=x, y=y, width=12, height=12, fill=COLORS[at % len(COLORS)]),
                  svg.text(x + 18, y + 10, case)]
    width, height = PANEL * max(len(panels), 1), TOP + PLOT + 56
    background = svg.element("rect", width=width, height=height, fill="#fff")
    return svg.drawing(width, height, ["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->", background, *parts],
                       experiment.title, xmlns="http://www.w3.org/2000/svg", width=width, height=height,
                       font_family="sans-serif", font_size=12) + "\n"
