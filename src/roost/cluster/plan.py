"""Which reader answers for which segment of which version.  Pure: states of readers come in.

A version is chosen for the whole query, so that every part is evaluated at the same one (hazard
H7): the newest that an owner of each of its segments has open; while members change, the newest
that anybody holds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from roost.cluster import assign
from roost.errors import Unavailable
from roost.vector.collection.parts import GROWING
from roost.vector.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ReaderView:
    """A living reader as a router sees it."""

    name: str
    held: Mapping[int, Mapping[int, bool]]
    """Collection id → version → warm."""
    visible_ts: int


Groups = Mapping[str, tuple[int, ...]]
"""Reader → the segments it is asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of one collection and, for each segment, whom to ask, in order."""

    manifest: Manifest
    order: Mapping[int, tuple[str, ...]]
    """Segment id (or GROWING) → living readers; those that need not open anything come first."""
    equals: Mapping[int, int]
    """Segment id → how many at the head of `order` are equally good; they take turns."""
    local: str = ""
    _groups: dict[tuple[int, tuple[int, ...]], Groups] = field(default_factory=dict)

    @property
    def readable_from(self) -> int:
        """Reads at an earlier timestamp need an older version: compaction dropped rows since."""
        return readable_from(self.manifest)

    def groups(self, turn: int, partition_ids: tuple[int, ...] = ()) -> Groups:
        """Return the first choice of whom to ask, for the segments of those partitions (or all)."""
        key = (turn % max(self.equals.values(), default=1), partition_ids)
        found = self._groups.get(key)
        if found is None:
            found = self.regroup(self.segments(partition_ids), key[0])
            if len(self._groups) < GROUPS_KEPT:
                self._groups[key] = found
        return found

    def segments(self, partition_ids: Collection[int]) -> list[int]:
        """Return the segments, GROWING too, that may have rows of those partitions."""
        entries = self.manifest.segments
        sealed = [e.id for e in entries if not partition_ids or e.partition_id in partition_ids]
        return [GROWING, *sealed]

    def regroup(
        self, segments: Iterable[int], turn: int = 0, without: Collection[str] = ()
    ) -> Groups:
        """Return whom to ask for `segments`, none of `without`.

        Raises Unavailable when nobody is left for one of them.
        """
        chosen: dict[str, list[int]] = {}
        for segment in segments:
            chosen.setdefault(self._choose(segment, turn, without), []).append(segment)
        return {name: tuple(ids) for name, ids in chosen.items()}

    def _choose(self, segment: int, turn: int, without: Collection[str]) -> str:
        order = self.order[segment]
        equals = self.equals[segment]
        if self.local in order[:equals] and self.local not in without:
            return self.local
        at = turn % equals if equals else 0
        for name in (*order[at:equals], *order[:at], *order[equals:]):
            if name not in without:
                return name
        raise Unavailable(f"no reader is left for segment {segment}")


def readable_from(manifest: Manifest) -> int:
    """Return the earliest instant at which that version has every row."""
    return max((entry.oldest_read_ts for entry in manifest.segments), default=0)


GROUPS_KEPT = 64
"""Groupings remembered by one plan."""


def choose(
    collection_id: int,
    readers: Sequence[ReaderView],
    manifest_of: Callable[[int], Manifest],
    replicas: int,
    local: str = "",
    exactly_ts: int | None = None,
) -> Plan | None:
    """Return the plan for the newest version that can be answered; None if there is none now.

    `local` is the reader of this process, asked first wherever it is as good as others.
    With `exactly_ts`, versions that lack rows of that time are passed over.
    """
    held = {view.name: view.held.get(collection_id, {}) for view in readers}
    versions = sorted({v for versions in held.values() for v in versions}, reverse=True)
    plans = []
    for version in versions:
        manifest = manifest_of(version)
        if exactly_ts is not None and exactly_ts < readable_from(manifest):
            continue
        plan = _plan(manifest, held, replicas, local)
        if all(plan.equals[segment] for segment in plan.order):
            return plan
        plans.append(plan)
    return next((plan for plan in plans if all(plan.order.values())), None)


def _plan(
    manifest: Manifest, held: Mapping[str, Mapping[int, bool]], replicas: int, local: str
) -> Plan:
    version = manifest.version
    holders = [name for name in sorted(held) if version in held[name]]
    warm = {name for name in holders if held[name][version]}
    rows = {entry.id: entry.rows for entry in manifest.segments}
    order: dict[int, tuple[str, ...]] = {}
    equals: dict[int, int] = {}
    for segment, names in assign.preference(rows, held, replicas).items():
        owners = [name for name in names[:replicas] if name in warm]
        others = [name for name in names if name in holders and name not in owners]
        # An owner that is not warm would have to open it; who owned it before has it open.
        others.sort(key=lambda name: name not in warm)
        order[segment] = (*owners, *others)
        equals[segment] = len(owners)
    # Growing rows are everywhere; spread collections over readers.
    order[GROWING] = tuple(assign.ranking(manifest.collection_id, holders))
    equals[GROWING] = len(holders)
    return Plan(manifest, order, equals, local)
