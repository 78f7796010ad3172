"""Making plan nodes: constants are computed once, comparisons brought to one form.

After this, a comparison has its constant on the right and of the very type of its column, so that
evaluating needs no rules about types.  ValueError says why operands do not go together.
"""

import math
import operator as python
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from roost.vector.expr.plan import (
    Always,
    Among,
    Arithmetic,
    Column,
    Compare,
    Constant,
    Either,
    Every,
    Item,
    Kind,
    Opposite,
    Predicate,
    Same,
    Value,
)
from roost.vector.schema import DataType

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": python.eq,
    "!=": python.ne,
    "<": python.lt,
    "<=": python.le,
    ">": python.gt,
    ">=": python.ge,
}
_BITWISE = {"&": python.and_, "|": python.or_, "^": python.xor}


def constant(value: Item) -> Constant:
    """Return `value` with its kind."""
    kinds = {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, str: Kind.STRING, tuple: Kind.LIST}
    return Constant(value, kinds[type(value)])


def unfit(value: object) -> str:
    """Return why a constant cannot be used, "" if it can."""
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return f"the integer {value} does not fit 64 bits"
    if isinstance(value, float) and math.isnan(value):
        return "not a number"
    return ""


def bad_regex(pattern: str) -> str:
    """Return why RE2 does not take `pattern`, "" if it does."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return f"bad regular expression: {error}"
    return ""


# Logic.


def opposite(part: Predicate) -> Predicate:
    """Return not `part`."""
    match part:
        case Always(truth=truth):
            return Always(not truth)
        case Opposite(part=inner):
            return inner
    return Opposite(part)


def every(parts: tuple[Predicate, ...]) -> Predicate:
    """Return the and of `parts`, flat."""
    flat: list[Predicate] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Every) else (part,))
    if Always(False) in flat:
        return Always(False)
    kept = tuple(part for part in flat if part != Always(True))
    if len(kept) <= 1:
        return kept[0] if kept else Always(True)
    return Every(kept)


def either(parts: tuple[Predicate, ...]) -> Predicate:
    """Return the or of `parts`, flat."""
    flat: list[Predicate] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Either) else (part,))
    if Always(True) in flat:
        return Always(True)
    kept = tuple(part for part in flat if part != Always(False))
    if len(kept) <= 1:
        return kept[0] if kept else Always(False)
    return Either(kept)


def same(left: Predicate, right: Predicate) -> Predicate:
    """Return whether two conditions agree; unknown if either is."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Always):
            return other if one.truth else opposite(other)
    return Same(left, right)


# Arithmetic.


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """Return `left operator right`, computed if both are constants."""
    for side in (left, right):
        if not side.kind.is_number and side.kind is not Kind.JSON:
            raise ValueError(f"{operator} needs numbers, not {side.kind.value}")
    if isinstance(left, Constant) and isinstance(right, Constant):
        return _computed(operator, left.value, right.value)
    if operator == "**":
        raise ValueError("** is for constants only")
    if operator in ("%", "&", "|", "^") and Kind.FLOAT in (left.kind, right.kind):
        raise ValueError(f"{operator} needs integers")
    if operator in ("/", "%") and isinstance(right, Constant) and right.value == 0:
        raise ValueError("division by zero")
    kinds = {left.kind, right.kind}
    if Kind.JSON in kinds:
        return Arithmetic(operator, left, right, Kind.JSON)
    return Arithmetic(operator, left, right, Kind.FLOAT if Kind.FLOAT in kinds else Kind.INT)


def _computed(operator: str, left: Item, right: Item) -> Constant:
    assert isinstance(left, int | float)
    assert isinstance(right, int | float)
    if operator == "**":
        try:
            return constant(math.pow(left, right))
        except (OverflowError, ValueError) as error:
            raise ValueError(f"{left} ** {right}: {error}") from None
    if operator in ("/", "%") and right == 0:
        raise ValueError("division by zero")
    value: int | float
    if isinstance(left, int) and isinstance(right, int):
        value = _integer(operator, left, right)
    elif operator == "%" or operator in _BITWISE:
        raise ValueError(f"{operator} needs integers")
    else:
        table = {"+": python.add, "-": python.sub, "*": python.mul, "/": python.truediv}
        value = table[operator](left, right)
    why = unfit(value)
    if why:
        raise ValueError(why)
    return constant(value)


def _integer(operator: str, left: int, right: int) -> int:
    if operator in _BITWISE:
        return int(_BITWISE[operator](left, right))
    if operator in ("/", "%"):
        quotient = abs(left) // abs(right)
        if (left < 0) != (right < 0):
            quotient = -quotient
        return quotient if operator == "/" else left - quotient * right
    return int({"+": python.add, "-": python.sub, "*": python.mul}[operator](left, right))


# Comparison.


def comparison(operator: str, left: Value, right: Value) -> Predicate:
    """Return the comparison with its constant, if any, on the right and of the left's type."""
    if isinstance(left, Constant) and not isinstance(right, Constant):
        return comparison(_FLIPPED[operator], right, left)
    if Kind.JSON in (left.kind, right.kind):
        if operator not in ("==", "!=") and Kind.LIST in (left.kind, right.kind):
            raise ValueError(f"{operator} does not compare lists")
        return Compare(operator, left, right)
    numbers = left.kind.is_number and right.kind.is_number
    if not numbers and (left.kind is not right.kind or left.kind is Kind.LIST):
        raise ValueError(f"{left.kind.value} is compared with {right.kind.value}")
    if not isinstance(right, Constant):
        return Compare(operator, left, right)
    if isinstance(left, Constant):
        return Always(ORDERS[operator](left.value, right.value))
    if left.kind is Kind.INT:
        return Compare(*_integer_bound(operator, left, right.value))
    if left.kind is Kind.FLOAT:
        assert isinstance(right.value, int | float)
        return Compare(operator, left, Constant(_as_stored(left, right.value), Kind.FLOAT))
    return Compare(operator, left, right)


def _integer_bound(operator: str, left: Value, bound: Item) -> tuple[str, Value, Constant]:
    """Compare integers with a number that may lie between integers, or beyond them."""
    never = ("<", left, Constant(INT64_MIN, Kind.INT))
    always = (">=", left, Constant(INT64_MIN, Kind.INT))
    assert isinstance(bound, int | float)
    if isinstance(bound, int):
        return operator, left, Constant(bound, Kind.INT)
    if bound > INT64_MAX:
        return always if operator in ("<", "<=", "!=") else never
    if bound < INT64_MIN:
        return always if operator in (">", ">=", "!=") else never
    if bound.is_integer():
        return operator, left, Constant(int(bound), Kind.INT)
    if operator in ("==", "!="):
        return never if operator == "==" else always
    below = math.floor(bound)
    return "<=" if operator in ("<", "<=") else ">", left, Constant(below, Kind.INT)


def _as_stored(value: Value, number: int | float) -> float:
    """Return the constant as the column would hold it: 0.1 equals a FLOAT that was sent as 0.1."""
    if isinstance(value, Column) and value.dtype is DataType.FLOAT:
        with np.errstate(over="ignore"):
            return float(np.float32(number))
    return float(number)


def among(value: Value, items: tuple[Item, ...]) -> Predicate:
    """Return whether `value` is one of `items`."""
    if isinstance(value, Constant):
        return Always(any(_equal(value.value, item) for item in items))
    match value.kind:
        case Kind.JSON:
            return Among(value, items)
        case Kind.STRING:
            _all_of(items, str)
            return Among(value, items)
        case Kind.BOOL:
            _all_of(items, bool)
            return Among(value, items)
        case Kind.INT:
            _all_of(items, (int, float))
            return Among(value, tuple(int(item) for item in _whole(items)))
        case Kind.FLOAT:
            _all_of(items, (int, float))
            numbers = (item for item in items if isinstance(item, int | float))
            return Among(value, tuple(_as_stored(value, item) for item in numbers))
    raise ValueError(f"{value.kind.value} in a list")


def _equal(left: Item, right: Item) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _all_of(items: tuple[Item, ...], types: type | tuple[type, ...]) -> None:
    wants_bool = types is bool
    for item in items:
        if not isinstance(item, types) or isinstance(item, bool) != wants_bool:
            raise ValueError(f"{item!r} does not fit the field's type")


def _whole(items: tuple[Item, ...]) -> list[int | float]:
    numbers = [item for item in items if isinstance(item, int | float)]
    return [n for n in numbers if isinstance(n, int) or n.is_integer()]
