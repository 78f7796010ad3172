"""A filter, compiled: which rows of a batch satisfy a Milvus expression.

    text ──parse──▶ syntax tree (cached) ──check──▶ plan, typed against the schema ──evaluate──▶ mask

Logic is three-valued: a null makes a comparison unknown, and an unknown row is not a hit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.schema import CollectionSchema


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Bounds of one scalar column of one segment.

    `min` and `max` are Python values over the rows that are not null (and not NaN); None means
    unknown and prunes nothing.
    """

    min: bool | int | float | str | None
    max: bool | int | float | str | None
    null_count: int


class Filter:
    """A compiled filter; immutable, safe to share between threads."""

    fields: frozenset[str]
    """Names of the columns that `mask` reads."""

    def mask(self, columns: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Return, for each row, whether the filter is true (null counts as no).

        `columns` has at least the columns of `fields`, as in `vector.columns`; others are not
        looked at.  Raises CorruptRecord for a JSON value that does not parse.
        """
        raise NotImplementedError

    def may_match(self, statistics: Mapping[str, ColumnStatistics]) -> bool:
        """Return False only if no row within these bounds can match; unknown columns may."""
        raise NotImplementedError

    def primary_keys(self) -> list[int] | list[str] | None:
        """Return the keys if the filter is exactly `pk in [...]` or `pk == x`, else None.

        Distinct, ascending.
        """
        raise NotImplementedError


def compile_filter(
    text: str, schema: CollectionSchema, params: Mapping[str, Any] | None = None
) -> Filter:
    """Return the filter that `text` says, checked against `schema`; `""` is true for every row.

    `params` are the values of `{name}` templates: bool, int, float, str or lists of them.
    Raises FilterError (syntax, types, unknown names, missing templates), Unsupported for forms
    that Milvus has and Roost does not serve.
    """
    raise NotImplementedError
