"""The check of names: nodes, entries, link counts, parents, statistics, reachability.

Tables are joined in order of inode, in constant memory but for sixteen bytes a directory.  The join
only finds suspects.  Each is then judged by itself, with fresh reads, and reported if it is still
wrong: on an engine without snapshots a change during the scan is no damage.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from roost.errors import CorruptRecord
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.damage import Unread
from roost.volume.meta.judge import Judge
from roost.volume.meta.reads import Scans
from roost.volume.meta.scan_pages import (
    EDGE,
    NODE,
    OWNER,
    PARENT,
    CountsParents,
    edge_pages,
    node_pages,
    parent_pages,
)
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import NODE_SPACE_BYTES, ROOT, TRASH, Ino, Kind, Problem
from roost.volume.sorted_records import Records, SortedRecords, ranges

_USAGE = np.dtype(
    [("ino", "u8"), ("length", "i8"), ("space", "i8"), ("inodes", "i8"), ("directories", "i8")]
)
_FOLDER = np.dtype([("ino", "u8"), ("parent", "u8"), ("nlink", "u4")])
_STATS = np.dtype([("ino", "u8"), ("length", "i8"), ("space", "i8"), ("inodes", "i8")])
_DOUBLINGS_MAX = 40  # of the distance to the root: deeper than any tree of 2^40 directories
_SUSPECTS_AT_ONCE = 8192
_PARENTS_MAX = 16
_SUMS = ("length", "space", "inodes", "directories")

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told (done, in all)."""
Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Suspects:
    """Inodes that the joins found wrong, told on to the judge in batches."""

    judge: Judge
    waiting: dict[Ino, list[Ino]] = field(default_factory=dict)  # with directories that name them

    def add(self, inos: npt.NDArray[np.uint64], edges: Records | None = None) -> Iterator[Problem]:
        """Note inodes, and who names them; yield what came out of those judged meanwhile."""
        for ino in np.unique(inos):
            self.waiting.setdefault(Ino(int(ino)), [])
        if edges is not None and len(inos):
            for edge in edges[np.isin(edges["ino"], inos)]:
                parents = self.waiting[Ino(int(edge["ino"]))]
                if len(parents) < _PARENTS_MAX:
                    parents.append(Ino(int(edge["parent"])))
        if len(self.waiting) >= _SUSPECTS_AT_ONCE:
            yield from self.flush()

    def flush(self) -> Iterator[Problem]:
        """Judge all that wait."""
        waiting, self.waiting = self.waiting, {}
        for ino, parents in sorted(waiting.items()):
            yield from self.judge.judge(ino, parents)


class NameCheck:
    """One check; records that do not parse are told to `unread`, as by `scans`."""

    def __init__(self, scans: Scans, judge: Judge, progress: Progress, unread: Unread) -> None:
        self._scans = scans
        self._unread = unread
        self._suspects = Suspects(judge)
        self._progress = progress
        self._kept = {ino for _, ino in self._small(scans.all_sustained)}
        self._tops = {ROOT, TRASH, *(one.ino for one in self._small(scans.detached_nodes))}
        self._space = 0
        self._inodes = 0
        self._has_root = False
        self._odd_counters: set[str] = set()

    def _small(self, read: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        try:
            return read()
        except CorruptRecord as error:
            self._unread.tell(Problem(Ino(0), str(error)))
            return ()

    def run(self, owners: SortedRecords) -> Iterator[Problem]:
        """Yield all problems of names and statistics; `owners` are the inodes that have chunks."""
        before = self._counters()
        with (
            SortedRecords(NODE, "ino") as nodes,
            SortedRecords(EDGE, "ino") as edges,
            SortedRecords(_USAGE, "ino") as usage,
            SortedRecords(_FOLDER, "ino") as folders,
            SortedRecords(PARENT, "ino") as counted,
        ):
            self._read(nodes, edges)
            if isinstance(self._scans, CountsParents):
                for page in parent_pages(self._scans):
                    counted.add(page)
            for *part, counts in ranges(nodes, edges, owners, counted):
                yield from self._judge_parents(part[0], part[1], counts)
                yield from self._judge_nodes(*part, usage=usage, folders=folders)
            yield from self._judge_folders(folders, usage)
            yield from self._judge_ways(folders)
        if not self._has_root:
            self._suspects.waiting.setdefault(ROOT, [])
        yield from self._suspects.flush()
        yield from self._judge_counters(before)

    def _read(self, nodes: SortedRecords, edges: SortedRecords) -> None:
        total = 2 * (self._counter(TOTAL_INODES) or 0)
        for page in node_pages(self._scans, self._unread.tell):
            nodes.add(page)
            self._progress(nodes.count, total)
        for page in edge_pages(self._scans, self._unread.tell):
            edges.add(page)
            self._progress(nodes.count + edges.count, total)

    # ---- nodes and their names
    def _judge_nodes(
        self,
        nodes: Records,
        edges: Records,
        owners: Records,
        *,
        usage: SortedRecords,
        folders: SortedRecords,
    ) -> Iterator[Problem]:
        place, is_there = _found_in(nodes["ino"], edges["ino"])
        yield from self._suspects.add(edges["parent"][~is_there])
        self._note_names(edges[~is_there])
        edges, place = edges[is_there], place[is_there]
        names = np.bincount(place, minlength=len(nodes)).astype(np.int64)
        is_folder = nodes["kind"] == Kind.DIRECTORY
        is_top = np.isin(nodes["ino"], np.fromiter(self._tops, np.uint64))
        is_kept = np.isin(nodes["ino"], np.fromiter(self._kept, np.uint64))

        odd = np.zeros(len(nodes), np.bool_)
        odd[place[nodes["kind"][place] != edges["kind"]]] = True
        parent = nodes["parent"][place]
        is_elsewhere = (parent != edges["parent"]) & ((parent != 0) | is_folder[place])
        odd[place[is_elsewhere]] = True
        odd |= ~is_folder & (nodes["nlink"] != names)
        odd |= ~is_folder & (names == 0) & ~is_kept
        odd |= is_folder & (names != 1)
        yield from self._suspects.add(nodes["ino"][odd & ~is_top], edges)

        at, has_node = _found_in(nodes["ino"], owners["ino"])
        is_file = np.zeros(len(owners), np.bool_)
        is_file[has_node] = nodes["kind"][at[has_node]] == Kind.FILE
        yield from self._suspects.add(owners["ino"][~is_file])

        self._has_root |= bool((nodes["ino"] == ROOT).any())
        counted = ~np.isin(nodes["ino"], np.array([ROOT, TRASH], np.uint64))
        space = _space_of(nodes)
        self._space += int(space[counted].sum())
        self._inodes += int(counted.sum())
        usage.add(_usage_of(edges, nodes[place], space[place]))
        folders.add(_columns(nodes[is_folder], _FOLDER))

    def _note_names(self, edges: Records) -> None:
        """Note who names the nodes that did not parse: they cannot say it themselves."""
        unread = self._unread
        if unread.inos and len(edges):
            of_unread = np.isin(edges["ino"], np.fromiter(unread.inos, np.uint64))
            for edge in edges[of_unread]:
                unread.named_in.setdefault(Ino(int(edge["ino"])), Ino(int(edge["parent"])))

    def _judge_parents(self, nodes: Records, edges: Records, counted: Records) -> Iterator[Problem]:
        """Compare stored counts with entries, for the nodes whose own parent is 0."""
        if not isinstance(self._scans, CountsParents):
            return
        has_several = (nodes["parent"] == 0) & (nodes["nlink"] > 0)
        inos = nodes["ino"][has_several & (nodes["kind"] != Kind.DIRECTORY)]
        counted, edges = (some[np.isin(some["ino"], inos)] for some in (counted, edges))
        both: Records = np.concatenate([counted, _names_of(edges)])
        both["names"][len(counted) :] *= -1
        order = np.lexsort((both["parent"], both["ino"]))
        is_odd = _sums_of_equal(both[order]) != 0
        yield from self._suspects.add(both["ino"][order][is_odd], edges)

    # ---- directories
    def _judge_folders(self, folders: SortedRecords, usage: SortedRecords) -> Iterator[Problem]:
        with SortedRecords(_STATS, "ino") as stats:
            _read_stats(self._scans, stats)
            for some, sums, kept in ranges(folders, usage, stats):
                total = _summed(sums)
                _, is_there = _found_in(some["ino"], total["ino"])
                yield from self._suspects.add(total["ino"][~is_there])
                place, is_there = _found_in(total["ino"], some["ino"])
                subdirectories = np.zeros(len(some), np.int64)
                subdirectories[is_there] = total["directories"][place[is_there]]
                odd = some["nlink"] != 2 + subdirectories
                odd &= (some["ino"] < TRASH) | (some["ino"] == ROOT)
                yield from self._suspects.add(some["ino"][odd])

                place, is_there = _found_in(total["ino"], kept["ino"])
                drifted = np.zeros(len(kept), np.bool_)
                for name in ("length", "space", "inodes"):
                    wanted = np.zeros(len(kept), np.int64)
                    wanted[is_there] = total[name][place[is_there]]
                    drifted |= wanted != kept[name]
                yield from self._suspects.add(kept["ino"][drifted])

    def _judge_ways(self, folders: SortedRecords) -> Iterator[Problem]:
        """Find directories whose parents do not lead to a top: loops and orphans."""
        parts = [(part["ino"], part["parent"]) for (part,) in ranges(folders)]
        if not parts:
            return
        inos = np.concatenate([ino for ino, _ in parts])
        parents = np.concatenate([parent for _, parent in parts])
        is_top = np.isin(inos, np.fromiter(self._tops, np.uint64))
        up, is_there = _found_in(inos, parents)
        here = np.arange(len(inos))
        up = np.where(is_top | ~is_there, here, up)
        for _ in range(_DOUBLINGS_MAX):
            further = up[up]
            if bool((further == up).all()):
                break
            up = further
        lost = inos[~is_top[up]]
        for ino in lost[:_SUSPECTS_AT_ONCE]:
            yield from self._suspects.judge.judge_way(Ino(int(ino)))

    def _counters(self) -> dict[str, int]:
        return {name: self._counter(name) or 0 for name in (USED_SPACE, TOTAL_INODES)}

    def _counter(self, name: str) -> int | None:
        try:
            return self._scans.counter(name)
        except CorruptRecord as error:
            if name not in self._odd_counters:
                self._odd_counters.add(name)
                self._unread.tell(Problem(Ino(0), f"counter {error}"))
            return None

    def _judge_counters(self, before: dict[str, int]) -> Iterator[Problem]:
        if self._unread.count:
            return  # what did not parse may be what is missing
        after = self._counters()
        for name, wanted in ((USED_SPACE, self._space), (TOTAL_INODES, self._inodes)):
            if before[name] == after[name] != wanted:  # else it moved while the nodes were read
                what = f"counter {name} is {after[name]}, the nodes make it {wanted}"
                yield Problem(Ino(0), what, fatal=False)


def _found_in(
    keys: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.intp], Bools]:
    """Return where in the sorted `keys` each wanted one is, and whether it is there at all."""
    place = np.searchsorted(keys, wanted)
    inside = place < len(keys)
    is_there = np.zeros(len(wanted), np.bool_)
    is_there[inside] = keys[place[inside]] == wanted[inside]
    return np.where(is_there, place, 0), is_there


def _names_of(edges: Records) -> Records:
    made: Records = np.empty(len(edges), PARENT)
    made["ino"], made["parent"], made["names"] = edges["ino"], edges["parent"], 1
    return made


def _sums_of_equal(sorted_: Records) -> npt.NDArray[np.int64]:
    """Return for each PARENT record the sum of names over all of its inode and parent."""
    if not len(sorted_):
        return np.empty(0, np.int64)
    pairs = sorted_[["ino", "parent"]]
    groups = np.concatenate([[0], np.cumsum(pairs[1:] != pairs[:-1])])
    sums = np.zeros(groups[-1] + 1, np.int64)
    np.add.at(sums, groups, sorted_["names"])
    every: npt.NDArray[np.int64] = sums[groups]
    return every


def _space_of(nodes: Records) -> npt.NDArray[np.int64]:
    pages = (nodes["length"].astype(np.int64) + NODE_SPACE_BYTES - 1) // NODE_SPACE_BYTES
    is_file = nodes["kind"] == Kind.FILE
    space: npt.NDArray[np.int64] = np.where(is_file, np.maximum(pages, 1), 1) * NODE_SPACE_BYTES
    return space


def _usage_of(edges: Records, children: Records, space: npt.NDArray[np.int64]) -> Records:
    """Return what the children add to the statistics of their directories, summed a directory."""
    made: Records = np.empty(len(edges), _USAGE)
    made["ino"] = edges["parent"]
    made["length"] = np.where(children["kind"] == Kind.FILE, children["length"], 0)
    made["space"] = space
    made["inodes"] = 1
    made["directories"] = children["kind"] == Kind.DIRECTORY
    return _summed(made[np.argsort(made["ino"], kind="stable")])


def _summed(usage: Records) -> Records:
    """Return one record for each inode of the sorted `usage`."""
    if not len(usage):
        return usage
    inos = usage["ino"]
    starts = np.flatnonzero(np.concatenate([[True], inos[1:] != inos[:-1]]))
    made: Records = np.empty(len(starts), _USAGE)
    made["ino"] = inos[starts]
    for name in _SUMS:
        made[name] = np.add.reduceat(usage[name], starts)
    return made


def _columns(records: Records, dtype: np.dtype[np.void]) -> Records:
    made: Records = np.empty(len(records), dtype)
    for name in dtype.names or ():
        made[name] = records[name]
    return made


def _read_stats(scans: Scans, stats: SortedRecords) -> None:
    rows: list[tuple[int, int, int, int]] = []
    for ino, usage in scans.all_dir_usage():
        rows.append((ino, usage.length, usage.space_bytes, usage.inodes))
        if len(rows) == _SUSPECTS_AT_ONCE:
            stats.add(np.array(rows, _STATS))
            rows.clear()
    stats.add(np.array(rows, _STATS))


def owners_of(chunks: Records) -> Records:
    """Return the inodes of CHUNK records, each once, as OWNER records."""
    return np.unique(chunks["ino"]).astype(np.uint64).view(OWNER)


def reaches_too_far(chunks: Records) -> Bools:
    """Return which CHUNK records end beyond their chunk, or show more than their slice has."""
    end = chunks["pos"].astype(np.int64) + chunks["length"]
    shown = chunks["offset"].astype(np.int64) + chunks["length"]
    far: Bools = (end > CHUNK_BYTES) | ((chunks["id"] != 0) & (shown > chunks["size"]))
    return far
