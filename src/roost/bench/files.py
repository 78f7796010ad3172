"""`roost bench files`: one large file, and the tools over very many small ones, beside JuiceFS.

write, read: sequential, through VolumeClient in process, through the JuiceFS mount, and (side
`store`) objects of a block's size by the bare store library; each in a process of its own, with
nothing in its caches.  gc, fsck, dump, load: both sides' commands, on one and the same volume.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roost.bench import juicefs as peer
from roost.bench import object_places
from roost.bench.commands import ROOST, run
from roost.bench.file_tools import ToolsBench
from roost.bench.juicefs import Juicefs
from roost.bench.object_places import ObjectPlace, ObjectPlaces
from roost.bench.processes import MeasuredProcess
from roost.bench.report import Report, Rows
from roost.errors import InvalidArgument
from roost.sizes import MIB

PEERS = ("juicefs",)
STORE = "store"
"""The side of the bare library."""
NAME = "large"


@dataclass(frozen=True, slots=True)
class FilesBench:
    """What to measure.  A size or a number of 0 leaves its part out."""

    peers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Stores of the large file; none is all."""
    rounds: int = 3
    size_mib: int = 1024
    files: int = 1_000_000
    """In the volume that gc, fsck, dump and load work on."""
    engines: tuple[str, ...] = ("redis",)
    """Where the metadata of that volume lies."""


def measure(bench: FilesBench, tell: Callable[[str], None]) -> Report:
    """Run all sides `rounds` times.

    Raises InvalidArgument for an unknown peer, setting or engine; Unavailable.
    """
    for name in bench.peers:
        if name not in PEERS:
            raise InvalidArgument(f"unknown peer {name!r}", hint=f"Known: {', '.join(PEERS)}.")
    report = Report("files", {"roost": importlib.metadata.version("roost")})
    has_peer = False
    for name in bench.peers:
        reason = peer.missing()
        has_peer = reason is None
        if reason is None:
            report.versions[name] = peer.version()
        else:
            report.left_out.append(reason)
    tools = ToolsBench(bench.engines, bench.files, bench.rounds, has_peer=has_peer)
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as folder:
        if bench.size_mib:
            report.versions[STORE] = importlib.metadata.version("obstore")
            _measure_data(bench, report, Path(folder), tell, has_peer=has_peer)
        if bench.files:
            tools.measure(report, Path(folder), tell)
    return report


def _measure_data(
    bench: FilesBench,
    report: Report,
    folder: Path,
    tell: Callable[[str], None],
    *,
    has_peer: bool,
) -> None:
    settings = []
    for name in object_places.chosen(bench.settings):
        reason = object_places.missing(name)
        if reason is None:
            settings.append(name)
        else:
            report.left_out.append(f"{name}: {reason}")
    rows = Rows(report)
    sides = ["roost", *(["juicefs"] if has_peer else []), STORE]
    report.notes.append(
        f"{bench.size_mib} MiB in calls of 1 MiB, metadata in SQLite; the write ends with the close"
    )
    report.notes.append("the side store: objects of 4 MiB, 20 at a time, by the bare library")
    report.notes.append("each side of each round: a server of its own, warmed before")
    with ObjectPlaces(folder) as places:
        for number in range(bench.rounds):
            for setting in settings:
                for side in sides if number % 2 == 0 else reversed(sides):
                    tell(f"round {number + 1} of {bench.rounds}: {setting}, {side}")
                    below = folder / f"{number}-{setting}-{side}"
                    below.mkdir()
                    measured = _SIDES[side](places.new(setting), below, bench.size_mib * MIB)
                    for (name, unit, better), figure in measured.items():
                        rows.row(name, setting, unit, better).add(side, figure)
                    shutil.rmtree(below)


Measured = dict[tuple[str, str, str], float]


def _roost(place: ObjectPlace, folder: Path, size_bytes: int) -> Measured:
    url = f"sqlite3://{folder}/meta.db"
    words = ("format", url, "bench", "--storage", place.storage, "--bucket", place.bucket)
    run(*ROOST, *words, environment=place.environment)
    measured: Measured = {}
    for operation in ("write", "read"):
        cache = str(folder / f"cache-{operation}")
        with MeasuredProcess(
            "files_worker", "roost", url, cache, environment=place.environment
        ) as worker:
            answer = worker.ask({"do": operation, "name": NAME, "size_bytes": size_bytes})
        _note(measured, operation, size_bytes, answer["seconds"], answer["peak_rss_bytes"])
    return measured


def _juicefs(place: ObjectPlace, folder: Path, size_bytes: int) -> Measured:
    client = Juicefs(folder / "juicefs", place.environment)
    url = f"sqlite3://{folder}/meta.db"
    keys = []
    if "AWS_ACCESS_KEY_ID" in place.environment:
        keys += ["--access-key", place.environment["AWS_ACCESS_KEY_ID"]]
        keys += ["--secret-key", place.environment["AWS_SECRET_ACCESS_KEY"]]
    client.format(url, "bench", place.bucket, "--storage", place.storage, *keys)
    measured: Measured = {}
    for operation in ("write", "read"):
        with (
            client.mounted(url) as mount,
            MeasuredProcess("files_worker", "mount", str(mount.point)) as worker,
        ):
            answer = worker.ask({"do": operation, "name": NAME, "size_bytes": size_bytes})
            peak = mount.peak_rss_bytes()
        _note(measured, operation, size_bytes, answer["seconds"], peak)
    return measured


def _store(place: ObjectPlace, folder: Path, size_bytes: int) -> Measured:
    measured: Measured = {}
    for operation in ("write", "read"):
        with MeasuredProcess(
            "files_worker", STORE, place.storage, place.bucket, environment=place.environment
        ) as worker:
            answer = worker.ask({"do": operation, "name": NAME, "size_bytes": size_bytes})
        _note(measured, operation, size_bytes, answer["seconds"], answer["peak_rss_bytes"])
    return measured


_SIDES = {"roost": _roost, "juicefs": _juicefs, STORE: _store}


def _note(
    measured: Measured, operation: str, size_bytes: int, seconds: float, peak_bytes: int
) -> None:
    measured[operation, "MiB/s", "higher"] = size_bytes / MIB / seconds
    measured[f"{operation} peak memory", "MiB", "lower"] = peak_bytes / MIB
