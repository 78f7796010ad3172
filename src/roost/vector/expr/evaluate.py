"""Running a plan over a batch of columns.

Every predicate becomes an Arrow boolean column whose nulls mean "unknown"; `and`, `or` and `not`
are Kleene's.  Where JSON must be decoded, only rows whose answer is still open are looked at; the
others get False, which no longer matters to the whole.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from roost.vector.expr import dynamic
from roost.vector.expr.dynamic import Documents, Rows, Values
from roost.vector.expr.kernels import Mask
from roost.vector.expr.plan import (
    Always,
    Among,
    Arithmetic,
    Column,
    Compare,
    Constant,
    Contains,
    Either,
    Every,
    IsNull,
    Kind,
    Length,
    Match,
    Opposite,
    Path,
    Predicate,
    Same,
    Truth,
    Value,
    columns_of,
    reads_json,
)

TEXTS_SOUGHT_MAX = 4
"""Texts that documents are searched for before they are decoded."""
SEEKING_PAYS_FROM = 8
"""Searching a document costs this much less than decoding it."""

_KERNELS = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def evaluate(plan: Predicate, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return for each row whether `plan` is true."""
    return _true(_Evaluation(batch).verdict(plan, None))


def _true(verdict: pa.BooleanArray) -> Mask:
    filled: Mask = verdict.fill_null(False).to_numpy(zero_copy_only=False)
    return filled


def _false(verdict: pa.BooleanArray) -> Mask:
    return ~np.asarray(verdict.fill_null(True).to_numpy(zero_copy_only=False), dtype=np.bool_)


class _Evaluation:
    """One plan over one batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._count = batch.num_rows
        self._documents: dict[str, Documents] = {}

    def verdict(self, node: Predicate, open_rows: Mask | None) -> pa.BooleanArray:
        """Return true, false or null for each row; rows that are not open may be anything."""
        match node:
            case Always(truth=truth):
                return pa.array(np.full(self._count, truth))
            case Opposite(part=part):
                return pc.invert(self.verdict(part, open_rows))
            case Same(left=left, right=right):
                return pc.equal(self.verdict(left, open_rows), self.verdict(right, open_rows))
            case Every(parts=parts):
                return self._joined(parts, open_rows, is_and=True)
            case Either(parts=parts):
                return self._joined(parts, open_rows, is_and=False)
            case IsNull(value=Column(name=name)):
                return pc.is_null(self._batch.column(name))
            case IsNull() | Contains():
                return self._row_by_row(node, open_rows)
        if reads_json(node):
            return self._row_by_row(node, open_rows)
        return self._over_columns(node)

    def _joined(
        self, parts: tuple[Predicate, ...], open_rows: Mask | None, *, is_and: bool
    ) -> pa.BooleanArray:
        join = pc.and_kleene if is_and else pc.or_kleene
        settled = _false if is_and else _true
        ordered = sorted(parts, key=reads_json)
        joined = self.verdict(ordered[0], open_rows)
        for part in ordered[1:]:
            if reads_json(part):
                still_open = ~settled(joined)
                open_rows = still_open if open_rows is None else open_rows & still_open
            joined = join(joined, self.verdict(part, open_rows))
        return joined

    def _over_columns(self, node: Predicate) -> pa.BooleanArray:
        """Answer the common forms with Arrow's kernels."""
        match node:
            case Truth(value=Column(name=name)):
                return self._batch.column(name)
            case Compare(operator=operator, left=Column() as left, right=Constant(value=value)):
                column = self._batch.column(left.name)
                return _KERNELS[operator](column, _scalar(value, column.type))
            case Compare(operator=operator, left=Column() as left, right=Column() as right) if (
                left.kind is Kind.STRING
            ):
                one, other = (self._batch.column(side.name) for side in (left, right))
                return _KERNELS[operator](one, other)
            case Among(value=Column(name=name), items=items):
                column = self._batch.column(name)
                found = pc.is_in(column, value_set=_value_set(items, column.type))
                return pc.if_else(column.is_valid(), found, None) if column.null_count else found
            case Match(value=Column(name=name), how=how, pattern=pattern):
                return _matched(self._batch.column(name), how, pattern)
        return self._row_by_row(node, None)

    def _row_by_row(self, node: Predicate, open_rows: Mask | None) -> pa.BooleanArray:
        """Answer over values of any type; rows with a null column are unknown."""
        null = np.zeros(self._count, np.bool_)
        for name in columns_of(node):
            null |= self._nulls(name)
        wanted = ~null if open_rows is None else open_rows & ~null
        rows = np.flatnonzero(wanted)
        if len(rows) * SEEKING_PAYS_FROM > self._count:
            could = self._could_equal(node)
            rows = rows if could is None else np.flatnonzero(wanted & could)
        truth = np.zeros(self._count, np.bool_)
        truth[rows], without_value = self._tested(node, rows)
        if isinstance(node, IsNull):
            return pa.array(truth | null)
        if not reads_json(node):
            null[rows[without_value]] = True
        return pa.array(truth, mask=null)

    def _could_equal(self, node: Predicate) -> Mask | None:
        """Return which documents may hold the text looked for, judged by their bytes alone.

        A JSON string stands in its document as it is, unless it is written with escapes.
        """
        match node:
            case Compare(
                operator="==", left=Path(column=name), right=Constant(value=str() as text)
            ):
                texts = [text]
            case Among(value=Path(column=name), items=items) if len(items) <= TEXTS_SOUGHT_MAX:
                texts = [item for item in items if isinstance(item, str)]
                if len(texts) < len(items):
                    return None
            case _:
                return None
        column = self._batch.column(name)
        found = pc.match_substring(column, b"\\")
        for text in texts:
            found = pc.or_(found, pc.match_substring(column, text.encode(errors="surrogatepass")))
        return _true(found)

    def _tested(self, node: Predicate, rows: Rows) -> tuple[Mask, Mask]:
        """Return for each of `rows` the truth, and whether an operand has no value there."""
        match node:
            case Compare(operator=operator, left=left, right=right):
                one, other = self._values(left, rows), self._values(right, rows)
                nothing = (one.kinds == dynamic.NOTHING) | (other.kinds == dynamic.NOTHING)
                return dynamic.compare(operator, one, other), nothing
            case Among(value=value, items=items):
                found = self._values(value, rows)
                test = dynamic.one_of(items)
                truth = np.fromiter(map(test, found.to_list()), np.bool_, len(rows))
                return truth, found.kinds == dynamic.NOTHING
            case IsNull(value=Path() as path):
                truth = self._values(path, rows).kinds == dynamic.NOTHING
            case Truth(value=Path() as path):
                found = self._values(path, rows)
                truth = (found.kinds == dynamic.BOOL) & (found.objects == True)  # noqa: E712
            case Match(value=value, how=how, pattern=pattern):
                found = self._values(value, rows)
                texts = found.kinds == dynamic.STRING
                column = pa.array(found.objects[texts].tolist(), pa.string())
                truth = np.zeros(len(rows), np.bool_)
                truth[texts] = _true(_matched(column, how, pattern))
            case Contains(path=path, items=items, every=every):
                truth = dynamic.contains(self._found(path, rows), items, every)
            case _:
                raise AssertionError(node)
        return truth, np.zeros(len(rows), np.bool_)

    # Values.

    def _values(self, node: Value, rows: Rows) -> Values:
        match node:
            case Constant(value=value):
                return Values.constant(value, len(rows))
            case Path():
                return Values.of(self._found(node, rows))
            case Length(path=path):
                found = self._found(path, rows)
                return Values.of([len(v) if type(v) is list else None for v in found])
            case Arithmetic(operator=operator, left=left, right=right):
                one, other = self._values(left, rows), self._values(right, rows)
                return dynamic.arithmetic(operator, one, other)
            case Column(name=name, kind=kind):
                column = self._batch.column(name).take(pa.array(rows))
                if kind is Kind.INT:
                    return Values.of_integers(column.cast(pa.int64()).to_numpy())
                if kind is Kind.FLOAT:
                    return Values.of_floats(column.cast(pa.float64()).to_numpy())
                return Values.of(column.to_pylist())

    def _found(self, path: Path, rows: Rows) -> list[object]:
        if path.column not in self._documents:
            column = self._batch.column(path.column)
            self._documents[path.column] = Documents(path.column, column)
        return dynamic.follow(self._documents[path.column].at(rows), path.keys)

    def _nulls(self, name: str) -> Mask:
        column = self._batch.column(name)
        if not column.null_count:
            return np.zeros(self._count, np.bool_)
        nulls: Mask = column.is_null().to_numpy(zero_copy_only=False)
        return nulls


def _scalar(value: object, column_type: pa.DataType) -> pa.Scalar:
    """Return a constant of the column's type, or of the widest if it does not fit."""
    try:
        return pa.scalar(value, column_type)
    except (pa.ArrowInvalid, OverflowError):
        return pa.scalar(value, pa.int64())


def _value_set(items: tuple[object, ...], column_type: pa.DataType) -> pa.Array:
    if pa.types.is_integer(column_type):
        bounds = np.iinfo(column_type.to_pandas_dtype())
        items = tuple(i for i in items if isinstance(i, int) and bounds.min <= i <= bounds.max)
    return pa.array(items, column_type)


def _matched(column: pa.Array, how: str, pattern: str) -> pa.BooleanArray:
    match how:
        case "equal":
            return pc.equal(column, pa.scalar(pattern, pa.string()))
        case "prefix":
            return pc.starts_with(column, pattern)
        case "suffix":
            return pc.ends_with(column, pattern)
        case "infix":
            return pc.match_substring(column, pattern)
    return pc.match_substring_regex(column, pattern)
