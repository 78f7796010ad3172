"""Vector indexes: exact scan and HNSW, behind one protocol."""

from roost.vector.index.build import build_file, open_file
from roost.vector.index.builder import IndexBuilder
from roost.vector.index.exact import ExactSearcher
from roost.vector.index.searcher import Bitmap, Hits, Searcher
from roost.vector.index.spec import (
    IndexPlan,
    Metric,
    SearchOptions,
    check_search_params,
    check_spec,
    plan_of,
)

__all__ = [
    "Bitmap",
    "ExactSearcher",
    "Hits",
    "IndexBuilder",
    "IndexPlan",
    "Metric",
    "SearchOptions",
    "Searcher",
    "build_file",
    "check_search_params",
    "check_spec",
    "open_file",
    "plan_of",
]
