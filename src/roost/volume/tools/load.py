"""Filling an empty database from JuiceFS's JSON dump.

The dump is read once, in constant memory, and committed about a thousand nodes at a time through
the transactions that every engine has.  The settings are stored last, in one commit with the
counters: until then the database holds no volume.  If anything fails, what was stored is removed
again, and the file of an SQLite database with it if there was none before.
Source: the volume format reference, section 7.1.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from roost.clock import Clock, SystemClock
from roost.errors import CorruptRecord, InvalidArgument
from roost.volume.engines.registry import new_engine, parse_url
from roost.volume.meta.effects import (
    AddNode,
    Effect,
    PutCounter,
    PutDeletedFile,
    PutQuota,
    PutSetting,
)
from roost.volume.meta.open_volume import NEXT_INO, NEXT_SLICE
from roost.volume.meta.sessions import NEXT_SESSION
from roost.volume.meta.trash import FOLDER_MODE, NEXT_TRASH
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE
from roost.volume.model import (
    DIRECTORY_LENGTH_BYTES,
    ROOT,
    TRASH,
    Attr,
    DeletedFile,
    Ino,
    Kind,
    Quota,
    QuotaKind,
)
from roost.volume.settings import VolumeSettings, decode_settings, encode_settings
from roost.volume.tools.filling import Batches, Filling, filling
from roost.volume.tools.json_stream import JsonStream
from roost.volume.tools.load_tree import TreeLoader

_REMOVED = "removed"
_QUOTAS = {
    "Quotas": QuotaKind.DIRECTORY,
    "UserQuotas": QuotaKind.USER,
    "GroupQuotas": QuotaKind.GROUP,
}
_NUMBER_MAX = (1 << 63) - 1

Progress = Callable[[int, int], None]
"""Told (done, in all)."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was stored."""

    settings: VolumeSettings
    entries: int
    inodes: int
    used_space_bytes: int


def load(
    meta_url: str,
    source: BinaryIO,
    *,
    name: str = "dump",
    encrypt_key: str = "",
    progress: Progress = lambda _done, _all: None,
    clock: Clock | None = None,
) -> LoadReport:
    """Fill the empty database at `meta_url` from a dump; `name` is what messages call the dump.

    `encrypt_key` is the PEM text that a dump without secrets lacks.
    Raises AlreadyFormatted if the database is not empty; CorruptRecord if the dump is damaged or
    holds what this Roost does not know; InvalidArgument; NewerFormat; Unavailable.
    """
    url = parse_url(meta_url)
    known = clock or SystemClock()
    with new_engine(url, known) as engine, filling(engine, url.display) as taken:
        loading = _Loading(taken, JsonStream(source, name), encrypt_key, progress)
        effects = loading.run(known)
        taken.put_settings(*effects)
    return loading.report()


class _Loading:
    """One load: the fields of the document in any order that ends with the trees."""

    def __init__(
        self, taken: Filling, stream: JsonStream, encrypt_key: str, progress: Progress
    ) -> None:
        self._engine = taken.engine
        self._stream = stream
        self._encrypt_key = encrypt_key
        self._progress = progress
        self._batch = Batches(taken, self._tell)
        self._settings: VolumeSettings | None = None
        self._counters: dict[str, int] = {}
        self._quotas: dict[QuotaKind, dict[int, Quota]] = {kind: {} for kind in QuotaKind}
        self._trees: TreeLoader | None = None
        self._seen: set[str] = set()

    def run(self, clock: Clock) -> list[Effect]:
        """Read the document and store it, all but what is returned: it makes a volume of it."""
        try:
            return self._run(clock)
        finally:
            self._batch.close()

    def report(self) -> LoadReport:
        """Return what was stored."""
        assert self._trees is not None
        assert self._settings is not None
        self._tell()
        totals = self._trees.totals
        return LoadReport(self._settings, self._trees.names, totals.inodes, totals.space_bytes)

    def _run(self, clock: Clock) -> list[Effect]:
        for key in self._stream.fields():
            if key in self._seen:
                raise CorruptRecord(self._stream.where, f"{key} stands twice")
            self._seen.add(key)
            self._take(key)
        self._stream.end()
        if "FSTree" not in self._seen:
            raise CorruptRecord(self._stream.where, "no FSTree: this is no dump of a volume")
        return self._finish(clock)

    def _take(self, key: str) -> None:
        if self._trees is not None and key not in ("FSTree", "Trash"):
            raise CorruptRecord(self._stream.where, f"{key} stands behind the tree")
        match key:
            case "Setting":
                self._settings = self._read_settings(self._stream.value())
            case "Counters":
                self._counters = _numbers(self._stream.value(), self._stream.where)
            case "Sustained" | "ChangeLog":  # sessions, and what a consumer of the log has read
                for _ in self._stream.items():
                    self._stream.value()
            case "DelFiles":
                for file in self._read_deleted():
                    self._batch.add(PutDeletedFile(file))
            case "Quotas" | "UserQuotas" | "GroupQuotas":
                self._quotas[_QUOTAS[key]] = _quotas(self._stream.value(), self._stream.where)
            case "FSTree":
                self._tree_loader().tree(ROOT)
            case "Trash":
                self._tree_loader().tree(TRASH)
            case _:
                raise CorruptRecord(self._stream.where, f"unknown field {key!r}")

    def _tree_loader(self) -> TreeLoader:
        if self._settings is None:
            raise CorruptRecord(self._stream.where, "no Setting before the tree")
        if self._trees is None:
            self._trees = TreeLoader(
                self._stream,
                self._batch.add,
                limits=self._quotas[QuotaKind.DIRECTORY],
                dir_stats=self._settings.dir_stats,
                count_owners=self._settings.user_group_quota,
            )
        return self._trees

    def _read_settings(self, document: Any) -> VolumeSettings:
        text = json.dumps(document, ensure_ascii=False)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise CorruptRecord(self._stream.where, "settings that are no Unicode text")
        settings = decode_settings(text)
        if settings.encrypt_key == _REMOVED:
            if not self._encrypt_key:
                raise InvalidArgument(
                    "the volume is encrypted and the dump has no key",
                    hint="Give the private key with --encrypt-rsa-key PATH.",
                )
            settings = replace(settings, encrypt_key=self._encrypt_key, key_encrypted=False)
        return settings

    def _read_deleted(self) -> Iterator[DeletedFile]:
        where = self._stream.where
        for _ in self._stream.items():
            fields = _numbers(self._stream.value(), where)
            if fields.keys() != {"inode", "length", "expire"}:
                raise CorruptRecord(where, f"a deleted file with fields {sorted(fields)}")
            yield DeletedFile(Ino(fields["inode"]), fields["length"], fields["expire"])

    def _tell(self) -> None:
        if self._trees is not None:
            self._progress(self._trees.names, self._counters.get("usedInodes", 0))

    def _check_names(self, directories: dict[Ino, int]) -> None:
        """Raise CorruptRecord if a directory has fewer names than the dump has for it."""
        if not directories:
            return
        with self._engine.scan() as scans:
            for ino, count in directories.items():
                if sum(1 for _ in scans.entries_of(ino)) != count:
                    raise CorruptRecord(self._stream.where, f"directory {ino} has a name twice")

    def _finish(self, clock: Clock) -> list[Effect]:
        """Store quotas; return the counters and the settings."""
        assert self._trees is not None
        assert self._settings is not None
        self._batch.commit()
        self._check_names(self._trees.unsorted)
        totals, old = self._trees.totals, self._counters
        counters = {
            USED_SPACE: totals.space_bytes,
            TOTAL_INODES: totals.inodes,
            # Numbers beyond those in the tree may be in use elsewhere: objects, caches.
            NEXT_INO: max(totals.next_ino, old.get("nextInodes", 0)),
            NEXT_SLICE: max(totals.next_slice, old.get("nextChunk", 0)),
            NEXT_SESSION: old.get("nextSession", 0),
            NEXT_TRASH: max(totals.last_trash, old.get("nextTrash", 0)),
            "nextCleanupSlices": 0,
        }
        for kind, used in ((QuotaKind.USER, totals.users), (QuotaKind.GROUP, totals.groups)):
            limits = self._quotas[kind]
            for key in used.keys() | limits.keys():
                space, inodes = used.get(key, (0, 0))
                quota = replace(
                    limits.get(key, Quota()), used_space_bytes=space, used_inodes=inodes
                )
                self._batch.add(PutQuota(kind, key, quota))
        self._batch.commit()
        effects: list[Effect] = [PutCounter(name, value) for name, value in counters.items()]
        if "Trash" not in self._seen and self._settings.trash_days > 0:
            effects.append(AddNode(TRASH, _trash(clock.wall_ns())))
        return [*effects, PutSetting(encode_settings(self._settings))]


def _trash(now_ns: int) -> Attr:
    return Attr(
        kind=Kind.DIRECTORY,
        mode=FOLDER_MODE,
        atime_ns=now_ns,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        nlink=2,
        length=DIRECTORY_LENGTH_BYTES,
        parent=ROOT,
    )


def _numbers(document: Any, where: str) -> dict[str, int]:
    """Return an object whose fields are all numbers."""
    if not isinstance(document, dict):
        raise CorruptRecord(where, "an object of numbers was expected")
    for name, value in document.items():
        if type(value) is not int or abs(value) > _NUMBER_MAX:
            raise CorruptRecord(where, f"{name} is {value!r}")
    return document


def _quotas(document: Any, where: str) -> dict[int, Quota]:
    if not isinstance(document, dict):
        raise CorruptRecord(where, "an object of quotas was expected")
    found = {}
    for key, value in document.items():
        fields = _numbers(value, where)
        if not (key.isascii() and key.isdigit()) or fields.keys() != {"maxSpace", "maxInodes"}:
            raise CorruptRecord(where, f"a quota that is none: {key}")
        found[int(key)] = Quota(fields["maxSpace"], fields["maxInodes"])
    return found
