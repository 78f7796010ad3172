"""Inner questions, prepared: filters compiled once, options read, the declared index found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from roost.vector.api import CollectionInfo, IndexSpec
from roost.vector.collection.parts import QueryPart, SearchPart
from roost.vector.columns import arrow_type
from roost.vector.expr import compile_filter
from roost.vector.index import check_search_params, plan_of
from roost.vector.schema import Field
from roost.vector.segment.masks import BoundedCache, NamedFilter, filter_key
from roost.vector.segment.search import Question

FILTERS_MAX = 64
"""Compiled filters remembered for a collection."""
SCAN_TYPE = "FLAT"


@dataclass(frozen=True, slots=True)
class PreparedSearch:
    """A search, ready for every segment."""

    question: Question
    filter: NamedFilter | None


class Questions:
    """Prepares questions about one collection as it was told to be.  Thread-safe."""

    def __init__(self, info: CollectionInfo) -> None:
        self._info = info
        self._filters: BoundedCache[str, NamedFilter] = BoundedCache(FILTERS_MAX)

    def search(self, part: SearchPart) -> PreparedSearch:
        """Prepare a search.  Raises FilterError, IndexParameterError."""
        field = next(f for f in self._info.schema.fields if f.id == part.field_id)
        spec = spec_of(self._info, field, part.metric)
        options = check_search_params(spec, part.params, part.k, part.metric)
        queries = np.ascontiguousarray(part.queries, dtype=np.float32)
        question = Question(queries, part.k, field.id, spec, plan_of(spec), options)
        return PreparedSearch(question, self._named(part.filter, part.filter_params))

    def query(self, part: QueryPart) -> tuple[NamedFilter | None, pa.Array | None]:
        """Return the filter and the primary keys a query is limited to.  Raises FilterError."""
        named = self._named(part.filter, part.filter_params)
        keys = part.ids
        if keys is None and named is not None:
            listed = named.compiled.primary_keys()
            if listed is not None:
                keys = pa.array(listed, arrow_type(self._info.schema.primary))
        return named, keys

    def _named(self, text: str, params: Mapping[str, Any]) -> NamedFilter | None:
        if not text.strip():
            return None
        key = filter_key(text, params)
        return self._filters.get(
            key, lambda: NamedFilter(key, compile_filter(text, self._info.schema, params))
        )


def spec_of(info: CollectionInfo, field: Field, metric: str) -> IndexSpec:
    """Return the index declared for a vector field, else a scan with `metric`."""
    for spec in info.indexes:
        if spec.field == field.name:
            return spec
    return IndexSpec(field.name, "", SCAN_TYPE, metric or "COSINE")
