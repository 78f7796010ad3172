"""A clock that stands still until a test moves it."""

import threading
import time

_LOOK_EVERY_S = 0.002
_WAIT_S_MAX = 30.0


class ManualClock:
    """`Clock` whose time passes only by `advance`.  Safe from any thread.

    `wait` returns once the event is set or enough time was advanced; should a test forget to, it
    gives up after half a minute of real time with an assertion.
    """

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._lock = threading.Lock()
        self._monotonic_s = 1000.0
        self._wall_ns = wall_ns

    def advance(self, seconds: float) -> None:
        """Let both clocks move on."""
        with self._lock:
            self._monotonic_s += seconds
            self._wall_ns += round(seconds * 1e9)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock alone, either way, as an administrator or NTP does."""
        with self._lock:
            self._wall_ns += round(seconds * 1e9)

    def monotonic_s(self) -> float:
        """As in Clock."""
        with self._lock:
            return self._monotonic_s

    def wall_ns(self) -> int:
        """As in Clock."""
        with self._lock:
            return self._wall_ns

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """As in Clock."""
        until_s = self.monotonic_s() + timeout_s
        give_up_s = time.monotonic() + _WAIT_S_MAX
        while not event.wait(_LOOK_EVERY_S):
            if self.monotonic_s() >= until_s:
                return event.is_set()
            assert time.monotonic() < give_up_s, "nobody advanced the clock"
        return True
