"""The two ways of saying how fresh an answer must be."""

import pytest
from pymilvus.grpc_gen import milvus_pb2

from roost.serve.milvus.wire.freshness import freshness_of
from roost.vector.api import Consistency

REAL = 471_000_000_000_000_000


@pytest.mark.parametrize(
    ("level", "stamp", "use_default", "expected", "at_least"),
    [
        (0, 0, True, Consistency.EVENTUALLY, 0),  # The collection's own level.
        (0, 1, True, Consistency.EVENTUALLY, 0),
        (0, REAL, True, Consistency.EVENTUALLY, REAL),
        (0, 0, False, Consistency.STRONG, 0),
        (1, REAL, False, Consistency.SESSION, REAL),
        (1, 1, False, Consistency.SESSION, 0),
        (2, 2, False, Consistency.BOUNDED, 0),
        (3, 1, False, Consistency.EVENTUALLY, 0),
        (0, 1, False, Consistency.EVENTUALLY, 0),  # Clients that speak in timestamps only.
        (0, 2, False, Consistency.BOUNDED, 0),
        (0, REAL, False, Consistency.SESSION, REAL),
        (4, REAL, False, Consistency.SESSION, REAL),
    ],
)
def test_levels_and_timestamps_mean_what_milvus_means(
    level: int, stamp: int, use_default: bool, expected: Consistency, at_least: int
) -> None:
    request = milvus_pb2.SearchRequest(
        consistency_level=level, guarantee_timestamp=stamp, use_default_consistency=use_default
    )
    freshness = freshness_of(request, Consistency.EVENTUALLY, iterating=False)
    assert freshness.level is expected
    assert freshness.at_least_ts == at_least
    assert freshness.exactly_ts is None


def test_pages_of_an_iterator_are_read_at_the_first_ones_timestamp() -> None:
    first = milvus_pb2.QueryRequest(use_default_consistency=True)
    assert freshness_of(first, Consistency.STRONG, iterating=True).exactly_ts is None
    later = milvus_pb2.QueryRequest(use_default_consistency=True, guarantee_timestamp=REAL)
    assert freshness_of(later, Consistency.STRONG, iterating=True).exactly_ts == REAL
