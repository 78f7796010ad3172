"""A filter, compiled: which rows of a batch satisfy a Milvus expression.

    text ──parse──▶ syntax tree (cached) ──check──▶ plan, typed by the schema ──evaluate──▶ mask

Logic is three-valued: a null makes a comparison unknown, and an unknown row is not a hit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roost.vector.expr.check import check
from roost.vector.expr.evaluate import evaluate
from roost.vector.expr.parse import parse
from roost.vector.expr.plan import Always, Among, Column, Compare, Constant, Predicate, columns_of
from roost.vector.expr.prune import ColumnStatistics, may_match
from roost.vector.schema import CollectionSchema


class Filter:
    """A compiled filter; immutable, safe to share between threads."""

    def __init__(self, plan: Predicate, primary: str) -> None:
        self._plan = plan
        self._primary = primary
        self.fields: frozenset[str] = columns_of(plan)
        """Names of the columns that `mask` reads."""

    @property
    def always(self) -> bool | None:
        """True or False if the filter is so for every row whatever it holds, else None."""
        return self._plan.truth if isinstance(self._plan, Always) else None

    def mask(self, columns: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Return, for each row, whether the filter is true (null counts as no).

        `columns` has at least the columns of `fields`, as in `vector.columns`; others are not
        looked at.  Raises CorruptRecord for a JSON value that does not parse.
        """
        return evaluate(self._plan, columns)

    def may_match(self, statistics: Mapping[str, ColumnStatistics]) -> bool:
        """Return False only if no row within these bounds can match; unknown columns may."""
        return may_match(self._plan, statistics)

    def primary_keys(self) -> list[int] | list[str] | None:
        """Return the keys if the filter is exactly `pk in [...]` or `pk == x`, else None.

        Distinct, ascending.
        """
        match self._plan:
            case Compare(operator="==", left=Column(name=name), right=Constant(value=value)):
                keys: tuple[Any, ...] = (value,)
            case Among(value=Column(name=name), items=items):
                keys = items
            case _:
                return None
        return sorted(set(keys)) if name == self._primary else None


def compile_filter(
    text: str, schema: CollectionSchema, params: Mapping[str, Any] | None = None
) -> Filter:
    """Return the filter that `text` says, checked against `schema`; `""` is true for every row.

    `params` are the values of `{name}` templates: bool, int, float, str or lists of them.
    Raises FilterError (syntax, types, unknown names, missing templates), Unsupported for forms
    that Milvus has and Roost does not serve.
    """
    plan = check(text, parse(text), schema, params or {}) if text.strip() else Always(True)
    return Filter(plan, schema.primary.name)
