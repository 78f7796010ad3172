"""Whether quotas count what is there: a part of the check of a volume's metadata."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from roost.errors import CorruptRecord
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.rules import is_trash
from roost.volume.meta.usage import as_child, space_of, total
from roost.volume.model import ROOT, TRASH, Attr, DirUsage, Ino, Problem, Quota, QuotaKind

_OWNERS = (QuotaKind.USER, QuotaKind.GROUP)


def check_quotas(volume: OpenVolume) -> tuple[Problem, ...]:
    """Return the quotas that drifted, of one snapshot.

    What they should count is not known while a record does not parse, which is then the problem.
    Memory grows with the number of nodes, on a volume that has quotas.
    """
    try:
        return _drifted(volume)
    except CorruptRecord as error:
        return (Problem(Ino(0), f"quotas cannot be compared: {error}"),)


def _drifted(volume: OpenVolume) -> tuple[Problem, ...]:
    counts_owners = volume.settings.user_group_quota
    with volume.engine.scan() as scans:
        quotas = list(scans.quotas())
        if not quotas and not counts_owners:
            return ()
        nodes = dict(scans.all_nodes())
        detached = {node.ino for node in scans.detached_nodes()}
        children: dict[Ino, DirUsage] = {}
        for parent, _, edge in scans.all_edges():
            if edge.ino in nodes:
                known = children.get(parent, DirUsage())
                children[parent] = total((known, as_child(nodes[edge.ino])))
    return tuple(quota_drift(quotas, nodes, children, detached, counts_owners=counts_owners))


def quota_drift(
    stored: list[tuple[QuotaKind, int, Quota]],
    nodes: Mapping[Ino, Attr],
    children: Mapping[Ino, DirUsage],
    detached: set[Ino],
    *,
    counts_owners: bool,
) -> Iterator[Problem]:
    """Yield the quotas that drifted; `children` is what each directory holds directly."""
    quotas = {(kind, key): quota for kind, key, quota in stored}
    wanted = _directories(quotas, nodes, children, detached)
    if counts_owners:
        wanted |= _owners(quotas, nodes)
    for (kind, key), (space_bytes, inodes) in sorted(wanted.items()):
        quota = quotas.get((kind, key), Quota())
        if (quota.used_space_bytes, quota.used_inodes) != (space_bytes, inodes):
            what = (
                f"the quota of {kind.name.lower()} {key} counts {quota.used_space_bytes} bytes and "
                f"{quota.used_inodes} inodes; there are {space_bytes} and {inodes}"
            )
            yield Problem(Ino(key if kind is QuotaKind.DIRECTORY else 0), what, fatal=False)


_Counted = dict[tuple[QuotaKind, int], tuple[int, int]]


def _directories(
    quotas: Mapping[tuple[QuotaKind, int], Quota],
    nodes: Mapping[Ino, Attr],
    children: Mapping[Ino, DirUsage],
    detached: set[Ino],
) -> _Counted:
    limited = {Ino(key) for kind, key in quotas if kind is QuotaKind.DIRECTORY}
    sums = {ino: [0, 0] for ino in limited}
    for ino, own in children.items() if limited else ():
        for above in _ancestors(ino, nodes, detached):
            if above in sums:
                sums[above][0] += own.space_bytes
                sums[above][1] += own.inodes
    return {(QuotaKind.DIRECTORY, ino): (sums[ino][0], sums[ino][1]) for ino in limited}


def _ancestors(ino: Ino, nodes: Mapping[Ino, Attr], detached: set[Ino]) -> list[Ino]:
    """Return the directory and those above it; none for what lies outside the tree."""
    path: list[Ino] = []
    here = ino
    while here in nodes and here not in path and here not in detached and not is_trash(here):
        path.append(here)
        if here == ROOT:
            return path
        here = nodes[here].parent
    return []


def _owners(quotas: Mapping[tuple[QuotaKind, int], Quota], nodes: Mapping[Ino, Attr]) -> _Counted:
    # One that owns nothing must count nothing.
    known = {key: [0, 0] for key in quotas if key[0] in _OWNERS}
    sums = defaultdict[tuple[QuotaKind, int], list[int]](lambda: [0, 0], known)
    for ino, attr in nodes.items():
        if ino in (ROOT, TRASH):
            continue
        for key in ((QuotaKind.USER, attr.uid), (QuotaKind.GROUP, attr.gid)):
            sums[key][0] += space_of(attr)
            sums[key][1] += 1
    return {key: (space_bytes, inodes) for key, (space_bytes, inodes) in sums.items()}
