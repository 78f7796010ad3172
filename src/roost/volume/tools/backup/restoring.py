"""Filling an empty database with the state that a backup holds.

The settings are stored last, as `load` does it; a failure leaves the database empty again.  Numbers
of inodes and slices continue far above those of the backup: what was handed out after it may name
objects that exist, and must not be handed out again.
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roost.blob.store import BlobStore
from roost.clock import Clock, SystemClock
from roost.errors import CorruptRecord
from roost.volume import codec
from roost.volume.engines.registry import new_engine, parse_url
from roost.volume.meta import effects as fx
from roost.volume.meta.check import check
from roost.volume.meta.open_volume import NEXT_INO, NEXT_SLICE
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE, space_of
from roost.volume.model import (
    ChunkNo,
    DelayedSlices,
    DeletedFile,
    DetachedNode,
    DirUsage,
    Ino,
    Problem,
    Quota,
    QuotaKind,
    SliceId,
    SliceRef,
)
from roost.volume.settings import decode_settings
from roost.volume.tools.backup.rows import FOUR, SETTINGS, THREE, TWO, U32, U64, Row, settings_of
from roost.volume.tools.backup.runs import Manifest, rows_of
from roost.volume.tools.dump_records import acl_of
from roost.volume.tools.filling import Batches, Filling, filling
from roost.volume.tools.numbers_seen import NumbersSeen
from roost.volume.tools.steps import Progress

INODES_PASSED_OVER = 1 << 24
SLICES_PASSED_OVER = 1 << 24


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored, and what the check of it found."""

    manifest: Manifest
    rows: int
    problems: tuple[Problem, ...]


def restore(
    meta_url: str,
    store: BlobStore,
    manifest: Manifest,
    *,
    progress: Progress = lambda _done, _all: None,
    clock: Clock | None = None,
) -> RestoreReport:
    """Fill the empty database at `meta_url` and check it.

    Raises AlreadyFormatted if it is not empty; CorruptRecord if the backup is damaged; Unavailable.
    """
    url = parse_url(meta_url)
    with new_engine(url, clock or SystemClock()) as engine:
        with filling(engine, url.display) as taken:
            restoring = _Restoring(taken, manifest, progress)
            effects = restoring.run(rows_of(store, manifest))
            taken.put_settings(*effects)
        return RestoreReport(manifest, manifest.rows, check(engine))


class _Restoring:
    def __init__(self, taken: Filling, manifest: Manifest, progress: Progress) -> None:
        self._manifest = manifest
        self._progress = progress
        self._slices = NumbersSeen()
        self._sustained: set[int] = set()
        self._counters: dict[str, int] = {}
        self._settings = ""
        self._now_s = 0
        self._batches = Batches(taken, self._tell)
        self._rows = 0

    def run(self, rows: Iterator[Row]) -> list[fx.Effect]:
        """Store the rows, all but what is returned: it makes a volume of them."""
        try:
            return self._run(rows)
        finally:
            self._batches.close()

    def _run(self, rows: Iterator[Row]) -> list[fx.Effect]:
        self._now_s = self._manifest.taken_ns // 1_000_000_000
        for key, value in rows:
            self._rows += 1
            try:
                effects = _MAKERS[key[:1]](self, key[1:], value)
            except (struct.error, KeyError, ValueError) as error:
                raise CorruptRecord(f"row {key!r}", f"it does not parse: {error}") from error
            self._batches.add(*effects)
        if self._rows != self._manifest.rows or not self._settings:
            why = f"{self._rows} rows instead of {self._manifest.rows}"
            raise CorruptRecord(self._manifest.id, why)
        decode_settings(self._settings)
        self._batches.commit()
        for name, passed_over in ((NEXT_INO, INODES_PASSED_OVER), (NEXT_SLICE, SLICES_PASSED_OVER)):
            self._counters[name] = self._counters.get(name, 1) + passed_over
        return [
            *(fx.PutCounter(name, value) for name, value in self._counters.items()),
            fx.PutCounter("nextCleanupSlices", 0),
            fx.PutSetting(self._settings),
        ]

    def _tell(self) -> None:
        self._progress(self._rows, self._manifest.rows)

    # ---- rows to effects, by letter
    def acl(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutAcl(U32.unpack(key)[0], acl_of(json.loads(value), "access rule"))]

    def sustain(self, key: bytes, value: bytes) -> list[fx.Effect]:
        self._sustained.add(U64.unpack(key)[0])
        return []

    def counter(self, key: bytes, value: bytes) -> list[fx.Effect]:
        self._counters[key.decode()] = int(value)
        return []

    def delayed(self, key: bytes, value: bytes) -> list[fx.Effect]:
        (deleted_s,) = U64.unpack_from(value)
        refs = codec.decode_delayed(value[U64.size :])
        note = DelayedSlices(SliceId(U64.unpack(key)[0]), deleted_s, refs)
        return [fx.PutDelayed(note), *(self._refer(ref) for ref in refs)]

    def deleted(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutDeletedFile(DeletedFile(Ino(U64.unpack(key)[0]), *TWO.unpack(value)))]

    def node(self, key: bytes, value: bytes) -> list[fx.Effect]:
        ino, attr = Ino(U64.unpack(key)[0]), codec.decode_attr(value)
        if ino not in self._sustained:
            return [fx.AddNode(ino, attr)]
        # Nobody has it open any more: its data is to be removed.
        for name, by in ((USED_SPACE, space_of(attr)), (TOTAL_INODES, 1)):
            self._counters[name] = self._counters.get(name, 0) - by
        return [fx.PutDeletedFile(DeletedFile(ino, attr.length, self._now_s))]

    def edge(self, key: bytes, value: bytes) -> list[fx.Effect]:
        (parent,) = U64.unpack_from(key)
        return [fx.AddEdge(Ino(parent), key[U64.size :], codec.decode_edge(value))]

    def chunk(self, key: bytes, value: bytes) -> list[fx.Effect]:
        (ino,), (chunk_no,) = U64.unpack_from(key), U32.unpack_from(key, U64.size)
        slices = codec.decode_slices(value)
        refs = [self._refer(SliceRef(one.id, one.size)) for one in slices if one.id]
        return [fx.AppendSlices(Ino(ino), ChunkNo(chunk_no), slices), *refs] if slices else []

    def quota(self, key: bytes, value: bytes) -> list[fx.Effect]:
        quota = Quota(*FOUR.unpack(value))
        return [fx.PutQuota(QuotaKind(key[0]), U64.unpack_from(key, 1)[0], quota)]

    def setting(self, key: bytes, value: bytes) -> list[fx.Effect]:
        self._settings = settings_of((SETTINGS, value))
        return []

    def detached(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutDetached(DetachedNode(Ino(U64.unpack(key)[0]), U64.unpack(value)[0]))]

    def usage(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutDirUsage(Ino(U64.unpack(key)[0]), DirUsage(*THREE.unpack(value)))]

    def xattr(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutXattr(Ino(U64.unpack_from(key)[0]), key[U64.size :], value)]

    def symlink(self, key: bytes, value: bytes) -> list[fx.Effect]:
        return [fx.PutSymlink(Ino(U64.unpack(key)[0]), value)]

    def _refer(self, ref: SliceRef) -> fx.Effect:
        return fx.AddSliceRefs(ref.id, 1, ref.size, is_new=self._slices.add(ref.id))


_MAKERS: dict[bytes, Callable[[_Restoring, bytes, bytes], list[fx.Effect]]] = {
    b"A": _Restoring.acl,
    b"B": _Restoring.sustain,
    b"C": _Restoring.counter,
    b"D": _Restoring.delayed,
    b"F": _Restoring.deleted,
    b"I": _Restoring.node,
    b"J": _Restoring.edge,
    b"K": _Restoring.chunk,
    b"Q": _Restoring.quota,
    b"S": _Restoring.setting,
    b"T": _Restoring.detached,
    b"U": _Restoring.usage,
    b"X": _Restoring.xattr,
    b"Y": _Restoring.symlink,
}
