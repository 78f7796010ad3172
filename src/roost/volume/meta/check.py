"""The check of a volume's metadata: every rule that ties two records together.

Reads one snapshot and changes nothing.  Memory grows with the number of nodes and slices.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.reads import Scans
from roost.volume.meta.rules import is_trash
from roost.volume.meta.txn import Engine
from roost.volume.meta.usage import TOTAL_INODES, USED_SPACE, as_child, space_of
from roost.volume.model import (
    ROOT,
    TRASH,
    Attr,
    DirUsage,
    Edge,
    Ino,
    Kind,
    Problem,
    Slice,
    SliceId,
    SliceRef,
)

_DELAYED_BEFORE_S = 1 << 62
_DELETED_AT_ONCE = 1 << 40
_TOPS = (ROOT, TRASH)


@dataclass(slots=True)
class _Picture:
    """What was read, arranged for the checks."""

    nodes: dict[Ino, Attr] = field(default_factory=dict)
    edges: dict[Ino, list[tuple[Ino, bytes, Edge]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by the inode they point at
    children: dict[Ino, DirUsage] = field(default_factory=dict)
    subdirectories: Counter[Ino] = field(default_factory=Counter)
    kept: set[Ino] = field(default_factory=set)
    deleted: set[Ino] = field(default_factory=set)
    records: Counter[SliceId] = field(default_factory=Counter)
    sizes: dict[SliceId, int] = field(default_factory=dict)


def check(engine: Engine) -> tuple[Problem, ...]:
    """Return all problems found; those that are not fatal are statistics that drifted."""
    problems: list[Problem] = []
    with engine.scan() as scans:
        picture = _look(scans, problems)
        refs = {ref.id: ref for ref in scans.all_slice_refs()}
        usage = dict(scans.all_dir_usage())
        stored = {name: scans.counter(name) or 0 for name in (USED_SPACE, TOTAL_INODES)}
    _check_names(picture, problems)
    _check_reachable(picture, problems)
    _check_refs(picture, refs, problems)
    for ino, kept in usage.items():
        if kept != picture.children.get(ino, DirUsage()):
            problems.append(Problem(ino, "the directory's statistics have drifted", fatal=False))
    _check_counters(stored, picture, problems)
    return tuple(problems)


def _look(scans: Scans, problems: list[Problem]) -> _Picture:
    picture = _Picture(nodes=dict(scans.all_nodes()))
    for parent, name, edge in scans.all_edges():
        picture.edges[edge.ino].append((parent, name, edge))
        child = picture.nodes.get(edge.ino)
        if child is None:
            what = f"entry {name!r} names inode {edge.ino}, which does not exist"
            problems.append(Problem(parent, what))
            continue
        sum_, one = picture.children.get(parent, DirUsage()), as_child(child)
        picture.children[parent] = DirUsage(
            sum_.length + one.length, sum_.space_bytes + one.space_bytes, sum_.inodes + one.inodes
        )
        picture.subdirectories[parent] += child.is_directory
    picture.kept = {ino for _, ino in scans.all_sustained()}
    picture.deleted = {f.ino for f in scans.deleted_files(_DELAYED_BEFORE_S, _DELETED_AT_ONCE)}
    for chunk in scans.all_chunks():
        owner = picture.nodes.get(chunk.ino)
        if owner is None and chunk.ino not in picture.deleted:
            problems.append(Problem(chunk.ino, f"chunk {chunk.chunk_no} of no file"))
        elif owner is not None and not owner.is_file:
            problems.append(Problem(chunk.ino, "it has data but is no regular file"))
        for record in chunk.slices:
            _count_record(picture, chunk.ino, record, problems)
    for delayed in scans.delayed_slices(_DELAYED_BEFORE_S):
        for ref in delayed.slices:
            picture.records[ref.id] += 1
    return picture


def _count_record(picture: _Picture, ino: Ino, record: Slice, problems: list[Problem]) -> None:
    if record.end > CHUNK_BYTES:
        problems.append(Problem(ino, f"a record ends beyond its chunk: {record}"))
    if not record.id:
        return
    if record.offset + record.length > record.size:
        problems.append(Problem(ino, f"a record shows more than its slice has: {record}"))
    picture.records[record.id] += 1
    known = picture.sizes.setdefault(record.id, record.size)
    if known != record.size:
        problems.append(Problem(ino, f"slice {record.id} has sizes {known} and {record.size}"))


def _check_names(picture: _Picture, problems: list[Problem]) -> None:
    for ino, attr in picture.nodes.items():
        if ino in _TOPS:
            continue
        names = picture.edges.get(ino, [])
        if any(edge.kind is not attr.kind for _, _, edge in names):
            problems.append(Problem(ino, "an entry has another kind than the node"))
        if attr.is_directory:
            _check_directory(picture, ino, attr, len(names), problems)
            continue
        if attr.nlink != len(names):
            problems.append(Problem(ino, f"nlink is {attr.nlink}, names are {len(names)}"))
        if not names and ino not in picture.kept:
            problems.append(Problem(ino, "no name, and no session keeps it"))
        if attr.parent and names and {parent for parent, _, _ in names} != {attr.parent}:
            problems.append(Problem(ino, f"its parent is {attr.parent}, where it has no name"))
    _check_root(picture, problems)


def _check_directory(
    picture: _Picture, ino: Ino, attr: Attr, names: int, problems: list[Problem]
) -> None:
    if names != 1:
        problems.append(Problem(ino, f"a directory with {names} names"))
        return
    parent = picture.edges[ino][0][0]
    if attr.parent != parent:
        problems.append(Problem(ino, f"its parent is {attr.parent}, its name is in {parent}"))
    if not is_trash(ino):  # Hourly directories do not count what they hold.
        _check_nlink(picture, ino, attr, problems)


def _check_root(picture: _Picture, problems: list[Problem]) -> None:
    root = picture.nodes.get(ROOT)
    if root is None or root.kind is not Kind.DIRECTORY:
        problems.append(Problem(ROOT, "the root directory is missing"))
        return
    _check_nlink(picture, ROOT, root, problems)


def _check_nlink(picture: _Picture, ino: Ino, attr: Attr, problems: list[Problem]) -> None:
    wanted = 2 + picture.subdirectories[ino]
    if attr.nlink != wanted:
        problems.append(Problem(ino, f"nlink is {attr.nlink}, subdirectories make it {wanted}"))


def _check_reachable(picture: _Picture, problems: list[Problem]) -> None:
    """Find directories from which the parents do not lead to a top: loops and orphans."""
    good = set(_TOPS)
    for ino, attr in picture.nodes.items():
        if not attr.is_directory:
            continue
        path: list[Ino] = []
        here = ino
        while here not in good and here in picture.nodes and here not in path:
            path.append(here)
            here = picture.nodes[here].parent
        if here in good:
            good.update(path)
        else:
            problems.append(Problem(ino, "it cannot be reached from the root"))


def _check_refs(picture: _Picture, refs: dict[SliceId, SliceRef], problems: list[Problem]) -> None:
    for slice_id, count in picture.records.items():
        ref = refs.get(slice_id)
        if ref is None:
            problems.append(Problem(Ino(0), f"slice {slice_id} is used but not counted"))
        elif ref.refs != count:
            what = f"slice {slice_id} has {count} references but counts {ref.refs}"
            problems.append(Problem(Ino(0), what))
        elif picture.sizes.get(slice_id, ref.size) != ref.size:
            problems.append(Problem(Ino(0), f"slice {slice_id} is counted with another size"))
    for slice_id, ref in refs.items():
        if ref.refs > 0 and slice_id not in picture.records:
            problems.append(Problem(Ino(0), f"slice {slice_id} is counted but not used"))


def _check_counters(stored: dict[str, int], picture: _Picture, problems: list[Problem]) -> None:
    counted = [attr for ino, attr in picture.nodes.items() if ino not in _TOPS]
    wanted = {USED_SPACE: sum(space_of(attr) for attr in counted), TOTAL_INODES: len(counted)}
    for name, number in stored.items():
        if number != wanted[name]:
            what = f"counter {name} is {number}, the nodes make it {wanted[name]}"
            problems.append(Problem(Ino(0), what, fatal=False))
