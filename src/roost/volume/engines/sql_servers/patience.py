"""How long one call tries again before it gives up: a number of tries, and a time."""

from collections.abc import Callable

from roost.clock import Clock

Pause = Callable[[float], None]

TRIES_MAX = 15
PAUSE_S = 0.05  # before the third try, doubled each time
PAUSE_S_MAX = 1.0  # about ten seconds in all: a restart or a fail-over, and as long as for Redis
TRY_FOR_S = 10.5  # no try begins later, however long each one takes


class Patience:
    """Of one call; not for several threads."""

    def __init__(self, clock: Clock, pause: Pause, for_s: float = TRY_FOR_S) -> None:
        self._clock = clock
        self._pause = pause
        self._until_s = clock.monotonic_s() + for_s
        self._tries = 1

    def again(self) -> bool:
        """Pause and return True if there is to be another try."""
        if self._tries >= TRIES_MAX or self._clock.monotonic_s() >= self._until_s:
            return False
        if self._tries > 1:  # the first failure is mostly an idle connection that was closed
            self._pause(min(PAUSE_S * 2 ** (self._tries - 2), PAUSE_S_MAX))
        self._tries += 1
        return True
