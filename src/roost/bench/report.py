"""The form of a measurement: names, settings, values of each side, spreads."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


@dataclass(slots=True)
class Row:
    """One thing measured on several sides, over some rounds."""

    name: str
    setting: str
    unit: str
    better: str
    """`higher` or `lower`."""
    rounds: dict[str, list[float]] = field(default_factory=dict)
    """Side -> its figure in each round."""
    how: str = ""
    """How a side was measured, where it matters."""

    def add(self, side: str, value: float) -> None:
        """Note the figure of one round."""
        self.rounds.setdefault(side, []).append(value)

    @property
    def values(self) -> dict[str, float]:
        """Side -> median."""
        return {side: median(figures) for side, figures in self.rounds.items()}

    def ratio(self, side: str, peer: str) -> float | None:
        """How many times better `side` is than `peer`; None if one was not measured."""
        values = self.values
        if side not in values or peer not in values:
            return None
        better, worse = values[side], values[peer]
        if self.better == "lower":
            better, worse = worse, better
        return better / worse if worse else None


@dataclass(slots=True)
class Report:
    """All rows of one run, and where it ran."""

    bench: str
    versions: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Peers that are not installed, named and never guessed."""
    notes: list[str] = field(default_factory=list)
    """Under which conditions all sides were measured."""

    def write(self, target: Path) -> None:
        """Write the JSON form."""
        target.write_text(json.dumps(self.as_json(), indent=2) + "\n")

    def as_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "bench": self.bench,
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            "versions": self.versions,
            "left_out": self.left_out,
            "notes": self.notes,
            "rows": [
                {
                    key: value
                    for key, value in asdict(row).items()
                    if key != "rounds" and (key != "how" or value)
                }
                | {
                    "values": row.values,
                    "spread": {s: [min(v), max(v)] for s, v in row.rounds.items()},
                }
                for row in self.rows
            ],
        }


class Rows:
    """The rows of a report by name and setting; made when first asked for, in that order."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rows: dict[tuple[str, str], Row] = {}

    def row(self, name: str, setting: str, unit: str, better: str, how: str = "") -> Row:
        """Return the row, adding it to the report if it is new."""
        if (name, setting) not in self._rows:
            self._rows[name, setting] = made = Row(name, setting, unit, better, how=how)
            self._report.rows.append(made)
        return self._rows[name, setting]
