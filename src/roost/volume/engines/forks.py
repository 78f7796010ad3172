"""Engines of a process that forked are not used in its child.

Both would write to the same sockets and take each other's answers; and locks that another thread
held stay locked in the child for ever.  So what a child inherited refuses with a word, and closing
it there lets go of the child's copies without a goodbye to the server, whose client lives on.
"""

import os

from roost.errors import Unavailable

_generation = 0  # of forks, from the first process to this one


class Origin:
    """The process that made it."""

    __slots__ = ("_generation",)

    def __init__(self) -> None:
        self._generation = _generation

    @property
    def is_here(self) -> bool:
        """False in a child that inherited this object by a fork."""
        return self._generation == _generation

    def demand(self, place: object) -> None:
        """Raise Unavailable in a child that inherited this object; `place` is for the message."""
        if self._generation != _generation:
            raise Unavailable(
                f"the volume at {place} was opened by the process that this one was forked from",
                hint="Open the volume anew in the child.",
            )


def forsake(descriptor: int) -> None:
    """Let this process's copy of a socket lead nowhere: whatever closes it says no goodbye."""
    if descriptor < 0:
        return
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(nowhere, descriptor, inheritable=False)
    finally:
        os.close(nowhere)


def _count() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_count)
