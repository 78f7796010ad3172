"""Asking the claims on a database of SQL, over a connection that is new."""

from collections.abc import Callable, Sequence

from roost.volume.engines.sql import queries
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.claim import Claim

_RAISE = "UPDATE jfs_counter SET value = ? WHERE name = ? AND value < ?"

Run = Callable[[Sequence[Statement]], list[list[Row]]]


class Claims:
    """Those of one engine.  Safe from many threads."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._replaced: VolumeReplaced | None = None

    def add(self, claim: Claim) -> None:
        """As Engine.hold."""
        self._claims.append(claim)

    def demand(self) -> None:
        """Raise VolumeReplaced if the database was once found to be another's."""
        if self._replaced is not None:
            raise VolumeReplaced(self._replaced.message)

    def settle(self, run: Run, *, writing: bool) -> None:
        """Look whose the database is, by `run` outside of any transaction, and raise counters.

        Raises VolumeReplaced, now and ever after; what `run` raises.
        """
        if not self._claims:
            return
        names = list(dict.fromkeys(name for claim in self._claims for name in claim.counters))
        asked = [queries.counter(name) for name in names]
        setting = queries.setting()
        wanted = [(query.text, query.values) for query in asked]
        found = run([(setting.text, setting.values), *wanted])
        stored = {
            name: query.made(rows) or 0
            for name, query, rows in zip(names, asked, found[1:], strict=True)
        }
        text = setting.made(found[0])
        try:
            for claim in self._claims:
                claim.check(text)
        except VolumeReplaced as error:
            self._replaced = error
            raise
        for claim in self._claims if writing else ():
            for name, least in claim.to_raise(stored).items():
                run([(_RAISE, (least, name, least))])
