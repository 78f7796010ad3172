"""A store that fails when told to, and counts what it is asked.

Lock order: one lock, never held during a call of the inner store.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore
from roost.errors import RoostError, Unavailable

T = TypeVar("T")


class FaultyStore:
    """`BlobStore` around another that can fail the n-th call, before or after it took effect.

    `calls` counts the calls by verb.
    """

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._fail_at: dict[str, int] = {}
        self._after = False
        self._error: Callable[[str], RoostError] = Unavailable
        self.calls: Counter[str] = Counter()
        self.before_call: Callable[[str, str], None] = lambda _verb, _key: None

    def fail(
        self,
        verb: str,
        nth: int = 1,
        *,
        after: bool = False,
        error: Callable[[str], RoostError] = Unavailable,
    ) -> None:
        """Make the `nth` call of `verb` from now fail; with `after`, once it has taken effect."""
        with self._lock:
            self._fail_at[verb] = self.calls[verb] + nth
            self._after, self._error = after, error

    def heal(self) -> None:
        """Forget the planned failures."""
        with self._lock:
            self._fail_at.clear()

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._inner.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._call("put", key, lambda: self._inner.put(key, data))

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._call("put_if_absent", key, lambda: self._inner.put_if_absent(key, data))

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        return self._call("get", key, lambda: self._inner.get(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        return self._call("get_range", key, lambda: self._inner.get_range(key, offset, size_bytes))

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._call("head", key, lambda: self._inner.head(key))

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._call("delete", key, lambda: self._inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        return self._call("list", prefix, lambda: self._inner.list(prefix))

    def _call(self, verb: str, key: str, call: Callable[[], T]) -> T:
        with self._lock:
            self.calls[verb] += 1
            failing = self._fail_at.get(verb) == self.calls[verb]
            after, error = self._after, self._error
        self.before_call(verb, key)
        if failing and not after:
            raise error(f"{verb} {key}: told to fail")
        result = call()
        if failing:
            raise error(f"{verb} {key}: told to fail once it was done")
        return result
