"""S3 and what speaks it, Azure Blob, Google Cloud Storage: through obstore.

Objects of the S3 family carry JuiceFS's user metadata `Crc32c`: the CRC-32C of the stored body in
decimal, verified on whole reads where it is present.  The library repeats nothing (`retrying` does)
and its time-outs are ours.

Invariant: `_refuses_taken` is None until the store has shown whether it obeys a conditional put.
"""

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import google_crc32c
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, S3Store
from typing_extensions import Buffer

from roost.blob.failures import Kind, disorder, first_line, is_beyond_the_end, translate
from roost.blob.forks import claim
from roost.blob.store import BlobExists, BlobInfo, BlobNotFound, check_key, key_problem
from roost.errors import CorruptRecord, InvalidArgument, RoostError, Unsupported
from roost.sizes import KIB, MIB

log = logging.getLogger(__name__)
T = TypeVar("T")

CHECKSUM = "crc32c"  # names of user metadata are case-insensitive
WHOLE_BYTES_MAX = 64 * MIB
"""A larger object is stored in parts; a volume's blocks are at most 16 MiB."""
_LIST_PAGE = 1000
_CHECKSUM_BYTES = 64 * KIB
_COPIED_BYTES_MAX = 256 * KIB


class CloudStore:
    """`BlobStore` over one bucket.  `store` is the library's, made by `open`."""

    def __init__(
        self,
        store: "S3Store | AzureStore | GCSStore",
        name: str,
        *,
        storage_class: str = "",
        tag: str = "",
        checksums: bool = False,
        trusts_conditions: bool = True,
    ) -> None:
        """`trusts_conditions`: the service is known to obey conditional puts."""
        self._store = store
        self._name = name
        self._storage_class = storage_class
        self._tags = dict([tag.split("=", 1)]) if tag else None
        self._checksums = checksums
        self._refuses_taken: bool | None = True if trusts_conditions else None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        check_key(key)
        self._call(key, lambda: self._put(key, data, is_new=False))

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore.  Raises Unsupported for a server that ignores the condition."""
        check_key(key)
        self._demand_conditions(key)
        self._call(key, lambda: self._put(key, data, is_new=True))

    def get(self, key: str) -> Buffer:
        """As in BlobStore.  Raises CorruptRecord if the object's checksum says so.

        Those of a large object lie where the library received them.
        """
        check_key(key)

        def get() -> tuple[Buffer, str]:
            answer = obstore.get(self._store, key)
            return _held(answer.bytes()), str(answer.attributes.get(CHECKSUM, ""))

        data, stated = self._call(key, get)
        if self._checksums and stated.isdecimal() and int(stated) != _checksum(memoryview(data)):
            raise CorruptRecord(f"{self._name}{key}", "the bytes do not match their checksum")
        return data

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        check_key(key)
        if size_bytes <= 0:
            self.head(key)
            return b""

        def get() -> Buffer:
            try:
                options: obstore.GetOptions = {"range": (offset, offset + size_bytes)}
                return _held(obstore.get(self._store, key, options=options).bytes())
            except (BaseError, ValueError) as error:
                if is_beyond_the_end(str(error)):
                    return b""
                raise

        return self._call(key, get)

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        check_key(key)

        def head() -> BlobInfo:
            try:
                return _info(obstore.head(self._store, key))
            except FileNotFoundError:
                # A HEAD's answer has no body: only a GET tells a missing bucket from an object.
                return _info(obstore.get(self._store, key).meta)

        return self._call(key, head)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        check_key(key)
        try:
            self._call(key, lambda: obstore.delete(self._store, key))
        except BlobNotFound:  # Azure says no more than this of a container that is missing
            with contextlib.suppress(BlobNotFound):
                self._call(key, lambda: obstore.get(self._store, key).meta)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        pages = self._call(
            prefix, lambda: obstore.list(self._store, folder or None, chunk_size=_LIST_PAGE)
        )
        last = ""
        while (page := self._call(prefix, lambda: next(pages, None))) is not None:
            for found in page:
                info = _info(found)
                if info.key < last:
                    raise disorder(self._name)
                last = info.key
                if info.key.startswith(prefix):
                    problem = key_problem(last)
                    if problem is not None:
                        raise CorruptRecord(f"{self._name}{last!r}", f"the object's name {problem}")
                    yield info
                elif info.key > prefix:
                    return

    def _put(self, key: str, data: Buffer, *, is_new: bool) -> None:
        view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        attributes: obstore.Attributes = {}
        if self._checksums:
            attributes[CHECKSUM] = str(_checksum(view))
        if self._storage_class:
            attributes["Storage-Class"] = self._storage_class
        obstore.put(
            self._store,
            key,
            view,
            attributes=attributes or None,
            tags=self._tags,
            mode="create" if is_new else "overwrite",
            use_multipart=not is_new and view.nbytes > WHOLE_BYTES_MAX,
        )

    def _demand_conditions(self, key: str) -> None:
        """Let the store prove on an object of its own that it refuses a name that is taken."""
        with self._lock:
            if self._refuses_taken is None:
                trial = f"{key.rpartition('/')[0]}/.roost-{secrets.token_hex(6)}".lstrip("/")
                try:
                    for _ in range(2):
                        self._call(trial, lambda: self._put(trial, b"trial", is_new=True))
                    self._refuses_taken = False
                except BlobExists:
                    self._refuses_taken = True
                finally:
                    self.delete(trial)
        if not self._refuses_taken:
            raise Unsupported(
                f"{self._name}: the server overwrites objects that it was told to keep",
                hint="Use a server that obeys If-None-Match, such as Amazon S3 or Azure.",
            )

    def _call(self, key: str, call: Callable[[], T]) -> T:
        claim()
        try:
            return call()
        except RoostError:
            raise
        except FileNotFoundError as error:
            raise translate(self._name, key, Kind.ABSENT, str(error)) from error
        except (AlreadyExistsError, PreconditionError) as error:
            raise translate(self._name, key, Kind.TAKEN, str(error)) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise translate(self._name, key, Kind.DENIED, str(error)) from error
        except BaseError as error:
            raise translate(self._name, key, Kind.OTHER, str(error)) from error
        except ValueError as error:  # the library refuses some names
            raise InvalidArgument(f"object key {key!r}: {first_line(error)}") from error


def _held(received: Buffer) -> Buffer:
    """Return what may be kept for long: a small object's bytes lie in a much larger buffer."""
    view = memoryview(received)
    return bytes(view) if view.nbytes <= _COPIED_BYTES_MAX else view


def _checksum(data: memoryview) -> int:
    """Return the CRC-32C; the library takes `bytes` only, and small copies stay in the caches."""
    value = 0
    for start in range(0, len(data), _CHECKSUM_BYTES):
        value = google_crc32c.extend(value, bytes(data[start : start + _CHECKSUM_BYTES]))
    return value


def _info(found: "obstore.ObjectMeta") -> BlobInfo:
    changed = found["last_modified"]
    whole_s = int(changed.timestamp())
    return BlobInfo(
        found["path"], found["size"], whole_s * 1_000_000_000 + changed.microsecond * 1000
    )


def seconds(value: float) -> timedelta:
    """Return a time-out as the library wants it."""
    return timedelta(seconds=value)
