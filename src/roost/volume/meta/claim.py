"""What an open volume holds of its database: whose it is, and the numbers reserved in it.

A database may lose its last commits and come back (a crash, a replica that was behind), or hold
another volume when it is reached again.  So an engine asks each claim at every new connection,
before anything is read or committed through it.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from roost.errors import CorruptRecord
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.effects import Effect, PutCounter
from roost.volume.settings import VolumeSettings, decode_settings


class Numbers(Protocol):
    """Numbers that a client reserved."""

    @property
    def counter(self) -> str:
        """The counter that they come from."""
        ...

    @property
    def end(self) -> int:
        """One more than the highest number this client may have used."""
        ...

    def let_go(self, known: int, stored: int) -> None:
        """Use no more of what is reserved: the database may have forgotten some of it.

        It still knows of our numbers below `known`, and others were given none from `stored` on:
        what lies between may be another client's too.  Takes no lock: an engine calls it while it
        connects.
        """
        ...


class Claim:
    """One open volume's.  Safe from many threads."""

    def __init__(self, uuid: str, numbers: Sequence[Numbers]) -> None:
        self._uuid = uuid
        self.numbers = tuple(numbers)
        self.counters = tuple(each.counter for each in numbers)

    def check(self, setting: str | None) -> None:
        """Raise VolumeReplaced unless these are the settings of the claimed volume."""
        own_settings(self._uuid, setting)


def reservation(claims: Iterable[Claim], effects: Sequence[Effect]) -> PutCounter | None:
    """Return the effect of a commit that reserves numbers, or None of any other commit.

    An engine leaves a proof of it in the same commit, to be found at the next connection.
    """
    if len(effects) != 1 or not isinstance(effects[0], PutCounter):
        return None
    effect = effects[0]
    return effect if any(effect.name in claim.counters for claim in claims) else None


def own_settings(uuid: str, text: str | None) -> VolumeSettings | None:
    """Return stored settings, secrets as stored; None if they do not parse.

    Raises VolumeReplaced if there are none, or if they are another volume's; NewerFormat.
    """
    if text is None:
        raise VolumeReplaced("the database holds no volume any more")
    try:
        settings = decode_settings(text)
    except CorruptRecord:
        return None
    if settings.uuid != uuid:
        raise VolumeReplaced(f"the database holds volume {settings.uuid} now")
    return settings
