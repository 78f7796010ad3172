"""Which segments cannot hold a match, from the bounds of their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.vector.expr.fold import ORDERS
from roost.vector.expr.plan import (
    Always,
    Among,
    Column,
    Compare,
    Constant,
    Either,
    Every,
    IsNull,
    Match,
    Opposite,
    Predicate,
)


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Bounds of one scalar column of one segment.

    `min` and `max` are Python values over the rows that are not null (and not NaN); None means
    unknown and prunes nothing.
    """

    min: bool | int | float | str | None
    max: bool | int | float | str | None
    null_count: int


def may_match(plan: Predicate, statistics: Mapping[str, ColumnStatistics]) -> bool:
    """Return False only if `plan` is true for no row within these bounds."""
    match plan:
        case Always(truth=truth):
            return truth
        case Every(parts=parts):
            return all(may_match(part, statistics) for part in parts)
        case Either(parts=parts):
            return any(may_match(part, statistics) for part in parts)
        case IsNull(value=Column(name=name)) if name in statistics:
            return statistics[name].null_count > 0
        case Compare(operator=operator, left=Column(name=name), right=Constant(value=value)):
            return _may_compare(operator, statistics.get(name), value)
        case Among(value=Column(name=name), items=items):
            bounds = statistics.get(name)
            return any(_may_compare("==", bounds, item) for item in items)
        case Match(value=Column(name=name), how="equal", pattern=pattern):
            return _may_compare("==", statistics.get(name), pattern)
        case Match(value=Column(name=name), how="prefix", pattern=pattern):
            return _may_start(statistics.get(name), pattern)
        case Opposite():  # bounds of a part say nothing about its opposite
            return True
    return True


def _may_compare(operator: str, bounds: ColumnStatistics | None, value: Any) -> bool:
    if bounds is None or bounds.min is None or bounds.max is None:
        return True
    match operator:
        case "==":
            return bool(bounds.min <= value <= bounds.max)
        case "<" | "<=":
            return ORDERS[operator](bounds.min, value)
        case ">" | ">=":
            return ORDERS[operator](bounds.max, value)
    return True  # != could be pruned only where both bounds equal the value and no row is NaN


def _may_start(bounds: ColumnStatistics | None, prefix: str) -> bool:
    if bounds is None or not isinstance(bounds.min, str) or not isinstance(bounds.max, str):
        return True
    return bounds.min[: len(prefix)] <= prefix <= bounds.max
