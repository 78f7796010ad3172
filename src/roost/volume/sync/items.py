"""One thing that a listing yields, and the order in which it yields them."""

import os
import re
from dataclasses import dataclass
from enum import Enum

CHECKPOINT_PREFIX = ".roost-sync-checkpoint."
_DRAFT = re.compile(r"\.roost-sync-([0-9a-f]{16})-[0-9a-f]{16}\.tmp")


class Kind(Enum):
    """What an item is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"  # a pipe, a device, a link that leads nowhere: there, and never copied


@dataclass(frozen=True, slots=True)
class Item:
    """What a key stands for on one side.  `key` is its path below the root that is synced.

    A folder's key ends in "/" and its size is 0.  `target` is a link's.  Mode and owner are None
    where the store keeps none.
    """

    key: str
    kind: Kind
    size_bytes: int = 0
    mtime_ns: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    target: str = ""

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.kind is Kind.FOLDER


def order(key: str) -> bytes:
    """Return what keys are sorted by: their bytes, a folder with its "/"."""
    return os.fsencode(key)


def ancestors(key: str) -> list[str]:
    """Return the keys of the folders above `key`, outermost first."""
    parts = key.rstrip("/").split("/")[:-1]
    return ["/".join(parts[: count + 1]) + "/" for count in range(len(parts))]


def name_of(key: str) -> str:
    """Return the last part of a key."""
    return key.rstrip("/").rpartition("/")[2]


def draft_run(name: str) -> str | None:
    """Return which run's unfinished file `name` is, None if it is none."""
    found = _DRAFT.fullmatch(name)
    return found[1] if found else None


def is_ours(name: str) -> bool:
    """True for names that this tool makes for itself: they are never copied."""
    return draft_run(name) is not None or name.startswith(CHECKPOINT_PREFIX)
