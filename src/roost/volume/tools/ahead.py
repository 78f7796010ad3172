"""Taking items from an iterator on another thread, a few ahead of who uses them.

It pays where making an item means to wait for a server: that wait then costs nothing.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """The last thing that the thread tells: why there is no more."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Reader(Generic[T]):
    """The thread and what it has read; `_places` are those that may still be filled."""

    def __init__(self, items: Iterator[T], most: int) -> None:
        self._items = items
        self._found: SimpleQueue[T | _End] = SimpleQueue()
        self._places = threading.Semaphore(most)
        self._is_wanted = True
        self._closing: BaseException | None = None  # what the closing raised, until it is told
        self._thread = threading.Thread(target=self._read, name="roost-ahead", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            while self._places.acquire() and self._is_wanted:
                self._found.put(next(self._items))
        except StopIteration:
            pass
        except BaseException as raised:  # noqa: BLE001  # who takes the items raises it
            error = raised
        self._closing = _close(self._items)
        self._found.put(_End(error or self._closing))

    def items(self) -> Iterator[T]:
        """Yield what was read; raise what the reading raised, where it raised it."""
        while True:
            item = self._found.get()
            if isinstance(item, _End):
                self._closing = None
                if item.error is not None:
                    raise item.error
                return
            self._places.release()
            yield item

    def stop(self) -> BaseException | None:
        """Let the thread end, and wait for that; return what the closing raised if not told yet."""
        self._is_wanted = False
        self._places.release()
        self._thread.join()
        return self._closing


@contextmanager
def read_ahead(items: Iterator[T], most: int) -> Iterator[Iterator[T]]:
    """Give the same items, up to `most` of them made ahead by another thread; 0 is none.

    An error of the iterator comes after the items before it.  At the end of the block, however it
    is left, the thread has ended and the iterator is closed; an item under way is waited for.  What
    the closing raises is raised there, unless something else went wrong first.
    """
    if most:
        reader = _Reader(items, most)
        found, stop = reader.items(), reader.stop
    else:
        found, stop = items, partial(_close, items)
    try:
        yield found
    except BaseException:
        stop()
        raise
    error = stop()
    if error is not None:
        raise error


def _close(items: Iterator[T]) -> BaseException | None:
    """Close a generator; return what that raised."""
    try:
        if isinstance(items, Generator):
            items.close()
    except BaseException as error:  # noqa: BLE001  # who takes the items raises it
        return error
    return None
