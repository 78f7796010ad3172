"""Removing trees: many names in one commit, several commits at once.

Files and empty directories of one directory go in batches.  The walk goes downwards and removes
what is no directory on its way; then the directories go, deepest first.  Memory grows with the
number of directories.  Whatever stops it, each commit left a sound tree.
"""

import errno
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from roost.volume.errors import FsError
from roost.volume.meta import rules, trash, usage
from roost.volume.meta.answers import RemoveOptions
from roost.volume.meta.effects import DropEdge
from roost.volume.meta.listing import readdir
from roost.volume.meta.open_files import Removal
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.reads import EdgeWanted, NodeWanted
from roost.volume.meta.remove import (
    Loss,
    Removed,
    carry_out,
    decide,
    directory_loss,
    rmdir,
    run_removal,
    touch,
    unlink,
)
from roost.volume.meta.txn import Txn
from roost.volume.model import SUPERUSER, Attr, Caller, Ino, Kind

NAMES_AT_ONCE = 200  # of one commit
THREADS_MAX = 255
_WAITING_PER_THREAD = 2
_ROUNDS_MAX = 10  # others may go on filling the tree

log = logging.getLogger(__name__)


def remove_tree(
    volume: OpenVolume, parent: Ino, name: bytes, caller: Caller, options: RemoveOptions
) -> int:
    """Remove a name and all below it; return how many names went.

    Raises FsError: as unlink and rmdir, after all that could be removed is; EINTR stopped.
    """
    rules.check_name(parent, name)
    edge = volume.engine.read(lambda reads: reads.edge(parent, name))
    if edge is None:
        raise FsError(errno.ENOENT, parent, name)
    if edge.kind is not Kind.DIRECTORY:
        deleted = unlink(volume, parent, name, caller, skip_trash=options.skip_trash)
        if deleted is not None:
            options.on_deleted(deleted)
        return 1
    gone = 0
    for round_no in range(1, _ROUNDS_MAX + 1):
        work = _empty(volume, edge.ino, caller, options)
        gone += work.gone
        work.raise_refusal()
        try:
            rmdir(volume, parent, name, caller, skip_trash=options.skip_trash)
        except FsError as error:
            if error.errno != errno.ENOTEMPTY or round_no == _ROUNDS_MAX:
                raise
            continue  # Others have put something in meanwhile.
        return gone + 1
    raise AssertionError("unreachable: the last round returns or raises")


def empty_for_good(volume: OpenVolume, ino: Ino) -> int:
    """Remove all below a directory that no quota counts, without the trash; return how many.

    Such is what lies in the trash, and a clone that was never finished.  What cannot be removed is
    logged, and stays.
    """
    options = RemoveOptions(skip_trash=True, threads=1)
    work = _empty(volume, ino, SUPERUSER, options, in_quotas=False)
    for error in work.refused:
        log.warning("not removed: %s", error)
    return work.gone


def _empty(
    volume: OpenVolume,
    ino: Ino,
    caller: Caller,
    options: RemoveOptions,
    *,
    in_quotas: bool = True,
) -> "_Work":
    threads = min(max(options.threads, 1), THREADS_MAX)
    with ThreadPoolExecutor(threads, thread_name_prefix="roost-rmr") as pool:
        work = _Work(volume, caller, options, pool, threads, in_quotas)
        levels: list[dict[Ino, list[bytes]]] = []
        level = [ino]
        while level:
            below: dict[Ino, list[bytes]] = {}
            found: list[Ino] = []
            for folder in level:
                names = work.remove_plain(folder)
                if names:
                    below[folder] = [name for name, _ in names]
                    found += [child for _, child in names]
            levels.append(below)
            level = found
        work.wait()
        for below in reversed(levels):
            for folder, folder_names in below.items():
                work.submit(folder, folder_names)
            work.wait()
    return work


@dataclass(slots=True)
class _Work:
    """The batches under way and what came of those done; used by one thread."""

    volume: OpenVolume
    caller: Caller
    options: RemoveOptions
    pool: ThreadPoolExecutor
    threads: int
    in_quotas: bool
    gone: int = 0
    refused: list[FsError] = field(default_factory=list)
    _under_way: list[Future["_Batch"]] = field(default_factory=list)

    def remove_plain(self, folder: Ino) -> list[tuple[bytes, Ino]]:
        """Remove all but directories from a directory; return those."""
        directories: list[tuple[bytes, Ino]] = []
        batch: list[bytes] = []
        try:
            for entry in readdir(self.volume.engine, folder, self.caller, with_attrs=False):
                if entry.kind is Kind.DIRECTORY:
                    directories.append((entry.name, entry.ino))
                    continue
                batch.append(entry.name)
                if len(batch) == NAMES_AT_ONCE:
                    self.submit(folder, batch)
                    batch = []
        except FsError as error:
            if error.errno != errno.ENOENT:  # Another client was faster.
                self.refused.append(error)
        self.submit(folder, batch)
        return directories

    def submit(self, folder: Ino, names: list[bytes]) -> None:
        """Remove names soon; waits while enough is under way."""
        for start in range(0, len(names), NAMES_AT_ONCE):
            if self.options.should_stop():
                self.wait()
                raise FsError(errno.EINTR, folder)
            while len(self._under_way) >= self.threads * _WAITING_PER_THREAD:
                self._settle(self._under_way.pop(0))
            part = names[start : start + NAMES_AT_ONCE]
            self._under_way.append(self.pool.submit(self._remove, folder, part))

    def _remove(self, folder: Ino, names: list[bytes]) -> "_Batch":
        how = _How(self.caller, self.options.skip_trash, self.in_quotas)
        return _remove_names(self.volume, folder, names, how)

    def raise_refusal(self) -> None:
        """Raise the first refusal but those of directories that somebody filled again."""
        for error in self.refused:
            if error.errno != errno.ENOTEMPTY:
                raise error

    def wait(self) -> None:
        """Wait for all that is under way."""
        while self._under_way:
            self._settle(self._under_way.pop(0))

    def _settle(self, future: Future["_Batch"]) -> None:
        batch = future.result()
        self.gone += batch.gone
        self.refused += batch.refused
        for deleted in batch.removed.deleted:
            self.options.on_deleted(deleted)
        self.options.progress(self.gone, 0)


@dataclass(slots=True)
class _Batch:
    """What one commit, or a few, did to names of one directory."""

    gone: int = 0
    removed: Removed = field(default_factory=Removed)
    refused: list[FsError] = field(default_factory=list)

    def add(self, other: "_Batch") -> None:
        self.gone += other.gone
        self.refused += other.refused
        self.removed.deleted += other.removed.deleted


@dataclass(frozen=True, slots=True)
class _How:
    """For whom names are removed, and which accounts know them."""

    caller: Caller
    skip_trash: bool
    in_quotas: bool


def _remove_names(volume: OpenVolume, parent: Ino, names: Iterable[bytes], how: _How) -> _Batch:
    """Remove files and empty directories by name, in one commit unless a node is there twice.

    A name that is gone already is left out; one that cannot go is refused by itself.
    Raises FsError for the directory: EACCES, EPERM, ENOTDIR.
    """
    whole = _Batch()
    waiting = list(names)
    while waiting:
        choice = _Choice(volume, parent, waiting, how)
        try:
            removed = run_removal(volume, choice.apply)
        except FsError as error:
            if error.errno != errno.ENOENT:
                raise
            return whole  # The directory is gone, and with it all names.
        choice.batch.removed = removed
        whole.add(choice.batch)
        waiting = choice.later
    return whole


@dataclass(slots=True)
class _Choice:
    """Which names of a directory are to go, and what the latest run of the rule made of them."""

    volume: OpenVolume
    parent: Ino
    names: list[bytes]
    how: _How
    batch: _Batch = field(default_factory=_Batch)
    later: list[bytes] = field(default_factory=list)

    def apply(self, txn: Txn, removal: Removal) -> Removed:
        """Decide and add effects."""
        self.batch, self.later = _Batch(), []
        volume, parent = self.volume, self.parent
        entries = (EdgeWanted(parent, name, child=True) for name in self.names)
        txn.load(NodeWanted(parent), *entries, *trash.wanted(txn, volume, parent))
        folder = rules.directory_to_remove_from(txn, parent, txn.node(parent), self.how.caller)
        losses = dict(self._losses(txn, removal, folder))
        above = usage.quota_dirs(txn, volume, parent) if self.how.in_quotas else ()
        directories = 0
        charges = []
        for name, loss in losses.items():
            txn.do(DropEdge(parent, name))
            if loss is not None:
                directories += loss.attr.is_directory
                charges.append(usage.as_child(loss.attr, -1))
        self.batch.gone = len(losses)
        if losses:
            touch(txn, volume, parent, folder, nlink_by=-directories)
        usage.charge_name(txn, volume, parent, above, usage.total(charges))
        return carry_out(txn, volume, *(loss for loss in losses.values() if loss is not None))

    def _losses(
        self, txn: Txn, removal: Removal, folder: Attr
    ) -> Iterator[tuple[bytes, Loss | None]]:
        """Yield what becomes of each name's node; None for a damaged entry.  Only reads."""
        place = None if self.how.skip_trash else trash.find_folder(txn, self.volume, self.parent)
        seen: defaultdict[Ino, int] = defaultdict(int)
        for name in self.names:
            edge = txn.edge(self.parent, name)
            if edge is None:
                continue
            seen[edge.ino] += 1
            if seen[edge.ino] > 1:  # What becomes of its second name rests on the first.
                self.later.append(name)
                continue
            is_directory = edge.kind is Kind.DIRECTORY
            attr = txn.node(edge.ino) if is_directory else txn.exact_node(edge.ino)
            if attr is None:
                yield name, None
                continue
            try:
                rules.check_unnaming(folder, edge.ino, attr, self.how.caller)
                if is_directory and txn.has_entries(edge.ino):
                    raise FsError(errno.ENOTEMPTY, self.parent, name)
                spot = trash.place_in(txn, place, self.parent, name, edge.ino, attr)
                if is_directory:
                    yield name, directory_loss(edge.ino, attr, spot)
                else:
                    yield name, decide(self.volume, removal, edge.ino, attr, spot)
            except FsError as error:
                self.batch.refused.append(error)
