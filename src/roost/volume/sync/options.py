"""What a person may ask of a sync."""

from dataclasses import dataclass

from roost.errors import InvalidArgument
from roost.volume.sync.items import Item, Kind, order
from roost.volume.sync.rules import Rule, admits

THREADS_DEFAULT = 10
THREADS_MAX = 500
CHECKPOINT_INTERVAL_S_DEFAULT = 10.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which keys are looked at, on both sides.  Times are unix nanoseconds, None means no limit.

    `start` and `end` belong to what is selected.
    """

    start: str = ""
    end: str = ""
    rules: tuple[Rule, ...] = ()
    match_full_path: bool = False
    size_bytes_min: int | None = None
    size_bytes_max: int | None = None
    newer_than_ns: int | None = None
    older_than_ns: int | None = None

    def in_range(self, key: str) -> bool:
        """True if the key lies between `start` and `end`."""
        if self.start and order(key) < order(self.start):
            return False
        return not self.is_past(key)

    def is_past(self, key: str) -> bool:
        """True if the key, and whatever comes after it, is beyond `end`."""
        return bool(self.end) and order(key) > order(self.end)

    def admits(self, item: Item) -> bool:
        """True unless rules, size or age exclude the item; folders and links have neither."""
        if item.kind is Kind.FILE:
            size, time = item.size_bytes, item.mtime_ns
            if self.size_bytes_min is not None and size < self.size_bytes_min:
                return False
            if self.size_bytes_max is not None and size > self.size_bytes_max:
                return False
            if self.newer_than_ns is not None and time <= self.newer_than_ns:
                return False
            if self.older_than_ns is not None and time >= self.older_than_ns:
                return False
        return admits(self.rules, item.key, full_path=self.match_full_path)


@dataclass(frozen=True, slots=True)
class Options:
    """How a sync decides and works.  The words are JuiceFS's flags."""

    update: bool = False
    force_update: bool = False
    existing: bool = False
    ignore_existing: bool = False
    dirs: bool = False
    perms: bool = False
    links: bool = False
    inplace: bool = False
    delete_src: bool = False
    delete_src_after: bool = False
    delete_dst: bool = False
    check_all: bool = False
    check_new: bool = False
    check_change: bool = False
    dry: bool = False
    limit: int | None = None
    failures_max: int | None = None
    threads: int = THREADS_DEFAULT
    bandwidth_mbps: float = 0.0

    def __post_init__(self) -> None:
        """Raise InvalidArgument for a combination that contradicts itself."""
        if not 1 <= self.threads <= THREADS_MAX:
            raise InvalidArgument(f"--threads {self.threads} is not between 1 and {THREADS_MAX}")
        if self.existing and self.ignore_existing:
            raise InvalidArgument("--existing and --ignore-existing together leave nothing to do")
        if self.bandwidth_mbps < 0:
            raise InvalidArgument("--bwlimit is negative")

    @property
    def checks_copies(self) -> bool:
        """True if what was copied is read back and compared."""
        return self.check_all or self.check_new

    @property
    def must_be_durable(self) -> bool:
        """True if a copy must survive a crash at once, because its source may be deleted."""
        return self.delete_src or self.delete_src_after
