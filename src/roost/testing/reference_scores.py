"""Scores of vectors, in double precision and in the plainest way."""

import numpy as np
import numpy.typing as npt

from roost.vector.api import SearchRequest

BEST_FIRST = {"L2": 1, "IP": -1, "COSINE": -1}
"""A score times this rises from best to worst."""


def scores_of(
    metric: str, query: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32]
) -> list[float]:
    """Return the score of each row of `vectors`, rounded to float32 as it is answered.

    L2 is the squared distance; COSINE of a vector of zeros is 0.
    """
    one, many = query.astype(np.float64), vectors.astype(np.float64)
    if metric == "L2":
        exact = ((many - one) ** 2).sum(axis=1)
    else:
        exact = many @ one
        if metric == "COSINE":
            lengths = np.linalg.norm(many, axis=1) * np.linalg.norm(one)
            exact = np.divide(exact, lengths, out=np.zeros_like(exact), where=lengths > 0)
    return [float(score) for score in exact.astype(np.float32)]


def within_range(metric: str, score: float, request: SearchRequest) -> bool:
    """Tell whether a range search wants that score; `radius` is exclusive, `range_filter` not."""
    sign = BEST_FIRST[metric]
    radius, near = request.params.get("radius"), request.params.get("range_filter")
    return (radius is None or sign * score < sign * radius) and (
        near is None or sign * near <= sign * score
    )
