"""gc, fsck, dump and load on a volume of very many files: both sides' commands, alternately.

Both work on the same volume, whose objects lie in a folder; gc deletes nothing, each side loads its
own dump into an empty database.  Times are those of the whole command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roost.bench import places
from roost.bench.commands import ROOST, Finished, run
from roost.bench.juicefs import Juicefs
from roost.bench.places import Place, Places, Setting
from roost.bench.report import Report, Rows
from roost.errors import Unavailable
from roost.sizes import MIB
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.api import open_meta
from roost.volume.tools.bulk import FilesWanted, make_files
from roost.volume.tools.opened import opened

TOOLS = ("gc", "fsck", "dump", "load")
FILE_BYTES = 100


@dataclass(frozen=True, slots=True)
class ToolsBench:
    """Which engines, how many files, how often."""

    engines: tuple[str, ...]
    files: int
    rounds: int
    has_peer: bool

    def measure(self, report: Report, folder: Path, tell: Callable[[str], None]) -> None:
        """Add the rows to the report.  Raises InvalidArgument for an unknown engine; Unavailable.

        Settings at a distance are left out: what the tools do is to read everything.
        """
        rows = Rows(report)
        with Places(folder) as made:
            for setting in places.chosen(self.engines):
                if setting.rtt_ms:
                    continue
                reason = places.missing(setting)
                if reason is not None:
                    report.left_out.append(f"{setting.name}: {reason}")
                    continue
                report.notes.append(made.describe(setting))
                self._one(rows, made, setting, folder, tell)

    def _one(
        self,
        rows: Rows,
        made: Places,
        setting: Setting,
        folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        place = made.new(setting)
        label = f"{self.files} files, {setting.engine}"
        tell(f"{label}: making them")
        objects = folder / f"objects-{setting.engine}"
        make_volume(place.roost_url, NewVolume("bench", bucket=str(objects)))
        with opened(place.roost_url, read_only=False) as volume:
            wanted = FilesWanted(self.files, FILE_BYTES)
            make_files(volume, wanted, lambda done, _all: tell(f"{label}: {done:,} made"))
        inodes = _inodes(place)
        sides = ["roost", *(["juicefs"] if self.has_peer else [])]
        client = Juicefs(folder / "juicefs") if self.has_peer else None
        for number in range(self.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                dump = folder / f"{side}.json"
                target = made.new(setting)
                for tool in TOOLS:
                    tell(f"round {number + 1} of {self.rounds}: {label}, {tool}, {side}")
                    done = _run(client if side == "juicefs" else None, tool, place, target, dump)
                    rows.row(tool, label, "s", "lower").add(side, done.seconds)
                    peak = done.peak_rss_bytes / MIB
                    rows.row(f"{tool} peak memory", label, "MiB", "lower").add(side, peak)
                if _inodes(target) != inodes:
                    raise Unavailable(f"{side} loaded {_inodes(target)} of {inodes} inodes")
                dump.unlink()
                made.drop(target)
        made.drop(place)


def _run(client: Juicefs | None, tool: str, place: Place, target: Place, dump: Path) -> Finished:
    """Run one tool of one side."""
    source = place.roost_url if client is None else place.juicefs_url
    into = target.roost_url if client is None else target.juicefs_url
    arguments = {"dump": (source, str(dump)), "load": (into, str(dump))}.get(tool, (source,))
    if client is None:
        return run(*ROOST, tool, *arguments)
    return client.run(tool, *arguments)


def _inodes(place: Place) -> int:
    with open_meta(place.roost_url, read_only=True) as meta:
        return meta.statfs().used_inodes
