"""Asking the claims on a database of SQL, over a connection that is new."""

import secrets
from collections.abc import Callable, Sequence

from roost.volume.engines.sql import queries
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.errors import VolumeReplaced
from roost.volume.meta.claim import Claim, reservation
from roost.volume.meta.effects import Effect

_RAISE = "UPDATE jfs_counter SET value = ? WHERE name = ? AND value < ?"
_PROVE = (
    f"INSERT INTO {COMMIT_TABLE} (client, batch, at) VALUES (?, ?, ?)"
    " ON CONFLICT (client) DO UPDATE SET batch = excluded.batch, at = excluded.at"
)
_PROVEN = f"SELECT batch FROM {COMMIT_TABLE} WHERE client = ?"

Run = Callable[[Sequence[Statement]], list[list[Row]]]


class Claims:
    """Those of one engine.  Safe from many threads."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._replaced: VolumeReplaced | None = None
        self._proofs: dict[str, int] = {}  # of counters: the row that says what was reserved
        self._reserved: dict[str, int] = {}  # and what it says

    def add(self, claim: Claim) -> None:
        """As Engine.hold."""
        self._claims.append(claim)

    def demand(self) -> None:
        """Raise VolumeReplaced if the database was once found to be another's."""
        if self._replaced is not None:
            raise VolumeReplaced(self._replaced.message)

    def proof(self, effects: Sequence[Effect], now_s: int) -> list[Statement]:
        """Return what a commit that reserves numbers writes besides; nothing for any other."""
        made = reservation(self._claims, effects)
        if made is None:
            return []
        row = self._proofs.setdefault(made.name, secrets.randbits(62))
        return [(_PROVE, (row, made.value, now_s))]

    def committed(self, effects: Sequence[Effect]) -> None:
        """Note what was reserved."""
        made = reservation(self._claims, effects)
        if made is not None:
            self._reserved[made.name] = made.value

    def settle(self, run: Run, *, writing: bool) -> None:
        """Look whose the database is, by `run` outside of any transaction, and raise counters.

        Raises VolumeReplaced, now and ever after; what `run` raises.
        """
        if not self._claims:
            return
        names = list(dict.fromkeys(name for claim in self._claims for name in claim.counters))
        reserved = dict(self._reserved) if writing else {}
        setting, counters = queries.setting(), [queries.counter(name) for name in names]
        texts, numbers, proofs = _run_parts(
            run,
            [(setting.text, setting.values)],
            [(counter.text, counter.values) for counter in counters],
            [(_PROVEN, (self._proofs[name],)) for name in reserved],
        )
        self._check(setting.made(texts[0]))
        if not writing:
            return
        stored = {
            name: counter.made(rows) or 0
            for name, counter, rows in zip(names, counters, numbers, strict=True)
        }
        forgotten = {
            name
            for (name, value), rows in zip(reserved.items(), proofs, strict=True)
            if not rows or int(rows[0][0]) < value
        }
        for name in forgotten:
            self._reserved.pop(name, None)
        for claim in self._claims:
            for name, least in claim.to_raise(stored, forgotten).items():
                run([(_RAISE, (least, name, least))])

    def _check(self, text: str | None) -> None:
        try:
            for claim in self._claims:
                claim.check(text)
        except VolumeReplaced as error:
            self._replaced = error
            raise


def _run_parts(run: Run, *parts: list[Statement]) -> list[list[list[Row]]]:
    """Run several lists of statements in one go, and return the rows of each."""
    found = iter(run([statement for part in parts for statement in part]))
    return [[next(found) for _ in part] for part in parts]
