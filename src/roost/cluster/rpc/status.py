"""How far a reader is: what it can answer now without waiting."""

from collections.abc import Mapping
from dataclasses import dataclass

from roost.cluster.wire import roost_pb2 as wire


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """Which versions a reader can answer, and up to when."""

    member: str
    visible_ts: int
    """It has every durable record up to this timestamp."""
    collections: Mapping[int, Mapping[int, bool]]
    """Collection id → version → warm: every segment of it that this reader owns is open."""
    edition: int = 0
    """Rises when `collections` changes."""


def put_status(status: ReaderStatus) -> wire.ReaderStatus:
    """Return the message for `status`."""
    return wire.ReaderStatus(
        member=status.member,
        visible_ts=status.visible_ts,
        edition=status.edition,
        collections=[
            wire.HeldCollection(
                collection_id=collection,
                versions=[
                    wire.HeldVersion(version=version, warm=warm)
                    for version, warm in versions.items()
                ],
            )
            for collection, versions in status.collections.items()
        ],
    )


def get_status(m: wire.ReaderStatus) -> ReaderStatus:
    """Undo `put_status`."""
    return ReaderStatus(
        m.member,
        m.visible_ts,
        {c.collection_id: {v.version: v.warm for v in c.versions} for c in m.collections},
        m.edition,
    )
