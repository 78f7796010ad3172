"""The claims on a database of Redis, and what proves that it still knows our reservations.

A commit that reserves numbers leaves their end as its token, in a slot of its own, named by the
counter: it is there at the next connection, unless the server lost that commit.
"""

from collections.abc import Sequence
from typing import Any

from roost.volume.engines.claims import Claims, Doubt, Held
from roost.volume.engines.redis.keys import counter_offset
from roost.volume.engines.redis.records import number


class RedisClaims(Claims):
    """Those of one engine.  Safe from many threads."""

    def verify(self, setting: Any) -> None:
        """Raise VolumeReplaced, now and ever after, unless these settings are as claimed."""
        self.check(None if setting is None else setting.decode("utf-8", "surrogateescape"))

    def to_raise(
        self, held: Held, raw: Sequence[bytes | None], tokens: Sequence[Any]
    ) -> list[tuple[Doubt, int]]:
        """Return what is in doubt, and what to add to the counter.

        The stored values and the token slots of all that is held are given.
        """
        stored = {
            name: counter_offset(name) + (0 if value is None else number(value, name.encode()))
            for name, value in zip(held.ends, raw, strict=True)
        }
        proven = {
            name: 0 if token is None else int(token)
            for name, token in zip(held.ends, tokens, strict=True)
        }
        return [
            (doubt, max(0, doubt.end - stored[doubt.counter]))
            for doubt in self.doubts(held, stored, proven)
        ]
