"""What a tree holds: files, directories, bytes.  Memory grows with the number of directories."""

from collections.abc import Callable, Iterator
from itertools import islice

from roost.volume.meta import rules, usage
from roost.volume.meta.answers import Progress, Summary, ignore_progress
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Scans
from roost.volume.model import NODE_SPACE_BYTES, Attr, DirUsage, Edge, Ino, Kind

ENTRIES_AT_ONCE = 1000

_StatsOf = Callable[[Ino], DirUsage | None]


def summary(
    volume: OpenVolume, ino: Ino, *, strict: bool, progress: Progress = ignore_progress
) -> Summary:
    """Return what the tree below a node holds, the node included.  One snapshot if there are any.

    Unless `strict`, files are counted by the statistics of their directory, where it has any.
    Raises FsError ENOENT.
    """

    def stored_stats(folder: Ino) -> DirUsage | None:
        return volume.engine.read(lambda reads: reads.dir_usage(folder))

    stats_of: _StatsOf = stored_stats
    if strict or not volume.settings.dir_stats:
        stats_of = _no_stats
    with volume.engine.scan() as scans:
        attr = rules.found(ino, scans.nodes_of([ino])[0])
        if not attr.is_directory:
            own = usage.as_child(attr)
            return Summary(own.length, own.space_bytes, 1, 0)
        return _Walk(scans, stats_of, progress).run(ino, attr)


def _no_stats(_ino: Ino) -> DirUsage | None:
    return None


def pages(entries: Iterator[tuple[bytes, Edge]]) -> Iterator[list[tuple[bytes, Edge]]]:
    """Yield entries in lists of bounded length."""
    while page := list(islice(entries, ENTRIES_AT_ONCE)):
        yield page


class _Walk:
    """A walk over one tree and the sums so far."""

    def __init__(self, scans: Scans, stats_of: _StatsOf, progress: Progress) -> None:
        self._scans = scans
        self._stats_of = stats_of
        self._progress = progress
        self._files = 0
        self._directories = 1
        self._length = 0
        self._space_bytes = NODE_SPACE_BYTES

    def run(self, root: Ino, attr: Attr) -> Summary:
        pending = [(root, attr)]
        while pending:
            ino, folder = pending.pop()
            stats = self._stats_of(ino)
            if stats is None or min(stats.space_bytes, stats.inodes) < 0:
                pending += self._count_entries(ino)
            else:
                pending += self._count_by_stats(ino, folder, stats)
            self._progress(self._files + self._directories, 0)
        return Summary(self._length, self._space_bytes, self._files, self._directories)

    def _count_entries(self, ino: Ino) -> list[tuple[Ino, Attr]]:
        below: list[tuple[Ino, Attr]] = []
        for page in pages(self._scans.entries_of(ino)):
            for (_, edge), attr in zip(
                page, self._scans.nodes_of([edge.ino for _, edge in page]), strict=True
            ):
                if attr is None:
                    continue  # Removed meanwhile, or damage that the check names.
                own = usage.as_child(attr)
                self._length += own.length
                self._space_bytes += own.space_bytes
                if attr.is_directory:
                    self._directories += 1
                    below.append((edge.ino, attr))
                else:
                    self._files += 1
        return below

    def _count_by_stats(self, ino: Ino, folder: Attr, stats: DirUsage) -> list[tuple[Ino, Attr]]:
        self._length += stats.length
        self._space_bytes += stats.space_bytes
        below: list[Ino] = []
        if folder.nlink > 2 or rules.is_trash(ino):  # The trash counts no links.
            entries = self._scans.entries_of(ino)
            below = [edge.ino for _, edge in entries if edge.kind is Kind.DIRECTORY]
        self._directories += len(below)
        self._files += stats.inodes - len(below)
        known = zip(below, self._scans.nodes_of(below), strict=True)
        return [(child, attr) for child, attr in known if attr is not None]
