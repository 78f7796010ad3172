"""A small, obviously right `VectorService` in memory: the oracle that tests compare with."""

from roost.clock import Clock


class ReferenceService:
    """Brute force over plain Python rows.  Implements `roost.vector.api.VectorService`."""

    def __init__(self, clock: Clock) -> None:
        raise NotImplementedError
