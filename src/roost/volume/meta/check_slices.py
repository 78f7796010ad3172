"""The check of slices: records of chunks against the stored counts of references."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from roost.errors import CorruptRecord
from roost.volume.meta.check_names import owners_of, reaches_too_far
from roost.volume.meta.damage import OnDamage, ignore, tell_damage
from roost.volume.meta.reads import Scans
from roost.volume.meta.scan_pages import (
    COUNTED,
    OWNER,
    USED,
    chunk_pages,
    counted_pages,
    delayed_pages,
    used_of,
)
from roost.volume.meta.txn import Engine
from roost.volume.model import Ino, Problem, SliceId
from roost.volume.sorted_records import Records, SortedRecords, ranges

_NEVER_GIVEN = SliceId(1 << 62)
SUSPECTS_MAX = 100_000

Progress = Callable[[int, int], None]
"""Told (done, in all)."""
Ids = npt.NDArray[np.uint64]


def counts_every_slice(engine: Engine) -> bool:
    """True if the engine stores a count for each slice; else one without has one reference."""
    try:
        return engine.read(lambda reads: reads.slice_refs(_NEVER_GIVEN, 1)) is None
    except CorruptRecord:  # the whole table is of another kind, as only Redis can have it
        return False


class SliceTables:
    """What is said of slices: `used` by records, `counted` by counts; `owners` have chunks."""

    def __init__(self) -> None:
        self.used = SortedRecords(USED, "id")
        self.counted = SortedRecords(COUNTED, "id")
        self.owners = SortedRecords(OWNER, "ino")
        self.far: list[Problem] = []

    def read(self, scans: Scans, only: Ids | None = None, told: OnDamage | None = None) -> None:
        """Read all tables; with `only`, what concerns these slices.

        Raises CorruptRecord, unless somebody is `told`.
        """
        for page in chunk_pages(scans, told):
            if only is None:
                self.owners.add(owners_of(page))
                self._note_far(page)
            self.used.add(_kept(used_of(page), only))
        for page in delayed_pages(scans, told):
            self.used.add(_kept(page, only))
        for page in counted_pages(scans, told):
            self.counted.add(_kept(page, only))

    def read_sound(self, scans: Scans) -> None:
        """Read all tables.  Raises CorruptRecord, also for a record beyond its chunk or slice."""
        self.read(scans)
        for problem in self.far:
            raise CorruptRecord(f"inode {problem.ino}", problem.what)

    def _note_far(self, page: Records) -> None:
        for row in page[reaches_too_far(page)][: SUSPECTS_MAX - len(self.far)]:
            what = (
                f"a record reaches beyond its chunk or its slice: chunk {row['chunk_no']} "
                f"pos {row['pos']} slice {row['id']} size {row['size']} "
                f"offset {row['offset']} length {row['length']}"
            )
            self.far.append(Problem(Ino(int(row["ino"])), what))

    def close(self) -> None:
        """Let go of temporary files."""
        for one in (self.used, self.counted, self.owners):
            one.close()


def _kept(page: Records, only: Ids | None) -> Records:
    return page if only is None else page[np.isin(page["id"], only)]


def undercounted(used: Records, counted: Records, *, counts_every: bool) -> Ids:
    """Return the slices of one range that more records show than they count, sorted.

    With `counts_every` one without a count has no reference, else it has one.
    """
    ids, records = np.unique(used["id"], return_counts=True)
    return ids[_refs_of(ids, counted, without=0 if counts_every else 1) < records]


def _refs_of(ids: Ids, counted: Records, *, without: int) -> npt.NDArray[np.int64]:
    """Return the counts of slices, `without` for those that have none stored."""
    place, known = _counts_of(ids, counted)
    refs = np.full(len(ids), without, np.int64)
    refs[known] = counted["refs"][place[known]]
    return refs


def _counts_of(ids: Ids, counted: Records) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where the count of each slice is, and whether there is one."""
    place = np.searchsorted(counted["id"], ids)
    known = np.zeros(len(ids), np.bool_)
    inside = place < len(counted)
    known[inside] = counted["id"][place[inside]] == ids[inside]
    return place, known


class RefCheck:
    """Compares records with counts, range by range of slice ids."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counts_every = counts_every_slice(engine)
        self._suspects: list[int] = []

    def judge(self, used: Records, counted: Records) -> Iterator[Problem]:
        """Yield the problems of one range; on an engine without snapshots they only wait."""
        for slice_id, what in self._compare(used, counted):
            if self._counts_every:
                yield Problem(Ino(0), what)
            elif len(self._suspects) < SUSPECTS_MAX:
                self._suspects.append(slice_id)

    def finish(self) -> Iterator[Problem]:
        """Read once more what looked wrong, and yield what still does."""
        if not self._suspects:
            return
        tables = SliceTables()
        try:
            with self._engine.scan() as scans:
                tell_damage(scans, ignore)  # told of when the tables were read first
                tables.read(scans, np.array(self._suspects, np.uint64), told=ignore)
            for used, counted in ranges(tables.used, tables.counted):
                for _, what in self._compare(used, counted):
                    yield Problem(Ino(0), what)
        finally:
            tables.close()

    def _compare(self, used: Records, counted: Records) -> Iterator[tuple[int, str]]:
        ids, starts, records = np.unique(used["id"], return_index=True, return_counts=True)
        sizes = used["size"][starts]
        if len(ids):
            most = np.maximum.reduceat(used["size"], starts)
            least = np.minimum.reduceat(used["size"], starts)
            for at in np.flatnonzero(most != least):
                yield int(ids[at]), f"slice {ids[at]} has sizes {least[at]} and {most[at]}"
        place, known = _counts_of(ids, counted)
        refs = _refs_of(ids, counted, without=1)
        if self._counts_every:
            for at in np.flatnonzero(~known):
                yield int(ids[at]), f"slice {ids[at]} is used but not counted"
        for at in np.flatnonzero((refs != records) & (known | (not self._counts_every))):
            what = f"slice {ids[at]} has {records[at]} references but counts {refs[at]}"
            yield int(ids[at]), what
        same = known.copy()
        same[known] = counted["size"][place[known]] == sizes[known]
        for at in np.flatnonzero(known & ~same & (refs == records)):
            yield int(ids[at]), f"slice {ids[at]} is counted with another size"
        is_used = np.isin(counted["id"], ids)
        for row in counted[~is_used & (counted["refs"] > 0)]:
            yield int(row["id"]), f"slice {row['id']} is counted but not used"
