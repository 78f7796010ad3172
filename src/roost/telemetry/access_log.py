"""The access log of a client: one line for each finished operation, as JuiceFS writes it.

2026.11.23 03:27:55.119691 [uid:0,gid:0,pid:22870] create (1,x): (22,…) - OK <0.000605>

Anyone may read such lines, from a file or from `.accesslog` of a mount; `AccessLog` writes them.
Source: JuiceFS, "Fault diagnosis and analysis", and what its client 1.4.2 writes.
"""

import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType

_LINE = re.compile(
    r"(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d+) \[uid:(\d+),gid:(\d+),pid:(\d+)\] (\w+) "
    r".*<(\d+\.\d+)>$"
)
_STAMP = "%Y.%m.%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class Access:
    """One finished operation."""

    at_s: float
    """Unix seconds of its end, in this host's time zone."""
    uid: int
    gid: int
    pid: int
    operation: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose operations count; an empty set is everybody's."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    pids: frozenset[int] = frozenset()

    def has(self, access: Access) -> bool:
        """True if the operation is one of those wanted."""
        return (
            (not self.uids or access.uid in self.uids)
            and (not self.gids or access.gid in self.gids)
            and (not self.pids or access.pid in self.pids)
        )


@dataclass(slots=True)
class Profile:
    """How often each operation was done, and for how long."""

    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, access: Access) -> None:
        """Count one operation."""
        name = access.operation
        self.counts[name] = self.counts.get(name, 0) + 1
        self.seconds[name] = self.seconds.get(name, 0.0) + access.seconds

    def by_time(self) -> list[tuple[str, int, float]]:
        """Return (operation, how often, seconds in all), the longest first."""
        found = [(name, self.counts[name], self.seconds[name]) for name in self.counts]
        return sorted(found, key=lambda one: (-one[2], one[0]))


def parse_line(line: str) -> Access | None:
    """Return the operation of a line; None for a line that tells none."""
    match = _LINE.match(line.rstrip("\n"))
    if match is None:
        return None
    try:
        at_s = datetime.strptime(match[1], _STAMP).timestamp()
    except ValueError:
        return None
    return Access(at_s, int(match[2]), int(match[3]), int(match[4]), match[5], float(match[6]))


def profiles(
    lines: Iterable[str], wanted: Wanted, interval_s: float
) -> Iterator[tuple[float, Profile]]:
    """Yield (unix seconds of the end, profile) of each interval by the log's own clock.

    An interval of 0 is the whole log, whose end is its last line's; nothing is yielded for a log
    without operations.
    """
    profile, started, last = Profile(), 0.0, 0.0
    for line in lines:
        access = parse_line(line)
        if access is None or not wanted.has(access):
            continue
        started = started or access.at_s
        if interval_s and access.at_s - started >= interval_s:
            yield started + interval_s, profile
            profile = Profile()
            started += (access.at_s - started) // interval_s * interval_s
        profile.add(access)
        last = access.at_s
    if profile.counts:
        yield last, profile


class AccessLog:
    """Writes the lines of one client.  Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Append to the file.  Raises OSError."""
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")

    def write(self, who: str, operation: str, arguments: str, outcome: str, seconds: float) -> None:
        """Note a finished operation; `who` is `uid:0,gid:0,pid:1`."""
        now = time.time()
        stamp = datetime.fromtimestamp(now).strftime(_STAMP)
        line = f"{stamp} [{who}] {operation} ({arguments}) - {outcome} <{seconds:.6f}>"
        line = line.replace("\n", "\\n")  # of a name
        with self._lock:
            if not self._file.closed:
                self._file.write(f"{line}\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file; what ends later is not noted.  May be repeated."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> "AccessLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
