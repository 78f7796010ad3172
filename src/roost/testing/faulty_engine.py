"""A metadata engine of which the n-th call fails, before or after it took effect."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from roost.errors import CommitUnknown, Unavailable
from roost.volume.engines.sqlite import SqliteEngine


class EngineCalls:
    """Counts the calls of all SQLite engines of this process, and fails one.

    A transaction is a call, a read is one; of a scan its opening, each listing, and each entry that
    a listing yields.  `count` is how many there were.  Safe to use from several threads.
    """

    def __init__(self, fail_at: int = 0, *, after: bool = False) -> None:
        """Fail call `fail_at`, counted from 1; `after`: once it is done, its answer is lost."""
        self._fail_at = fail_at
        self._after = after
        self._lock = threading.Lock()
        self.count = 0

    @property
    def fired(self) -> bool:
        """True if there were calls enough for one to fail."""
        return self.count >= self._fail_at

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count, and fail, what is called meanwhile."""
        run, read, scan = SqliteEngine.run, SqliteEngine.read, SqliteEngine.scan

        def counted_run(engine: SqliteEngine, rule: Callable[[Any], Any]) -> Any:
            return self._call(lambda: run(engine, rule), CommitUnknown)

        def counted_read(engine: SqliteEngine, rule: Callable[[Any], Any]) -> Any:
            return self._call(lambda: read(engine, rule))

        @contextmanager
        def counted_scan(engine: SqliteEngine) -> Iterator[Any]:
            self._call(lambda: None)
            with scan(engine) as scans:
                yield _CountedScans(scans, self._call)

        with (
            patch.object(SqliteEngine, "run", counted_run),
            patch.object(SqliteEngine, "read", counted_read),
            patch.object(SqliteEngine, "scan", counted_scan),
        ):
            yield

    def _call(self, call: Callable[[], Any], lost: Callable[[str], Exception] = Unavailable) -> Any:
        with self._lock:
            self.count += 1
            fails = self.count == self._fail_at
        if fails and not self._after:
            raise Unavailable("the database went away")
        answer = call()
        if fails:
            raise lost("the database went away with the answer")
        return answer


class _CountedScans:
    """Listings whose every entry is a call."""

    def __init__(self, scans: Any, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._scans = scans
        self._call = call

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._scans, name)
        if not callable(found):
            return found

        def listing(*arguments: Any, **options: Any) -> Any:
            answer = self._call(lambda: found(*arguments, **options))
            return self._entries(answer) if isinstance(answer, Iterator) else answer

        return listing

    def _entries(self, entries: Iterator[Any]) -> Iterator[Any]:
        for entry in entries:
            yield self._call(partial(_same, entry))


def _same(entry: Any) -> Any:
    return entry
