"""Which readers keep which segments open.  Pure: every member computes it alone and agrees.

Rendezvous hashing with bounded loads: each segment ranks the readers by a hash of both, and its
owners are the first `replicas` of them that are not full.  A reader is full when its rows would
exceed `LOAD_FACTOR` times the mean (or the largest segment, if that is more), so no reader drowns
by bad luck; a reader that comes or goes moves about its own share and little else.

Source: Thaler and Ravishankar 1998 (highest random weight); Mirrokni et al. 2018 (bounded loads).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

LOAD_FACTOR = 1.25
"""How much of the mean load one reader may carry."""


def preference(
    rows: Mapping[int, int], readers: Iterable[str], replicas: int = 1
) -> dict[int, tuple[str, ...]]:
    """Return, for each segment, all readers in the order in which to ask them.

    The first `replicas` are its owners, which keep it open; the others stand in when those fail.
    `rows` maps segment ids to their weight.  The answer depends on nothing but the arguments, and
    not on their order.  Empty tuples when there are no readers.
    """
    names = sorted(set(readers))
    if not names:
        return dict.fromkeys(rows, ())
    copies = min(replicas, len(names))
    # An empty segment still costs something to keep open.
    weights = {segment: max(1, weight) for segment, weight in rows.items()}
    mean = sum(weights.values()) * copies / len(names)
    capacity = max(LOAD_FACTOR * mean, max(weights.values(), default=0))
    load = dict.fromkeys(names, 0)
    chosen: dict[int, tuple[str, ...]] = {}
    # The largest first: small segments fill the gaps they leave.
    for segment in sorted(weights, key=lambda s: (-weights[s], s)):
        ranked = ranking(segment, names)
        owners = _owners(ranked, weights[segment], load, capacity, copies)
        for owner in owners:
            load[owner] += weights[segment]
        chosen[segment] = (*owners, *(name for name in ranked if name not in owners))
    return chosen


def owned(
    rows: Mapping[int, int], readers: Iterable[str], replicas: int, me: str
) -> frozenset[int]:
    """Return the segments of which reader `me` is an owner."""
    order = preference(rows, readers, replicas)
    return frozenset(segment for segment, names in order.items() if me in names[:replicas])


def ranking(segment: int, readers: Sequence[str]) -> list[str]:
    """Return the readers by falling hash of (segment, reader)."""
    return sorted(readers, key=lambda name: _weight(segment, name), reverse=True)


def _owners(
    ranked: Sequence[str], weight: int, load: Mapping[str, int], capacity: float, copies: int
) -> list[str]:
    owners = [name for name in ranked if load[name] + weight <= capacity][:copies]
    if len(owners) < copies:  # Nobody has room for it whole: the emptiest take it.
        rest = (name for name in ranked if name not in owners)
        owners += sorted(rest, key=lambda name: load[name])[: copies - len(owners)]
    return owners


def _weight(segment: int, reader: str) -> bytes:
    return hashlib.blake2b(f"{segment}\0{reader}".encode(), digest_size=8).digest()
