"""The claims on one engine's database, and what was reserved through it.

At a new connection an engine notes what is held (`begin`), asks the database for its counters and
for the proofs that it left with each reservation, and finds what is in doubt (`doubts`).  Each such
counter it raises, with a new proof, in one atomic step that tells what the counter was just before:
what others are given after that step is not ours, what they were given before it may be (`lost`).

Invariant: `_reserved` says what a proof in the database says, if it lost nothing since.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roost.volume.errors import VolumeReplaced
from roost.volume.meta.claim import Claim, reservation
from roost.volume.meta.effects import Effect, PutCounter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What a client relies on, by counter."""

    ends: dict[str, int]  # one more than the highest number that it may have used
    reserved: dict[str, int]  # what its last proof says


@dataclass(frozen=True, slots=True)
class Doubt:
    """A counter whose reservations the database forgot."""

    counter: str
    known: int  # what it still knows of ours lies below
    end: int  # what it is raised to, and what the new proof says: all that was reserved


class Claims:
    """Safe from many threads; `begin` to `lost` is for one at a time."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._replaced: VolumeReplaced | None = None
        self._reserved: dict[str, int] = {}
        self.settled = 0  # how often a new connection was looked at
        self.losses = 0  # how often the database was found to have lost commits

    def __bool__(self) -> bool:
        return bool(self._claims)

    def add(self, claim: Claim) -> None:
        """As Engine.hold."""
        self._claims.append(claim)

    # ---- whose the database is
    def demand(self) -> None:
        """Raise VolumeReplaced if the database was once found to be another's."""
        if self._replaced is not None:
            raise VolumeReplaced(self._replaced.message)

    def check(self, setting: str | None) -> None:
        """Raise VolumeReplaced, now and ever after, unless these settings are as claimed."""
        try:
            for claim in self._claims:
                claim.check(setting)
        except VolumeReplaced as error:
            self._replaced = error
            raise

    # ---- reserving
    def reservation(self, effects: Sequence[Effect]) -> PutCounter | None:
        """Return the effect of a commit that reserves numbers, or None of any other commit."""
        return reservation(self._claims, effects)

    def reserved(self, made: PutCounter, settled: int) -> bool:
        """Note a reservation that was answered; `settled` is as it was before it was sent.

        False if a connection was made meanwhile, which did not look for the proof: then look again,
        or `drop` the batch.
        """
        self._reserved[made.name] = made.value
        return self.settled == settled

    def drop(self, effects: Sequence[Effect]) -> None:
        """Let the batch go that these effects reserved, and that nobody has used yet."""
        made = self.reservation(effects)
        if made is not None:
            self._let_go(made.name, 0, 0)

    # ---- at a new connection
    def begin(self) -> Held:
        """Note what is held, before the database is asked: what is reserved later is not held."""
        self.settled += 1
        reserved = dict(self._reserved)
        ends: dict[str, int] = {}
        for claim in self._claims:
            for each in claim.numbers:
                ends[each.counter] = max(ends.get(each.counter, 0), each.end)
        for name, value in reserved.items():
            ends[name] = max(ends[name], value)
        return Held(ends, reserved)

    def doubts(
        self, held: Held, stored: Mapping[str, int], proven: Mapping[str, int]
    ) -> list[Doubt]:
        """Return the counters that the database forgot commits of, by what it says now.

        A counter that is where it was tells nothing: another client may have been given the same
        numbers since.  Then the proof is gone, or older.
        """
        found = []
        for name, end in held.ends.items():
            known = proven.get(name, 0)
            if known < held.reserved.get(name, 0):
                found.append(Doubt(name, known, end))
            elif stored[name] < end:  # the proof, if there is one, tells nothing of this
                found.append(Doubt(name, 0, end))
        return found

    def lost(self, doubt: Doubt, stored: int) -> None:
        """Let go of a counter's numbers, whose value was `stored` just before it was raised.

        What another thread reserved since `begin` is as known as before.
        """
        log.warning(
            "the database lost commits that it had answered:"
            " the rest of %s up to %d is not used, its counter was %d",
            doubt.counter, doubt.end, stored,
        )  # fmt: skip
        self.losses += 1
        self._let_go(doubt.counter, doubt.known, min(stored, doubt.end))

    def unsure(self, doubt: Doubt) -> None:
        """Let go of a counter's numbers where nobody knows whether it was raised, and from what.

        The next connection may find nothing amiss.
        """
        self._let_go(doubt.counter, doubt.known, doubt.end)

    def _let_go(self, counter: str, known: int, stored: int) -> None:
        for claim in self._claims:
            for each in claim.numbers:
                if each.counter == counter:
                    each.let_go(known, stored)
