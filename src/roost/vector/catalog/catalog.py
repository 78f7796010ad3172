"""The catalog: SQL is the truth of collections, manifests, members and the lease."""

from collections.abc import Iterable, Mapping, Sequence

from roost.vector.api import CollectionInfo, IndexSpec, NewCollection, PartitionInfo
from roost.vector.catalog.values import Doomed, LeaseRow, Member, Pin
from roost.vector.log.reader import LogFloor
from roost.vector.log.record import LogPosition
from roost.vector.manifest import Manifest


class Catalog:
    """One catalog database; safe to use from many threads and processes.

    Every method is one short transaction; none is held across calls.  Methods that take
    `generation` commit only if the lease still has it, checked in the same transaction, and raise
    LeaseLost otherwise (before any writer claimed it, it is 0).  All raise Unavailable when the
    database cannot be reached or is busy too long, CommitUnknown when the answer of a commit was
    lost, StorageFull, CorruptRecord; NewerFormat on opening.
    """

    def __init__(self, url: str) -> None:
        """Open, or make, the catalog at an SQLAlchemy URL (sqlite:////absolute/path)."""
        raise NotImplementedError

    def close(self) -> None:
        """Release all connections."""
        raise NotImplementedError

    # collections, partitions, indexes ------------------------------------------------------

    def change_counter(self) -> int:
        """Return a number that rises with every DDL change and manifest; one cheap read."""
        raise NotImplementedError

    def create_collection(
        self, new: NewCollection, created_ts: int, generation: int
    ) -> CollectionInfo:
        """Create it with its default partition; field ids are given if they are 0.

        The same one again is returned as it is.  Raises CollectionExists, LeaseLost.
        """
        raise NotImplementedError

    def drop_collection(self, collection_id: int, generation: int) -> None:
        """Hide it from every name; its manifests stay until `forget_collection`."""
        raise NotImplementedError

    def dropped_collections(self) -> list[int]:
        """Return ids that were dropped but not forgotten: their files are garbage."""
        raise NotImplementedError

    def forget_collection(self, collection_id: int, generation: int) -> None:
        """Remove every row of a dropped collection, manifests included (pinned ones excepted)."""
        raise NotImplementedError

    def list_collections(self) -> list[CollectionInfo]:
        """Return all, by name, as of one instant."""
        raise NotImplementedError

    def describe_collection(self, name: str) -> CollectionInfo:
        """Return it by name or alias.  Raises CollectionNotFound."""
        raise NotImplementedError

    def describe_collection_id(self, collection_id: int) -> CollectionInfo:
        """Return it by id.  Raises CollectionNotFound."""
        raise NotImplementedError

    def rename_collection(self, collection_id: int, name: str, generation: int) -> None:
        """Give it another name.  Raises CollectionExists, CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def set_loaded(self, collection_id: int, loaded: bool, generation: int) -> None:
        """Say whether it is searchable.  Raises CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def set_properties(
        self, collection_id: int, properties: Mapping[str, str], generation: int
    ) -> None:
        """Replace its properties.  Raises CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def create_partition(
        self, collection_id: int, name: str, created_ts: int, generation: int
    ) -> PartitionInfo:
        """Create it, or return the one that exists.  Raises CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def drop_partition(self, collection_id: int, name: str, generation: int) -> PartitionInfo:
        """Drop and return it.  Raises PartitionNotFound, InvalidArgument (default), LeaseLost."""
        raise NotImplementedError

    def create_index(self, collection_id: int, spec: IndexSpec, generation: int) -> IndexSpec:
        """Return it with its id; the same one again is returned as it is.

        Raises AlreadyExists when the field has another one or the name is taken, LeaseLost.
        """
        raise NotImplementedError

    def drop_index(self, collection_id: int, name: str, generation: int) -> IndexSpec | None:
        """Drop it by index or field name and return it, None if there is none."""
        raise NotImplementedError

    # aliases -------------------------------------------------------------------------------

    def create_alias(self, alias: str, collection_id: int, generation: int) -> None:
        """Raises AlreadyExists if it names something, CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def alter_alias(self, alias: str, collection_id: int, generation: int) -> None:
        """Point it elsewhere.  Raises NotFound, CollectionNotFound, LeaseLost."""
        raise NotImplementedError

    def drop_alias(self, alias: str, generation: int) -> None:
        """Drop it; nothing if there is none."""
        raise NotImplementedError

    def aliases(self) -> dict[str, int]:
        """Return alias → collection id."""
        raise NotImplementedError

    # manifests -----------------------------------------------------------------------------

    def commit_manifest(self, manifest: Manifest) -> None:
        """Make it the newest version, by one statement that checks `manifest.generation` (H2).

        The version must be the latest plus one (1 at first).  The very same manifest again is fine,
        which also settles a CommitUnknown: try again.  Raises LeaseLost, CollectionNotFound,
        AlreadyExists (another manifest has that version, or a gap), Refusal if it names a doomed
        file (H21).
        """
        raise NotImplementedError

    def latest_manifest(self, collection_id: int) -> Manifest | None:
        """Return the newest version, None if there is none yet."""
        raise NotImplementedError

    def latest_manifests(self) -> dict[int, Manifest]:
        """Return the newest version of every live collection that has one, as of one instant."""
        raise NotImplementedError

    def manifest(self, collection_id: int, version: int) -> Manifest:
        """Return that version.  Raises NotFound."""
        raise NotImplementedError

    def manifests_after(self, collection_id: int, version: int) -> list[Manifest]:
        """Return the versions above `version`, oldest first."""
        raise NotImplementedError

    def prune_manifests(self, collection_id: int, below_version: int, generation: int) -> int:
        """Forget versions below one, except the latest and pinned ones; return how many.

        What a manifest row names is alive: prune after the grace time, then `doom`.
        """
        raise NotImplementedError

    def pin(self, pin: Pin, generation: int) -> None:
        """Keep a version.  Raises AlreadyExists for the name, NotFound for the version."""
        raise NotImplementedError

    def unpin(self, name: str, generation: int) -> None:
        """Let it go; nothing if there is none."""
        raise NotImplementedError

    def pins(self) -> list[Pin]:
        """Return all pins, by name."""
        raise NotImplementedError

    def doom(self, paths: Sequence[str], generation: int, now_ms: int) -> list[str]:
        """Mark paths that no stored manifest names, and return those marked (H21).

        A path is the exact text a manifest would have.  Raises LeaseLost.
        """
        raise NotImplementedError

    def doomed(self) -> list[Doomed]:
        """Return all doomed paths, oldest first."""
        raise NotImplementedError

    def undoom(self, paths: Iterable[str], generation: int) -> None:
        """Forget them: they were deleted."""
        raise NotImplementedError

    # ids -----------------------------------------------------------------------------------

    def allocate_ids(self, kind: str, count: int) -> range:
        """Return `count` ids never given before for that kind ("segment" …), from 1 on."""
        raise NotImplementedError

    # lease and log -------------------------------------------------------------------------

    def lease(self) -> LeaseRow:
        """Return the lease as it is now."""
        raise NotImplementedError

    def claim_generation(self, member_id: str, expected: LeaseRow, term_s: float) -> LeaseRow:
        """Become the writer if the lease is still exactly `expected`; return the row as claimed.

        A renewal since `expected` was read makes it fail: a holder that still renews counts on its
        full term.  Raises LeaseLost if the row has changed.
        """
        raise NotImplementedError

    def renew(self, generation: int, reserve_ts: int) -> None:
        """Count a renewal and raise the high-water mark to `reserve_ts`.  Raises LeaseLost."""
        raise NotImplementedError

    def release(self, generation: int) -> None:
        """Step down: anyone may claim at once.  Nothing if the lease is not ours any more."""
        raise NotImplementedError

    def set_seals(self, seals: Mapping[int, LogPosition], generation: int) -> None:
        """Store where older logs end, for ever; a stored seal never changes.

        Raises LeaseLost; AlreadyExists if a different seal is stored.
        """
        raise NotImplementedError

    def seals(self) -> dict[int, LogPosition]:
        """Return generation → where its log ends, by generation."""
        raise NotImplementedError

    def set_log_floor(self, floor: LogFloor, generation: int) -> None:
        """Say that everything before was collected; removes seals below.  Never goes back."""
        raise NotImplementedError

    def log_floor(self) -> LogFloor:
        """Return the first file of the log that was not collected."""
        raise NotImplementedError

    # members -------------------------------------------------------------------------------

    def register(self, member: Member) -> None:
        """Add or replace a member; its beats start at `member.beats`."""
        raise NotImplementedError

    def beat(self, member_id: str) -> bool:
        """Count a heartbeat; False if the member is not registered (any more)."""
        raise NotImplementedError

    def leave(self, member_id: str) -> None:
        """Remove a member, oneself or one found dead."""
        raise NotImplementedError

    def members(self) -> list[Member]:
        """Return all members, by id."""
        raise NotImplementedError
