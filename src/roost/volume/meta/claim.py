"""What an open volume holds of its database: whose it is, and the numbers reserved in it.

A database may lose its last commits and come back (a crash, a replica that was behind), or hold
another volume when it is reached again.  So an engine asks each claim at every new connection,
before anything is read or committed through it.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from roost.errors import CorruptRecord
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.effects import Effect, PutCounter
from roost.volume.settings import VolumeSettings, decode_settings

log = logging.getLogger(__name__)


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

    def let_go(self, stored: int) -> None:
        """Use no more of what is reserved: the database forgot that, and may have given it again.

        `stored` is its counter now.  Takes no lock: an engine calls it while it connects.
        """
        ...


class Claim:
    """One open volume's.  Safe from many threads."""

    def __init__(self, uuid: str, numbers: Sequence[Numbers]) -> None:
        self._uuid = uuid
        self._numbers = numbers
        self.counters = tuple(each.counter for each in numbers)

    def check(self, setting: str | None) -> None:
        """Raise VolumeReplaced unless these are the settings of the claimed volume."""
        own_settings(self._uuid, setting)

    def to_raise(
        self, stored: Mapping[str, int], forgotten: Collection[str] = ()
    ) -> dict[str, int]:
        """Return which counters must be raised, to what, so that nobody gets our numbers again.

        A batch that the database does not know any more is let go of: of a counter that is behind,
        or of one of the `forgotten`, whose reservations are gone although it is not: then another
        client may have been given the same numbers since.
        """
        behind = {}
        for each in self._numbers:
            is_behind = stored[each.counter] < each.end
            if is_behind or (each.end and each.counter in forgotten):
                log.warning(
                    "the database lost commits that it had answered:"
                    " the rest of %s up to %d is not used, its counter is %d",
                    each.counter, each.end, stored[each.counter],
                )  # fmt: skip
                each.let_go(stored[each.counter])
            if is_behind:
                behind[each.counter] = each.end
        return behind


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
