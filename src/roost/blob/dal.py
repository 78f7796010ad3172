"""A store of one of OpenDAL's services (`many` has their table).

OpenDAL's time-outs are set here; it repeats nothing (`retrying` does).
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import opendal
from opendal import exceptions as dal
from typing_extensions import Buffer

from roost.blob.failures import Kind, disorder, first_line, translate
from roost.blob.forks import claim
from roost.blob.many import options_of
from roost.blob.patience import Patience
from roost.blob.place import Place
from roost.blob.store import BlobInfo, BlobNotFound, check_key, key_problem
from roost.errors import CorruptRecord, InvalidArgument, RoostError, Unavailable, Unsupported

T = TypeVar("T")

_FOLDER_WORDS = ("is a directory", "not a directory")
_DRAFT = ".tmp."  # as JuiceFS names what is being written
_NOBODY = ".roost.nobody"  # asked for to hear anything at all
_TIMED_OUT = "timeout reached"


def open_dal(place: Place, patience: Patience, environment: Mapping[str, str]) -> "DalStore":
    """Return the store that a place of one of `many.SERVICES` names.  Raises InvalidArgument."""
    claim()
    service, options = options_of(place, environment)
    try:
        operator = opendal.Operator(service.scheme, **options)
    except (dal.ConfigInvalid, dal.Unsupported, dal.Unexpected) as error:
        raise InvalidArgument(f"bucket {place.bucket!r}: {first_line(error)}") from error
    layer = opendal.layers.TimeoutLayer(
        timeout=patience.request_timeout_s, io_timeout=patience.request_timeout_s
    )
    where = place.bucket.partition("://")[2] or place.bucket
    return DalStore(
        operator.layer(layer),
        f"{place.storage}://{where.strip('/')}/",
        has_folders=service.has_folders,
        drafts=service.drafts,
        first_try_s=patience.first_try_s,
    )


class DalStore:
    """`BlobStore` over one operator."""

    def __init__(
        self,
        operator: opendal.Operator,
        name: str,
        *,
        has_folders: bool = False,
        drafts: bool = False,
        first_try_s: float | None = None,
    ) -> None:
        """`has_folders`, `drafts`: as in `many.Service`.

        With `first_try_s` the store must have answered once within that before anything else is
        asked: the libraries beneath hide connections that fail, and wait for the whole time-out.
        """
        self._operator = operator
        self._first_try_s = first_try_s
        self._name = name
        self._has_folders = has_folders
        self._drafts = drafts
        self._can_keep = operator.capability().write_with_if_not_exists

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        check_key(key)
        raw = bytes(data)
        if not self._drafts:
            self._call(key, lambda: self._operator.write(key, raw))
            return
        folder, _, last = key.rpartition("/")
        draft = f"{folder}/.jfs.{last[:200]}{_DRAFT}{secrets.token_hex(6)}".lstrip("/")
        self._call(key, lambda: self._operator.write(draft, raw))
        self._call(key, lambda: self._operator.rename(draft, key))

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        check_key(key)
        if not self._can_keep or self._drafts:
            raise Unsupported(f"{self._name}: this store cannot store only what is absent")
        raw = bytes(data)
        self._call(key, lambda: self._operator.write(key, raw, if_not_exists=True))

    def get(self, key: str) -> bytes:
        """As in BlobStore."""
        check_key(key)
        if self._has_folders:
            self.head(key)  # some servers answer with a page where a folder has the name
        return self._call(key, lambda: self._operator.read(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        """As in BlobStore."""
        size = self.head(key).size_bytes
        if offset >= size or size_bytes <= 0:
            return b""
        wanted = min(size_bytes, size - offset)
        return self._call(key, lambda: self._operator.read(key, offset=offset, size=wanted))

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        check_key(key)
        found = self._call(key, lambda: self._operator.stat(key))
        if found.mode.is_dir():
            raise BlobNotFound(key)
        return _info(key, found)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        check_key(key)
        if self._has_folders:
            try:
                self.head(key)  # a folder of that name is no object
            except BlobNotFound:
                return
        self._call(key, lambda: self._operator.delete(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        top = f"{folder}/" if folder else ""
        for info in self._walk(top, prefix) if self._has_folders else self._flat(top):
            if not info.key.startswith(prefix):
                continue
            problem = key_problem(info.key)
            if problem is not None:
                raise CorruptRecord(f"{self._name}{info.key!r}", f"the object's name {problem}")
            yield info

    def _flat(self, top: str) -> Iterator[BlobInfo]:
        last = ""
        for entry in self._entries(top, recursive=True):
            if entry.path.endswith("/"):
                continue
            if entry.path < last:
                raise disorder(self._name)
            last = entry.path
            yield self._listed(entry)

    def _walk(self, folder: str, prefix: str) -> Iterator[BlobInfo]:
        """Walk folders so that keys come in ascending order: a folder sorts as its name and "/"."""
        try:
            entries = sorted(self._entries(folder, recursive=False), key=lambda entry: entry.path)
        except BlobNotFound:
            return
        for entry in entries:
            if entry.path in (folder, "/"):
                continue
            if entry.path.endswith("/"):
                if entry.path.startswith(prefix) or prefix.startswith(entry.path):
                    yield from self._walk(entry.path, prefix)
            elif not _is_draft(entry.path):
                yield self._listed(entry)

    def _entries(self, folder: str, *, recursive: bool) -> Iterator[opendal.types.Entry]:
        found = iter(self._call(folder, lambda: self._operator.list(folder, recursive=recursive)))
        while (entry := self._call(folder, lambda: next(found, None))) is not None:
            yield entry

    def _listed(self, entry: opendal.types.Entry) -> BlobInfo:
        found = entry.metadata
        if found.last_modified is None:  # this service's listing is bare
            return self.head(entry.path)
        return _info(entry.path, found)

    def _greet(self, first_try_s: float) -> None:
        """Wait for a first answer, whatever it says.  Raises Unavailable: there is none."""
        layer = opendal.layers.TimeoutLayer(timeout=first_try_s, io_timeout=first_try_s)
        hurried = self._operator.layer(layer)
        try:
            self._translated(_NOBODY, lambda: hurried.stat(_NOBODY))
        except Unavailable as error:
            if _TIMED_OUT in error.message:
                raise Unavailable(
                    f"{self._name} does not answer ({first_try_s:g} s)",
                    hint="Check the address, and that this host may reach it.",
                ) from error
        except RoostError:  # that nobody is there, or we may not ask, is an answer
            pass
        self._first_try_s = None

    def _call(self, key: str, call: Callable[[], T]) -> T:
        claim()
        if self._first_try_s is not None:
            self._greet(self._first_try_s)
        return self._translated(key, call)

    def _translated(self, key: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (dal.NotFound, dal.NotADirectory, dal.IsADirectory) as error:
            raise translate(self._name, key, Kind.ABSENT, str(error)) from error
        except (dal.AlreadyExists, dal.ConditionNotMatch) as error:
            raise translate(self._name, key, Kind.TAKEN, str(error)) from error
        except dal.PermissionDenied as error:
            raise translate(self._name, key, Kind.DENIED, str(error)) from error
        except (
            dal.Error,
            dal.Unexpected,
            dal.Unsupported,
            dal.ConfigInvalid,
            dal.RateLimited,
            dal.RangeNotSatisfied,
            dal.Conflict,
            dal.IsSameFile,
        ) as error:
            is_folder = self._has_folders and first_line(error).endswith(_FOLDER_WORDS)
            kind = Kind.ABSENT if is_folder else Kind.OTHER
            raise translate(self._name, key, kind, str(error)) from error


def _info(key: str, found: opendal.types.Metadata) -> BlobInfo:
    changed = found.last_modified
    mtime_ns = 0 if changed is None else int(changed.timestamp() * 1e6) * 1000
    return BlobInfo(key, found.content_length, mtime_ns)


def _is_draft(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".jfs.") and _DRAFT in name
