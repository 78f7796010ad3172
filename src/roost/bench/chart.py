"""A report as a picture: each row's medians and spreads, side by side."""

from pathlib import Path
from typing import Any

from roost.bench.report import Report, Row
from roost.errors import Unavailable

COLOURS = ("#3b7dd8", "#c8502d", "#6a9a3b", "#8a6bbf")
INCHES_PER_BAR = 0.17
INCHES_PER_PANEL = 0.9


def draw(report: Report, target: Path) -> None:
    """Write `target` (PNG), one panel for each setting and unit.

    Raises Unavailable without matplotlib.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise Unavailable(
            "the picture needs matplotlib", hint="Install it: pip install 'roost[demo]'."
        ) from None
    panels = _panels(report)
    sides = list(report.versions)
    heights = [INCHES_PER_PANEL + INCHES_PER_BAR * len(rows) * len(sides) for rows in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(10, sum(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for (panel,), rows in zip(axes, panels, strict=True):
        _draw_panel(panel, rows, sides)
    axes[0][0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(sides))
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def _panels(report: Report) -> list[list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        found.setdefault((row.setting, row.unit), []).append(row)
    return list(found.values())


def _draw_panel(axes: Any, rows: list[Row], sides: list[str]) -> None:
    share = 0.8 / len(sides)
    for number, side in enumerate(sides):
        measured = [(at, row) for at, row in enumerate(rows) if side in row.rounds]
        values = [row.values[side] for _, row in measured]
        low = [row.values[side] - min(row.rounds[side]) for _, row in measured]
        high = [max(row.rounds[side]) - row.values[side] for _, row in measured]
        places = [at + (number - (len(sides) - 1) / 2) * share for at, _ in measured]
        axes.barh(
            places,
            values,
            share,
            xerr=(low, high),
            label=side,
            color=COLOURS[number % len(COLOURS)],
            error_kw={"lw": 0.8},
        )
        for place, (_, row) in zip(places, measured, strict=True):
            ratio = row.ratio("roost", side) if side != "roost" else None
            told = f"{row.values[side]:,.4g}" + (f"  (roost {ratio:.2f} times)" if ratio else "")
            axes.annotate(
                told,
                (max(row.rounds[side]), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    better = rows[0].better
    axes.set_title(f"{rows[0].setting}: {rows[0].unit}, {better} is better", fontsize=9, loc="left")
