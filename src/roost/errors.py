"""The words for failure that all rooms share.

RoostError                     somebody can act on it; one line and a hint for a person
├── Refusal                    the answer is no: bad input, wrong state.  Never logged above DEBUG
│   ├── InvalidArgument        a value or combination of values that is never right
│   ├── NotFound               the thing named does not exist
│   ├── AlreadyExists          the name is taken
│   ├── Unsupported            Milvus or JuiceFS has it, this Roost does not
│   └── ReadOnly               a write reached a member whose role is `ro`
├── Failure                    the outside did not work; may be retried
│   ├── Unavailable            a service, lock or port cannot be reached now
│   │   └── Gone               a version no longer held; ask again with a newer one
│   ├── TimedOut               a bounded wait ended
│   ├── LeaseLost              this process is no longer the writer
│   ├── CommitUnknown          the commit's answer was lost: done and not done are both possible
│   └── StorageFull            no space or quota left
└── Damage                     stored bytes are wrong or missing; never skipped, never emptiness
    ├── CorruptRecord          bytes do not parse or their checksum fails
    ├── MissingBlock           an object that metadata names is not in the store
    └── NewerFormat            written by a newer Roost; refused by name

A broken invariant of our own is an `assert`, not one of these.  Rooms add subclasses where their
callers act on the difference (`volume.errors.FsError`, `vector.errors.CollectionNotFound` …).
"""

from typing import ClassVar


class RoostError(Exception):
    """A failure somebody can act on.

    `hint` says what the person should do next, as one imperative sentence; it may be empty.
    """

    exit_code: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        if self.hint:
            self.add_note(f"hint: {self.hint}")  # a traceback shows it, as a command does

    def __str__(self) -> str:
        return self.message


class Refusal(RoostError):
    """The answer is no."""

    exit_code = 2


class InvalidArgument(Refusal):
    """A value that is never right here."""


class NotFound(Refusal):
    """The thing named does not exist."""


class AlreadyExists(Refusal):
    """The name is taken."""


class Unsupported(Refusal):
    """Known, and not served by this Roost."""


class ReadOnly(Refusal):
    """A write reached a member that only reads."""

    hint = "Send writes to the router or to the member whose role is rw."


class Failure(RoostError):
    """The outside did not work."""

    exit_code = 3


class Unavailable(Failure):
    """Cannot be reached now."""


class Gone(Unavailable):
    """A version that is no longer held here; ask again with a newer one."""


class TimedOut(Failure):
    """A bounded wait ended before what it waited for."""


class LeaseLost(Failure):
    """This process is no longer the writer."""


class CommitUnknown(Failure):
    """The answer of a commit was lost."""


class StorageFull(Failure):
    """No space or quota left."""

    hint = "Free space or raise the limit, then try again; nothing was stored."


class Damage(RoostError):
    """Stored bytes are wrong or missing."""

    exit_code = 4


class CorruptRecord(Damage):
    """Stored bytes do not parse.  Never skipped, never read as empty."""

    hint = "Keep a copy of the data before any repair; `roost fsck META-URL` names all damage."

    def __init__(self, where: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"{where}: {why}", hint=hint)
        self.where = where


class MissingBlock(Damage):
    """An object that metadata names is not in the store."""

    def __init__(self, key: str, why: str = "the object is missing") -> None:
        super().__init__(f"{key}: {why}")
        self.key = key


class NewerFormat(Damage):
    """Written by a newer Roost."""

    hint = "Use the Roost version that wrote it, or a newer one."

    def __init__(self, where: str, found: int, known: int) -> None:
        super().__init__(f"{where}: format version {found}, this Roost knows up to {known}")
