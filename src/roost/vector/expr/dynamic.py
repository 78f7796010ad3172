"""Values whose type is decided row by row: what a path finds in JSON documents.

Each row is decoded at most once per evaluation, and only if its answer is still open.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from roost.errors import CorruptRecord
from roost.vector.expr import kernels
from roost.vector.expr.kernels import Floats, Integers, Mask
from roost.vector.expr.plan import Item

Rows = npt.NDArray[np.int64]


class _Missing:
    """There is no such key."""


MISSING = _Missing()
_UNREAD = _Missing()

NOTHING, BOOL, INT, FLOAT, STRING, LIST, OBJECT = range(7)
"""Kinds of values; NOTHING is a missing key or JSON's null."""
_KIND_OF: dict[type, int] = {
    _Missing: NOTHING,
    type(None): NOTHING,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: STRING,
    list: LIST,
    tuple: LIST,
    dict: OBJECT,
}


class Documents:
    """The decoded documents of one JSON column, read when asked for."""

    def __init__(self, name: str, column: pa.Array) -> None:
        self._name = name
        self._column = column
        self._decoded: list[Any] = [_UNREAD] * len(column)

    def at(self, rows: Rows) -> list[Any]:
        """Return the documents of these rows, none of which may be null."""
        decoded = self._decoded
        unread = [row for row in rows.tolist() if decoded[row] is _UNREAD]
        if unread:
            texts = self._column.take(pa.array(unread, pa.int64())).to_pylist()
            for row, text in zip(unread, texts, strict=True):
                try:
                    decoded[row] = orjson.loads(text)
                except orjson.JSONDecodeError:
                    decoded[row] = self._lenient(row, text)
        if len(rows) == len(decoded):
            return decoded
        return [decoded[row] for row in rows.tolist()]

    def _lenient(self, row: int, text: bytes) -> Any:
        # The standard library also takes NaN and lone surrogates, which older clients may send.
        try:
            return json.loads(text)
        except ValueError as error:
            raise CorruptRecord(f"column {self._name}, row {row}", f"not JSON: {error}") from None


def follow(documents: list[Any], keys: tuple[str | int, ...]) -> list[Any]:
    """Return what the path finds in each document, MISSING where it leads nowhere."""
    for key in keys:
        if isinstance(key, str):
            documents = [d.get(key, MISSING) if type(d) is dict else MISSING for d in documents]
        else:
            documents = [_element(d, key) for d in documents]
    return documents


def _element(document: Any, position: int) -> Any:
    if type(document) is list and position < len(document):
        return document[position]
    if type(document) is dict:
        return document.get(str(position), MISSING)
    return MISSING


@dataclass(slots=True)
class Values:
    """A column of mixed types: for each row its kind, and its value in the list of that kind."""

    kinds: npt.NDArray[np.uint8]
    integers: Integers
    floats: Floats
    """Also the integers, rounded."""
    objects: npt.NDArray[np.object_]
    """Booleans, strings, lists; None elsewhere."""

    @staticmethod
    def of(raw: list[Any]) -> "Values":
        """Sort Python values by kind."""
        count = len(raw)
        kinds = np.fromiter(map(_KIND_OF.__getitem__, map(type, raw)), np.uint8, count)
        values = Values.nothing(count)
        values.kinds = kinds
        is_int = kinds == INT
        try:
            values.integers[is_int] = np.fromiter(compress(raw, is_int), np.int64)
        except OverflowError:  # beyond 64 bits: as near as a float comes
            raw = [float(v) if type(v) is int and not -(1 << 63) <= v < 1 << 63 else v for v in raw]
            return Values.of(raw)
        values.floats[is_int] = values.integers[is_int]
        is_float = kinds == FLOAT
        values.floats[is_float] = np.fromiter(compress(raw, is_float), np.float64)
        for row in np.flatnonzero(np.isin(kinds, (BOOL, STRING, LIST))).tolist():
            values.objects[row] = raw[row]  # one by one: numpy would unpack a list
        return values

    @staticmethod
    def nothing(count: int) -> "Values":
        """Return `count` rows without a value."""
        return Values(
            np.zeros(count, np.uint8),
            np.zeros(count, np.int64),
            np.zeros(count, np.float64),
            np.empty(count, np.object_),
        )

    @staticmethod
    def constant(value: Item, count: int) -> "Values":
        """Return `value` for every row."""
        one = Values.of([value])
        return Values(
            np.repeat(one.kinds, count),
            np.repeat(one.integers, count),
            np.repeat(one.floats, count),
            np.repeat(one.objects, count),
        )

    @staticmethod
    def of_integers(integers: Integers) -> "Values":
        """Return a column of integers."""
        values = Values.nothing(len(integers))
        values.kinds[:] = INT
        values.integers = integers
        values.floats = integers.astype(np.float64)
        return values

    @staticmethod
    def of_floats(floats: Floats) -> "Values":
        """Return a column of floats."""
        values = Values.nothing(len(floats))
        values.kinds[:] = FLOAT
        values.floats = floats
        return values

    def to_list(self) -> list[Any]:
        """Return the values as Python's, None where there is none; objects are dropped."""
        mixed = self.objects.copy()
        for kind, numbers in ((INT, self.integers), (FLOAT, self.floats)):
            rows = self.kinds == kind
            mixed[rows] = numbers[rows].tolist()
        values: list[Any] = mixed.tolist()
        return values

    @property
    def is_number(self) -> Mask:
        """Where the value is an integer or float."""
        numbers: Mask = (self.kinds == INT) | (self.kinds == FLOAT)
        return numbers


def arithmetic(operator: str, left: Values, right: Values) -> Values:
    """Return the results; rows that are not both numbers have none."""
    both = (left.kinds == INT) & (right.kinds == INT)
    integers, fine = kernels.integer_arithmetic(operator, left.integers, right.integers)
    whole = both & fine
    floats, fine = kernels.float_arithmetic(operator, left.floats, right.floats)
    real = left.is_number & right.is_number & ~both & fine
    values = Values.nothing(len(both))
    values.kinds[whole] = INT
    values.kinds[real] = FLOAT
    values.integers = integers
    values.floats = np.where(real, floats, integers.astype(np.float64))
    return values


def compare(operator: str, left: Values, right: Values) -> Mask:
    """Return the comparison by value; False (`!=`: True) where types do not go together."""
    sign, comparable = _order(left, right)
    if operator in ("==", "!="):
        equal = comparable & (sign == 0)
        for row in np.flatnonzero((left.kinds == LIST) & (right.kinds == LIST)).tolist():
            equal[row] = same(left.objects[row], right.objects[row])
        both = (left.kinds == BOOL) & (right.kinds == BOOL)
        equal[both] = (left.objects[both] == right.objects[both]).astype(np.bool_)
        answer: Mask = equal if operator == "==" else ~equal
        return answer
    ordered: Mask = comparable & kernels.signs(operator, sign)
    return ordered


def _order(left: Values, right: Values) -> tuple[npt.NDArray[np.int8], Mask]:
    sign = np.zeros(len(left.kinds), np.int8)
    whole = (left.kinds == INT) & (right.kinds == INT)
    sign[whole] = kernels.order_of_integers(left.integers[whole], right.integers[whole])
    real = (left.kinds == FLOAT) & (right.kinds == FLOAT)
    sign[real] = kernels.order_of_floats(left.floats[real], right.floats[real])
    mixed = (left.kinds == INT) & (right.kinds == FLOAT)
    sign[mixed] = kernels.order_of_mixed(left.integers[mixed], right.floats[mixed])
    mixed = (left.kinds == FLOAT) & (right.kinds == INT)
    sign[mixed] = -kernels.order_of_mixed(right.integers[mixed], left.floats[mixed])
    numbers = left.is_number & right.is_number
    numbers &= ~(np.isnan(left.floats) | np.isnan(right.floats))
    texts = (left.kinds == STRING) & (right.kinds == STRING)
    one, other = left.objects[texts], right.objects[texts]
    sign[texts] = (one > other).astype(np.int8) - (one < other).astype(np.int8)
    return sign, numbers | texts


def same(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal: numbers by value, and true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def one_of(items: tuple[Item, ...]) -> Callable[[Any], bool]:
    """Return a test for being equal to one of `items`."""
    truths = {item for item in items if isinstance(item, bool)}
    plain = {item for item in items if not isinstance(item, bool | tuple)}
    lists = [item for item in items if isinstance(item, tuple)]

    def test(value: Any) -> bool:
        if type(value) is bool:
            return value in truths
        if type(value) is list:
            return any(same(value, item) for item in lists)
        return type(value) is not dict and value in plain

    return test


def contains(raw: list[Any], items: tuple[Item, ...], every: bool) -> Mask:
    """Return where the value is a list that has any, or every one, of `items`."""
    tests = [one_of((item,)) for item in items] if every else [one_of(items)]

    def found(value: Any) -> bool:
        return type(value) is list and all(any(map(test, value)) for test in tests)

    return np.fromiter(map(found, raw), np.bool_, len(raw))
