"""What a search for garbage tells."""

from dataclasses import dataclass, field

from roost.volume.tools.compacting import CompactReport


@dataclass(slots=True)
class Counted:
    """A number of things and their bytes, as stored."""

    count: int = 0
    bytes: int = 0


@dataclass(slots=True)
class GcReport:
    """What was found, and what was done about it."""

    objects: Counted = field(default_factory=Counted)
    valid: Counted = field(default_factory=Counted)
    compacted: Counted = field(default_factory=Counted)  # replaced, kept by the trash
    pending: Counted = field(default_factory=Counted)  # of slices without a reference
    leaked: Counted = field(default_factory=Counted)
    young: Counted = field(default_factory=Counted)  # unknown, but too young to be called leaked
    drafts: Counted = field(default_factory=Counted)  # unfinished files of a directory, not young
    drafts_removed: int = 0
    strange: int = 0  # objects whose names no block has; never touched
    leaked_keys: list[str] = field(default_factory=list)  # the first of them
    deleted_files: int = 0  # files whose data waits to be removed
    delayed_slices: int = 0  # replaced slices that the trash keeps
    detached_nodes: int = 0  # unfinished clones
    lost_chunks: int = 0  # inodes that have data but do not exist
    compaction: CompactReport | None = None
    deleted: Counted = field(default_factory=Counted)  # leaked objects
    slices_removed: int = 0
    miscounted: int = 0  # slices with fewer references than records that show them; never removed
    failed: int = 0
    damage: str = ""  # what did not parse, so that nothing was done but a compaction of the rest
