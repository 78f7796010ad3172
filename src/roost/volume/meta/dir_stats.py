"""The statistics of directories against their entries, and mending them."""

from collections.abc import Iterator

from roost.volume.meta import rules, usage
from roost.volume.meta.answers import Progress, StatsRepair
from roost.volume.meta.effects import PutDirUsage, PutQuota, UseDirectory
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import Scans
from roost.volume.meta.summary import pages
from roost.volume.meta.txn import Txn
from roost.volume.model import ROOT, TRASH, DirUsage, Ino, QuotaKind


def sync(
    volume: OpenVolume, ino: Ino, *, recursive: bool, repair: bool, progress: Progress
) -> StatsRepair:
    """Compare the statistics of a directory, or of all below it too, with the entries.

    With `repair` each wrong or missing one is computed again inside a commit of its own, so it is
    exact whatever goes on meanwhile.  Memory grows with the number of directories.
    Raises FsError: ENOENT, ENOTDIR.
    """
    wrong: list[Ino] = []
    missing: list[Ino] = []
    looked_at = 0
    with volume.engine.scan() as scans:
        rules.directory(ino, scans.nodes_of([ino])[0])
        for folder, counted in _counted(scans, ino, recursive):
            stored = _stored(volume, folder)
            if stored is None:
                missing.append(folder)
            elif stored != counted and _stored(volume, folder) != _again(volume, folder):
                wrong.append(folder)
            looked_at += 1
            progress(looked_at, 0)
    if repair:
        for folder in wrong + missing:
            recompute(volume, folder)
    return StatsRepair(looked_at, tuple(wrong), tuple(missing), repair)


def _counted(scans: Scans, top: Ino, recursive: bool) -> Iterator[tuple[Ino, DirUsage]]:
    """Yield directories with what their entries add up to."""
    pending = [top]
    if recursive and top == ROOT and scans.nodes_of([TRASH])[0] is not None:
        pending += [edge.ino for _, edge in scans.entries_of(TRASH)]
    while pending:
        folder = pending.pop()
        total = DirUsage()
        for page in pages(scans.entries_of(folder)):
            attrs = scans.nodes_of([edge.ino for _, edge in page])
            for (_, edge), attr in zip(page, attrs, strict=True):
                if attr is None:
                    continue
                total = usage.total((total, usage.as_child(attr)))
                if recursive and attr.is_directory:
                    pending.append(edge.ino)
        yield folder, total


def _stored(volume: OpenVolume, folder: Ino) -> DirUsage | None:
    return volume.engine.read(lambda reads: reads.dir_usage(folder))


def _again(volume: OpenVolume, folder: Ino) -> DirUsage:
    """Count one directory once more: it may have changed between the two looks."""
    with volume.engine.scan() as scans:
        return next(_counted(scans, folder, recursive=False))[1]


def recompute(volume: OpenVolume, ino: Ino) -> None:
    """Compute a directory's statistics from its entries, inside one commit."""

    def apply(txn: Txn) -> None:
        attr = txn.node(ino)
        if attr is None or not attr.is_directory:
            return
        quota = txn.quota(QuotaKind.DIRECTORY, ino)
        txn.do(PutDirUsage(ino, None))  # Absent ones are computed; a quota goes with them, though.
        if quota is not None:
            txn.do(PutQuota(QuotaKind.DIRECTORY, ino, quota))
        txn.do(UseDirectory(ino, DirUsage()))

    volume.engine.run(apply)
