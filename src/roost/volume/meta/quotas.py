"""Which quotas a volume has, as this client knows them.

Loaded when the volume is opened and with every heartbeat.  The use they count changes in the commit
itself; what is known here is only which quotas are to be counted in and which can refuse.
"""

from dataclasses import dataclass

from roost.volume.meta.txn import Engine
from roost.volume.model import Ino, Quota, QuotaKind


@dataclass(frozen=True, slots=True)
class QuotaTable:
    """The quotas known; users and groups only if they limit something."""

    directories: frozenset[Ino] = frozenset()
    limited: frozenset[tuple[QuotaKind, int]] = frozenset()


NO_QUOTAS = QuotaTable()


def has_limit(quota: Quota) -> bool:
    """True if the quota can refuse anything."""
    return quota.space_bytes_max > 0 or quota.inodes_max > 0


def load(engine: Engine) -> QuotaTable:
    """Read which quotas there are."""
    with engine.scan() as scans:
        rows = scans.quotas()
    return QuotaTable(
        frozenset(Ino(key) for kind, key, _ in rows if kind is QuotaKind.DIRECTORY),
        frozenset((kind, key) for kind, key, quota in rows if has_limit(quota)),
    )
