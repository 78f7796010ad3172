"""Where a sync stands, so that the same command goes on after a crash.

The note lies at the root of the target, named after what is synced and how:

    .roost-sync-checkpoint.<16 hex digits>.json

It says up to which key (of which line of a list of files) everything is done, which keys failed
and of which of them it was the copy, and the counts.  It is removed when a run ends without a
failure.
"""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from uuid import uuid4

from roost.errors import CorruptRecord
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import CHECKPOINT_PREFIX
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.tally import Counts

VERSION = 2
FAILED_KEPT_MAX = 10_000
"""With more failed keys the checkpoint stands still: what follows is looked at again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a checkpoint holds.  `run` is part of the names of unfinished files.

    `failed` are lines and keys, each with whether a copy of it failed.
    """

    run: str = field(default_factory=lambda: uuid4().hex[:16])
    line: int = 0
    key: str = ""
    failed: tuple[tuple[int, str, bool], ...] = ()
    counts: Counts = field(default_factory=Counts)


class Checkpoint:
    """The note of one sync at its target."""

    def __init__(self, source: Endpoint, target: Endpoint, identity: str) -> None:
        """`identity` is a word that differs between commands that must not share a note."""
        self._target = target
        words = f"{source.name}\n{target.name}\n{identity}"
        digest = sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.name = f"{CHECKPOINT_PREFIX}{digest}.json"

    def load(self) -> Progress | None:
        """Return what an earlier run left, None if nothing.  Raises CorruptRecord."""
        raw = self._target.read_note(self.name)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
            if value["version"] != VERSION:
                raise ValueError(f"version {value['version']} is not {VERSION}")
            failed = tuple(
                (int(line), str(key), bool(was_copy)) for line, key, was_copy in value["failed"]
            )
            counts = Counts(**{word: int(count) for word, count in value["counts"].items()})
            return Progress(
                str(value["run"]), int(value["line"]), str(value["key"]), failed, counts
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptRecord(
                f"{self._target.name}{self.name}",
                f"the checkpoint does not parse ({error})",
                hint="Begin anew with --checkpoint-force-reset.",
            ) from error

    def save(self, progress: Progress) -> None:
        """Store the note durably."""
        value = {"version": VERSION, **asdict(progress)}
        self._target.write_note(self.name, json.dumps(value, indent=1).encode())

    def remove(self) -> None:
        """Forget it, and what a killed run may have left of it."""
        self._target.delete(self.name)
        self._target.delete(f"{self.name}.tmp")


def identity_of(selection: Selection, options: Options, files_from: str) -> str:
    """Return what makes two commands different syncs: everything that decides what is done.

    Limits of age move with the clock, so only whether there is one counts.
    """
    chosen = asdict(selection)
    for name in ("newer_than_ns", "older_than_ns"):
        chosen[name] = chosen[name] is not None
    decided = asdict(options)
    for name in ("threads", "bandwidth_mbps", "failures_max", "limit"):
        decided.pop(name)
    return json.dumps([chosen, decided, files_from], sort_keys=True)
