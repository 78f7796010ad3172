"""Asking the claims on a database of SQL, over a connection that is new."""

import secrets
import threading
from collections.abc import Callable, Sequence

from roost.volume.engines.claims import Claims, Doubt
from roost.volume.engines.sql import queries
from roost.volume.engines.sql.dialect import Statement
from roost.volume.engines.sql.rows import Row
from roost.volume.engines.sql.tables import COMMIT_TABLE
from roost.volume.meta.effects import Effect

PROOF_LIFE_S = 86_400  # then it is renewed: other clients delete rows that nobody renews for days
_BEGIN: Statement = ("BEGIN", ())
_COMMIT: Statement = ("COMMIT", ())
_LOCK = "UPDATE jfs_counter SET value = value WHERE name = ?"
_RAISE = "UPDATE jfs_counter SET value = ? WHERE name = ? AND value < ?"
_PROVE = (
    f"INSERT INTO {COMMIT_TABLE} (client, batch, at) VALUES (?, ?, ?) ON CONFLICT (client)"
    f" DO UPDATE SET batch = GREATEST({COMMIT_TABLE}.batch, excluded.batch), at = excluded.at"
)
_RENEW = f"UPDATE {COMMIT_TABLE} SET at = ? WHERE client = ?"
_PROVEN = f"SELECT batch FROM {COMMIT_TABLE} WHERE client = ?"

Run = Callable[[Sequence[Statement]], list[list[Row]]]


class SqlClaims(Claims):
    """Those of one engine.  Safe from many threads."""

    def __init__(self) -> None:
        super().__init__()
        self._settling = threading.RLock()  # so that who connects next finds all let go of
        self._proofs: dict[str, int] = {}  # of counters: the row that says what was reserved
        self._proved_s: dict[str, int] = {}  # and when it was last written

    # ---- proofs
    def proof(self, effects: Sequence[Effect], now_s: int) -> list[Statement]:
        """Return what a commit writes besides: what it reserves, or that a proof is still needed.

        Nothing, mostly.
        """
        made = self.reservation(effects)
        if made is not None:
            row = self._proofs.setdefault(made.name, secrets.randbits(62))
            return [(_PROVE, (row, made.value, now_s))]
        return [
            (_RENEW, (now_s, self._proofs[name]))
            for name, proved_s in self._proved_s.copy().items()
            if now_s - proved_s >= PROOF_LIFE_S
        ]

    def committed(self, effects: Sequence[Effect], now_s: int, settled: int) -> bool:
        """Note what a commit did, `proof` included; `settled` is as it was before it was sent.

        False if it reserved numbers, and a connection made meanwhile did not look for the proof.
        """
        made = self.reservation(effects)
        if made is not None:
            self._proved_s[made.name] = now_s
            return self.reserved(made, settled)
        for name, proved_s in self._proved_s.copy().items():
            if now_s - proved_s >= PROOF_LIFE_S:
                self._proved_s[name] = now_s
        return True

    # ---- at a new connection
    def settle(self, run: Run, *, writing: bool) -> None:
        """Look whose the database is, by `run` outside of any transaction, and raise counters.

        Raises VolumeReplaced, now and ever after; what `run` raises.
        """
        if not self:
            return
        if not writing:
            setting = queries.setting()
            self.check(setting.made(run([(setting.text, setting.values)])[0]))
            return
        with self._settling:
            for doubt in self._ask(run):
                self._raise(run, doubt)

    def _ask(self, run: Run) -> list[Doubt]:
        held = self.begin()
        setting, counters = queries.setting(), [queries.counter(name) for name in held.ends]
        texts, numbers, proofs = _run_parts(
            run,
            [(setting.text, setting.values)],
            [(counter.text, counter.values) for counter in counters],
            [(_PROVEN, (self._proofs[name],)) for name in held.reserved],
        )
        self.check(setting.made(texts[0]))
        stored = {
            name: counter.made(rows) or 0
            for name, counter, rows in zip(held.ends, counters, numbers, strict=True)
        }
        proven = {
            name: int(rows[0][0]) if rows else 0
            for name, rows in zip(held.reserved, proofs, strict=True)
        }
        return self.doubts(held, stored, proven)

    def _raise(self, run: Run, doubt: Doubt) -> None:
        """Raise a counter, and prove anew what is ours, in one transaction."""
        counter, row = queries.counter(doubt.counter), self._proofs.get(doubt.counter)
        now_s = self._proved_s.get(doubt.counter, 0)
        proof = [] if row is None else [(_PROVE, (row, doubt.end, now_s))]
        try:
            locked = [_BEGIN, (_LOCK, (doubt.counter,)), (counter.text, counter.values)]
            raised: Statement = (_RAISE, (doubt.end, doubt.counter, doubt.end))
            rows = run([*locked, raised, *proof, _COMMIT])[len(locked) - 1]
        except BaseException:
            self.unsure(doubt)
            raise
        self.lost(doubt, counter.made(rows) or 0)


def _run_parts(run: Run, *parts: list[Statement]) -> list[list[list[Row]]]:
    """Run several lists of statements in one go, and return the rows of each."""
    found = iter(run([statement for part in parts for statement in part]))
    return [[next(found) for _ in part] for part in parts]
