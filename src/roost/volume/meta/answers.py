"""What the larger operations are asked and what they answer: values only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntFlag

from roost.volume.model import (
    Attr,
    DeletedFile,
    DirUsage,
    Ino,
    Quota,
    QuotaKind,
    SliceRef,
)

Progress = Callable[[int, int], None]  # told (done, of how many; 0 while that is not known)
OnDeleted = Callable[[DeletedFile], None]  # told each file whose data may now be removed


def ignore_progress(_done: int, _of: int) -> None:
    """Tell nobody."""


def leave_data(_file: DeletedFile) -> None:
    """Leave a deleted file's data to the hourly upkeep."""


class FallocateFlag(IntFlag):
    """Modes of fallocate(2)."""

    NONE = 0
    KEEP_SIZE = 0x01
    PUNCH_HOLE = 0x02
    COLLAPSE_RANGE = 0x08
    ZERO_RANGE = 0x10
    INSERT_RANGE = 0x20


class AtimeMode(Enum):
    """When a read changes the access time.  Source: mount(8)."""

    NEVER = "noatime"
    RELATIVE = "relatime"
    ALWAYS = "strictatime"


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: where its first byte lies, and the attributes as committed."""

    offset: int
    attr: Attr


@dataclass(frozen=True, slots=True)
class Copied:
    """What copy_file_range did; `attr` is the target's, as committed."""

    length: int
    attr: Attr


@dataclass(frozen=True, slots=True)
class Compacted:
    """What replacing slices left to do: delete the blocks of these, then forget each."""

    released: tuple[SliceRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a tree holds, itself included.

    `length` counts regular files; `space_bytes` what every node is charged; a file with several
    names counts once per name.
    """

    length: int = 0
    space_bytes: int = 0
    files: int = 0  # everything but directories
    directories: int = 0

    @property
    def inodes(self) -> int:
        """All names in the tree, its root included."""
        return self.files + self.directories


@dataclass(frozen=True, slots=True)
class TrashRestored:
    """What a restore did with the entries of one hour of the trash.

    `waiting` had no directory in the same hour to go to, and `put_back` was not asked for.
    """

    restored: int = 0
    conflicts: tuple[bytes, ...] = ()  # the name is taken
    failed: tuple[tuple[bytes, str], ...] = ()  # (entry, why)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class QuotaOf:
    """A quota and whom it is for: an inode, a uid or a gid.

    `path` is set in listings of directories that can be reached.
    """

    kind: QuotaKind
    key: int
    quota: Quota
    path: str = ""


@dataclass(frozen=True, slots=True)
class QuotaCheck:
    """What a check of one quota found; `counted` is what is really there."""

    kind: QuotaKind
    key: int
    stored: DirUsage
    counted: DirUsage
    repaired: bool = False

    @property
    def is_consistent(self) -> bool:
        """True if what is stored is what is there."""
        return (self.stored.space_bytes, self.stored.inodes) == (
            self.counted.space_bytes,
            self.counted.inodes,
        )


@dataclass(frozen=True, slots=True)
class StatsRepair:
    """What a check of directory statistics found and mended."""

    directories: int = 0
    wrong: tuple[Ino, ...] = ()  # stored, but not what is there
    missing: tuple[Ino, ...] = ()
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class CloneOptions:
    """How a clone is made."""

    preserve: bool = False  # keep owner, mode and times; else they are the caller's and now's
    umask: int = 0o022
    threads: int = 4


@dataclass(frozen=True, slots=True)
class RemoveOptions:
    """How a tree is removed."""

    skip_trash: bool = False
    threads: int = 50
    on_deleted: OnDeleted = leave_data
    progress: Progress = ignore_progress
    should_stop: Callable[[], bool] = field(default=lambda: False)
