"""Progress over several phases, whose sizes are only known one by one."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told (done, in all)."""


class Steps:
    """One count over all phases: it never falls, and at the end all is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._before = 0  # done in the phases that ended
        self._done = 0  # in this phase

    def __call__(self, done: int, total: int) -> None:
        """Tell where the present phase is."""
        self._done = max(done, self._done)
        self._progress(self._before + self._done, self._before + max(total, self._done))

    def next(self) -> None:
        """End the phase."""
        self._before += self._done
        self._done = 0
        self._progress(self._before, self._before)
