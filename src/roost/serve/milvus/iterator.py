"""The search iterator, version 2: page after page of one search.

A page begins strictly beyond the score at which the last one ended (`last_bound`), so a page must
end where the score changes: rows of equal score are never torn apart, a page may be some rows
shorter or longer than asked.  The server keeps nothing between pages; the token only tells the
client that pages are served.
Source: pymilvus client/iterator/search_iterator.py, SearchIteratorV2.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roost.errors import InvalidArgument
from roost.serve.milvus.wire import params
from roost.serve.milvus.wire.search import cut, search_results
from roost.vector.api import CollectionInfo, SearchAnswer, SearchRequest, VectorService

K_MAX = 16_384
"""Rows that one search can give; a page is no longer."""

_FARTHEST = float(np.finfo(np.float32).max)
_GROWTH = 4
"""A page that ends within rows of equal score is asked again, this much longer."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a client says of the page it wants."""

    size: int
    token: str
    last_bound: float | None
    """Score of the last row of the page before; None for the first page."""


def page_of(sent: Mapping[str, str]) -> Page | None:
    """Return the page wanted, or None if the search is no iterator of version 2.

    Raises InvalidArgument: more than one query vector, or numbers that are none.
    """
    if not params.flag(sent, "search_iter_v2"):
        return None
    size = params.whole_number(sent, "search_iter_batch_size", 0)
    if not 1 <= size <= K_MAX:
        raise InvalidArgument(f"batch size is invalid, it should be in range [1, {K_MAX}]")
    bound = sent.get("search_iter_last_bound", "")
    try:
        last_bound = float(bound) if bound not in ("", "None") else None
    except ValueError:
        raise InvalidArgument(f"search_iter_last_bound [{bound}] is not a number") from None
    token = sent.get("search_iter_id", "")
    return Page(size, token or uuid.uuid4().hex, last_bound)


def next_page(
    service: VectorService,
    sent: Mapping[str, str],
    asked: SearchRequest,
    page: Page,
    info: CollectionInfo,
) -> Any:
    """Return the page as a SearchResults message.

    Raises InvalidArgument: an offset, several query vectors, or more than `K_MAX` rows of one
    score, which no page can hold whole.
    """
    if len(asked.queries) != 1:
        raise InvalidArgument("search iterator does not support more than one query vector")
    if asked.offset:
        raise InvalidArgument("search iterator does not support offset")
    ascending = _metric(asked, info) == "L2"
    if page.last_bound is not None:
        asked = replace(asked, params=_beyond(asked, page.last_bound, ascending))
    found = _whole_ties(service, asked, page.size)
    reply = search_results(sent, found, info)
    results = reply.results.search_iterator_v2_results
    results.token = page.token
    if len(found.scores):
        results.last_bound = float(found.scores[-1])
    elif page.last_bound is not None:
        results.last_bound = page.last_bound
    return reply


def _metric(asked: SearchRequest, info: CollectionInfo) -> str:
    """Return the metric searched with: the call's, or the index's."""
    if asked.metric:
        return asked.metric
    field = asked.vector_field or info.schema.vectors[0].name
    return next((spec.metric for spec in info.indexes if spec.field == field), "")


def _beyond(asked: SearchRequest, last_bound: float, ascending: bool) -> dict[str, Any]:
    """Return the search parameters with the near end of the range strictly beyond `last_bound`.

    `range_filter` is the near end and includes itself, hence the next float32.
    """
    away = np.float32(np.inf if ascending else -np.inf)
    near = float(np.nextafter(np.float32(last_bound), away))
    own = dict(asked.params)
    own.setdefault("radius", _FARTHEST if ascending else -_FARTHEST)
    own["range_filter"] = near
    return own


def _whole_ties(service: VectorService, asked: SearchRequest, size: int) -> SearchAnswer:
    """Return at least one row, about `size`, and every row of the last score or none of them."""
    want = min(size + 1, K_MAX)
    while True:
        found = service.search(replace(asked, k=want))
        if len(found.scores) < want:
            return found
        changes = np.flatnonzero(found.scores[1:] != found.scores[:-1]) + 1
        if len(changes):
            within = changes[changes <= size]
            return cut(found, int(within[-1] if len(within) else changes[0]))
        if want == K_MAX:
            raise InvalidArgument(
                f"search iterator: more than {K_MAX} rows have the score {found.scores[0]}"
            )
        want = min(want * _GROWTH, K_MAX)
