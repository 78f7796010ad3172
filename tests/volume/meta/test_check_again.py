"""Where a scan is no snapshot, what looks wrong is read again before it is called wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from roost.testing.clock import ManualClock
from roost.volume.engines.memory import MemoryEngine
from roost.volume.meta.api import Meta
from roost.volume.meta.check import check
from roost.volume.meta.open_volume import open_volume
from roost.volume.meta.opening import fill
from roost.volume.meta.reads import Scans
from roost.volume.model import ROOT, ChunkNo, Slice, SliceId
from roost.volume.settings import new_settings

LISTINGS = ("all_nodes", "all_edges", "all_chunks", "all_dir_usage", "all_slice_refs")


class Blurred:
    """An engine whose first scan misses the n-th record of one listing; later ones are right."""

    def __init__(self, engine: MemoryEngine, listing: str, missed: int, *, counts: bool) -> None:
        self._engine = engine
        self._listing = listing
        self._missed = missed
        self._counts = counts
        self.scans = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def read(self, rule: Any) -> Any:
        """Answer from the engine; without counts, as one that stores none for single references."""
        if self._counts:
            return self._engine.read(rule)
        return self._engine.read(lambda reads: rule(Uncounted(reads)))

    @contextmanager
    def scan(self) -> Iterator[Scans]:
        self.scans += 1
        with self._engine.scan() as scans:
            if self.scans > 1:
                yield scans
                return
            yield Missing(scans, self._listing, self._missed)  # type: ignore[misc]


class Uncounted:
    def __init__(self, reads: Any) -> None:
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reads, name)

    def slice_refs(self, slice_id: SliceId, size: int) -> int:
        found = self._reads.slice_refs(slice_id, size)
        return 1 if found is None else int(found)


class Missing:
    def __init__(self, scans: Scans, listing: str, missed: int) -> None:
        self._scans = scans
        self._listing = listing
        self._missed = missed

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._scans, name)
        if name != self._listing:
            return found
        return lambda: (one for number, one in enumerate(found()) if number != self._missed)


@pytest.fixture
def engine() -> MemoryEngine:
    clock = ManualClock()
    made = MemoryEngine(clock)
    fill(made, new_settings("blurred", bucket="/b", trash_days=0))
    meta = Meta(open_volume(made, new_settings("blurred", bucket="/b"), clock), read_only=False)
    folder = meta.mkdir(ROOT, b"d").ino
    file = meta.create(folder, b"f").ino
    meta.link(file, ROOT, b"g")
    for chunk_no in range(2):
        record = Slice(0, meta.new_slice_id(), 10, 0, 10)
        meta.write_slice(file, ChunkNo(chunk_no), record)
        meta.write_slice(file, ChunkNo(chunk_no), Slice(5, meta.new_slice_id(), 3, 0, 3))
    assert check(made) == ()
    return made


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("missed", range(4))
def test_a_record_that_one_scan_missed_is_no_damage(
    engine: MemoryEngine, listing: str, missed: int
) -> None:
    blurred = Blurred(engine, listing, missed, counts=False)
    found = check(blurred)  # type: ignore[arg-type]
    # Counters cannot be read again: they are of all nodes.
    assert [one for one in found if not one.what.startswith("counter")] == []
