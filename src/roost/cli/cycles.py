"""For commands that make millions of small values, none of which is part of a cycle."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 100_000


@contextmanager
def cycles_sought_rarely() -> Iterator[None]:
    """Let Python look for cycles rarely; with its own setting that is a fifth of a load's time."""
    before = gc.get_threshold()
    gc.freeze()  # what was imported need not be looked through either
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
