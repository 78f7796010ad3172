"""Time, passed in, so that a test can own it.

`monotonic_s` measures spans (leases, time-outs); `wall_ns` dates things (mtime, timestamps).
The two are never compared with each other.
"""

import threading
import time
from typing import Protocol

# CLOCK_BOOTTIME is Linux's; elsewhere CLOCK_MONOTONIC counts sleep itself.
_SPANS: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What a room may ask about time."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; its zero means nothing."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump either way."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or `timeout_s` has passed; True if it was set."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic_s(self) -> float:
        """As in Clock; time that the machine slept counts too.

        A lease must run out while its holder sleeps.  Source: clock_gettime(2), CLOCK_BOOTTIME.
        """
        return time.clock_gettime(_SPANS)

    def wall_ns(self) -> int:
        """As in Clock."""
        return time.time_ns()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """As in Clock."""
        return event.wait(timeout_s)
