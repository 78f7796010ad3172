"""`roost bench meta`: metadata operations of Roost and JuiceFS, alternately, in one run.

Roost works in process, in processes of its own.  JuiceFS's create and mkdir are measured by its
`mdtest`, in process too; setattr, rename and unlink, for which it has no such tool, through its
mount.  Every side gets an empty volume per round, on the same server, at the same distance.
"""

import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from roost.bench import juicefs as peer
from roost.bench.juicefs import Juicefs
from roost.bench.meta_worker import Job
from roost.bench.places import Place, Places, Setting, chosen, missing
from roost.bench.processes import WorkerProcess, run_together
from roost.bench.proxy import Traffic
from roost.bench.report import Report, Rows
from roost.errors import InvalidArgument
from roost.volume.formatting import NewVolume, make_volume

PEERS = ("juicefs",)
SERIAL = ("create", "mkdir", "setattr", "rename", "unlink")
TASKS = 16
PROCESSES = 4
COLD_OPERATIONS = 20
ONE_PROCESS = f"create, {TASKS} tasks in one process"
MANY_PROCESSES = f"create, {PROCESSES} processes x {TASKS // PROCESSES}"
BY_MDTEST = "juicefs by mdtest"
BY_MOUNT = "juicefs through its mount"
HOW = {
    "create": BY_MDTEST,
    "mkdir": BY_MDTEST,
    "setattr": BY_MOUNT,
    "rename": BY_MOUNT,
    "unlink": BY_MOUNT,
    ONE_PROCESS: BY_MDTEST,
    MANY_PROCESSES: BY_MOUNT,
}
Add = Callable[[str, str, float], None]
"""Notes (name of the row, unit, figure)."""


@dataclass(frozen=True, slots=True)
class MetaBench:
    """What to measure."""

    peers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Names or engines; none is all."""
    rounds: int = 3
    operations: int = 500
    """Of each kind, per round and side."""
    flush: bool = True
    """SQL servers and SQLite sync each commit."""


def measure(bench: MetaBench, tell: Callable[[str], None]) -> Report:
    """Run all sides in all settings, `rounds` times.

    Raises InvalidArgument for an unknown peer or setting; Unavailable.
    """
    for name in bench.peers:
        if name not in PEERS:
            raise InvalidArgument(f"unknown peer {name!r}", hint=f"Known: {', '.join(PEERS)}.")
    report = Report("meta", {"roost": importlib.metadata.version("roost")})
    sides = ["roost"]
    for name in bench.peers:
        reason = peer.missing()
        if reason is None:
            sides.append(name)
            report.versions[name] = peer.version()
        else:
            report.left_out.append(reason)
    settings = []
    for setting in chosen(bench.settings):
        reason = missing(setting)
        if reason is None:
            settings.append(setting)
        else:
            report.left_out.append(f"{setting.name}: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="roost-bench-") as folder,
        Places(Path(folder), flush=bench.flush) as places,
    ):
        _Run(bench, report, places, Path(folder)).measure(sides, settings, tell)
    return report


class _Run:
    """One run of the bench: adds to its report."""

    def __init__(self, bench: MetaBench, report: Report, places: Places, folder: Path) -> None:
        self._bench = bench
        self._report = report
        self._places = places
        self._folder = folder
        self._rows = Rows(report)
        self._volumes = 0

    def measure(
        self, sides: list[str], settings: list[Setting], tell: Callable[[str], None]
    ) -> None:
        self._report.notes += sorted({self._places.describe(setting) for setting in settings})
        for number in range(self._bench.rounds):
            for setting in settings:
                for side in sides if number % 2 == 0 else reversed(sides):
                    tell(f"round {number + 1} of {self._bench.rounds}: {setting.name}, {side}")
                    self._side(side, setting)
        names = [setting.name for setting in settings]
        order = list(self._places_of_rows())
        self._report.rows.sort(key=lambda row: (names.index(row.setting), order.index(row.name)))

    def _places_of_rows(self) -> Iterator[str]:
        """Yield the names of all rows in the order in which they are shown."""
        yield from HOW
        for trips in ("round trips", "round trips, cold"):
            yield from (f"{operation} {trips}" for operation in SERIAL)

    def _side(self, side: str, setting: Setting) -> None:
        def add(name: str, unit: str, figure: float) -> None:
            better = "higher" if unit == "ops/s" else "lower"
            row = self._rows.row(name, setting.name, unit, better, HOW.get(name, ""))
            row.add(side, figure)

        self._volumes += 1
        folder = self._folder / f"volume-{self._volumes}"
        folder.mkdir()
        place = self._places.new(setting)
        if side == "roost":
            _roost(place, folder, self._bench.operations, add)
        else:
            _juicefs(place, folder, self._bench.operations, add)


# ---- Roost
def _roost(place: Place, folder: Path, count: int, add: Add) -> None:
    new = NewVolume("bench", bucket=str(folder / "objects"))
    make_volume(place.roost_url, new)
    url = place.roost_url
    with WorkerProcess("roost", url) as worker:
        worker.enter("made")
        worker.enter("files")
        for operation in SERIAL:
            _one(worker, place, operation, count, add)
        each = max(count // TASKS, 1)
        worker.enter("tasks")
        seconds = worker.run(Job("create", "tasks", each, TASKS))
        add(ONE_PROCESS, "ops/s", each * TASKS / seconds)
        laid: dict[str, list[list[int]]] = {}
        if place.proxy is not None:
            for one in SERIAL:
                suffix = ".r" if one == "unlink" else ""  # as if renamed before
                laid[one] = worker.lay(f"cold-{one}", COLD_OPERATIONS, suffix)
    _cold(place, laid, add)
    with _processes("roost", [url] * PROCESSES) as workers:
        add(MANY_PROCESSES, "ops/s", _many(workers, each))


def _cold(place: Place, laid: dict[str, list[list[int]]], add: Add) -> None:
    """Count the round trips of operations in folders that a fresh process never read.

    It has done each operation once elsewhere: what a client does once, such as reserving numbers
    for new inodes and finding the trash of this hour, is not of the operation.
    """
    if not laid:
        return
    with WorkerProcess("roost", place.roost_url) as worker:
        worker.enter("elsewhere")
        for operation in SERIAL:
            worker.run(Job(operation, "elsewhere", 1, tag="d" if operation == "mkdir" else "f"))
        for operation, folders in laid.items():
            worker.know(f"cold-{operation}", folders)
            tag = "new" if operation in ("create", "mkdir") else "old"
            job = Job(operation, f"cold-{operation}", len(folders), tag=tag, spread=True)
            with _counted(place) as trips:
                worker.run(job)
            add(f"{operation} round trips, cold", "per operation", trips[0] / len(folders))


# ---- JuiceFS
def _juicefs(place: Place, folder: Path, count: int, add: Add) -> None:
    client = Juicefs(folder / "juicefs")
    url = place.juicefs_url
    client.format(url, "bench", str(folder / "objects"))
    with _counted(place) as opening:
        client.mdtest(url, "/opening", threads=1, dirs=0, files=1)
    with _counted(place) as trips:
        made = client.mdtest(url, "/create", threads=1, dirs=0, files=count)
    add("create", "ops/s", made.files / made.files_s)
    each_trips = (trips[0] - opening[0]) / max(count - 1, 1)
    if place.proxy is not None:
        add("create round trips", "per operation", each_trips)
    with _counted(place) as trips:
        made = client.mdtest(url, "/mkdir", threads=1, dirs=count, files=0)
    add("mkdir", "ops/s", made.dirs / made.dirs_s)
    if place.proxy is not None:
        add("mkdir round trips", "per operation", (trips[0] - opening[0] + each_trips) / count)
    each = max(count // TASKS, 1)
    made = client.mdtest(url, "/tasks", threads=TASKS, dirs=0, files=each)
    add(ONE_PROCESS, "ops/s", made.files / made.files_s)
    with ExitStack() as stack:
        mounts = [stack.enter_context(client.mounted(url)) for _ in range(PROCESSES)]
        points = [str(mount.point) for mount in mounts]
        with WorkerProcess("mount", points[0]) as worker:
            worker.enter("files")
            worker.run(Job("create", "files", count))
            for operation in ("setattr", "rename", "unlink"):
                _one(worker, place, operation, count, add)
        with _processes("mount", points) as workers:
            add(MANY_PROCESSES, "ops/s", _many(workers, each))


# ---- both
def _one(worker: WorkerProcess, place: Place, operation: str, count: int, add: Add) -> None:
    """Measure one operation by one caller, and count its round trips."""
    folder = "made" if operation == "mkdir" else "files"
    with _counted(place) as trips:
        seconds = worker.run(Job(operation, folder, count))
    add(operation, "ops/s", count / seconds)
    if place.proxy is not None:
        add(f"{operation} round trips", "per operation", trips[0] / count)


def _many(workers: list[WorkerProcess], each: int) -> float:
    """Return files per second of all workers' threads in one directory."""
    for worker in workers:
        worker.enter("shared")
    threads = TASKS // PROCESSES
    jobs = [Job("create", "shared", each, threads, tag=f"p{n}") for n in range(len(workers))]
    return each * threads * len(workers) / run_together(workers, jobs)


@contextmanager
def _processes(kind: str, places: list[str]) -> Iterator[list[WorkerProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(WorkerProcess(kind, place)) for place in places]


@contextmanager
def _counted(place: Place) -> Iterator[list[int]]:
    """Put into the list, at the end of the block, the round trips made in it."""
    counted: list[int] = []
    before: Traffic | None = place.traffic()
    yield counted
    after = place.traffic()
    counted.append(0 if before is None or after is None else after.since(before).round_trips)
