"""How fresh an answer must be: the two ways in which clients say it, to one `Freshness`."""

from typing import Any

from roost.vector.api import Consistency, Freshness

STRONG_TS = 0
EVENTUALLY_TS = 1
BOUNDED_TS = 2
"""Timestamps up to here are signs for a level; larger ones are real."""


def freshness_of(request: Any, default: Consistency, *, iterating: bool) -> Freshness:
    """Return the freshness that a search or query asks for.

    `default` is the collection's level, for clients that name none.  The pages of an iterator
    carry the first page's timestamp and are read exactly there.  A timestamp beside another
    level is the client's own last write: it is kept as a lower bound, so that a client sees
    what it wrote whatever the level.
    Source: milvus internal/proxy/task_search.go, how guarantee_timestamp is read.
    """
    stamp = request.guarantee_timestamp
    real = stamp if stamp > BOUNDED_TS else 0
    if iterating and real:
        return Freshness(level=Consistency.SESSION, at_least_ts=real, exactly_ts=real)
    return Freshness(level=_level(request, default, stamp), at_least_ts=real)


def _level(request: Any, default: Consistency, stamp: int) -> Consistency:
    if request.use_default_consistency:
        return default
    named = request.consistency_level
    if named in (Consistency.SESSION, Consistency.BOUNDED, Consistency.EVENTUALLY):
        return Consistency(named)
    # STRONG is also what clients leave unset that speak in timestamps only; 4 is "customized".
    if stamp == EVENTUALLY_TS:
        return Consistency.EVENTUALLY
    if stamp == BOUNDED_TS:
        return Consistency.BOUNDED
    return Consistency.STRONG if stamp == STRONG_TS else Consistency.SESSION
