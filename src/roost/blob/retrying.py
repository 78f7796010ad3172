"""A store that asks again: the one place where calls of a store are repeated.

Only Unavailable is repeated, and not a missing bucket or a refusal of who we are.  Delays double
up to a bound, each cut by a random half so that many clients do not come back at once.  A store
that has never answered is given up sooner: a wrong address is told while somebody still looks on.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from typing_extensions import Buffer

from roost.blob.failures import status_of
from roost.blob.patience import PATIENT, Patience
from roost.blob.store import (
    BlobExists,
    BlobInfo,
    BlobNotFound,
    BlobStore,
    BucketMissing,
    StoreDenied,
)
from roost.clock import Clock, SystemClock
from roost.errors import RoostError, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")


class RetryingStore:
    """`BlobStore` that repeats what failed for the moment.

    A `put_if_absent` that finds the key taken after a try whose answer was lost reads the object:
    its own bytes there mean that the try had succeeded.
    """

    def __init__(
        self, inner: BlobStore, patience: Patience = PATIENT, clock: Clock | None = None
    ) -> None:
        self._inner = inner
        self._patience = patience
        self._clock = clock or SystemClock()
        self._has_answered = False

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._inner.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._repeat(lambda _tries: self._inner.put(key, data))

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""

        def put(tries_before: int) -> None:
            try:
                self._inner.put_if_absent(key, data)
            except BlobExists:
                if not tries_before or not self._holds(key, data):
                    raise

        self._repeat(put)

    def get(self, key: str) -> Buffer:
        """As in BlobStore."""
        return self._repeat(lambda _tries: self._inner.get(key))

    def get_range(self, key: str, offset: int, size_bytes: int) -> Buffer:
        """As in BlobStore."""
        return self._repeat(lambda _tries: self._inner.get_range(key, offset, size_bytes))

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._repeat(lambda _tries: self._inner.head(key))

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._repeat(lambda _tries: self._inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore.  What was yielded is not yielded again after a failure."""
        last = ""
        failures, began_s = 0, self._clock.monotonic_s()
        while True:
            try:
                for info in self._inner.list(prefix):
                    if info.key > last:
                        yield info
                        last, failures, began_s = info.key, 0, self._clock.monotonic_s()
                        self._has_answered = True
                self._has_answered = True
                return
            except Unavailable as error:
                failures += 1
                self._pause(error, failures, began_s)

    def _holds(self, key: str, data: Buffer) -> bool:
        try:
            return bytes(self._inner.get(key)) == bytes(data)
        except BlobNotFound:
            return False

    def _repeat(self, call: Callable[[int], T]) -> T:
        failures, began_s = 0, self._clock.monotonic_s()
        while True:
            try:
                answer = call(failures)
            except Unavailable as error:
                failures += 1
                self._pause(error, failures, began_s)
            except RoostError:  # what is absent, taken or full was said by the store
                self._has_answered = True
                raise
            else:
                self._has_answered = True
                return answer

    def _pause(self, error: Unavailable, failures: int, began_s: float) -> None:
        """Wait before the next try, or raise `error` if there is none."""
        if isinstance(error, BucketMissing | StoreDenied) or failures >= self._patience.tries_max:
            raise error
        delay_s = min(self._patience.delay_first_s * 2.0 ** (failures - 1), 1e6)
        delay_s = min(delay_s, self._patience.delay_max_s) * random.uniform(0.5, 1.0)
        waited_s = self._clock.monotonic_s() - began_s
        self._has_answered = self._has_answered or status_of(error.message) != 0
        patience = self._patience
        total_s = patience.total_s if self._has_answered else patience.first_answer_s
        if waited_s + delay_s > total_s:
            raise error
        log.info("store failed, asking again: try=%d delay=%.1fs: %s", failures, delay_s, error)
        self._clock.wait(threading.Event(), delay_s)
