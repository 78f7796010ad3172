"""Filters against a reference that evaluates one row at a time in plain Python."""

import json
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.errors import CorruptRecord, Unsupported
from roost.vector.columns import rows_schema
from roost.vector.errors import FilterError
from roost.vector.expr import compile_filter
from roost.vector.schema import CollectionSchema, DataType, Field

SCHEMA = CollectionSchema(
    (
        Field("id", DataType.INT64, primary=True),
        Field("small", DataType.INT8, nullable=True),
        Field("single", DataType.FLOAT, nullable=True),
        Field("double", DataType.DOUBLE, nullable=True),
        Field("text", DataType.VARCHAR, max_length=100, nullable=True),
        Field("flag", DataType.BOOL, nullable=True),
        Field("doc", DataType.JSON, nullable=True),
        Field("$meta", DataType.JSON, dynamic=True),
    )
)
Row = dict[str, Any]

# A null column makes a comparison unknown (None); NOTHING is a key that is not there.
NULL, NOTHING = "the column is null", "there is no value"


@dataclass(frozen=True)
class Expression:
    """A piece of text and what it means for a row."""

    text: str
    of: Callable[[Row], Any]
    kind: str
    """number, string, bool or json."""
    single: bool = False
    constant: bool = False


# --- the reference ---------------------------------------------------------------------------

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def json_equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return type(left) is not dict and left == right


def by_value(name: str, left: Any, right: Any) -> bool:
    """Compare what JSON may hold."""
    if left is NOTHING or right is NOTHING or left is None or right is None:
        return name == "!="
    if name in ("==", "!="):
        return json_equal(left, right) == (name == "==")
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (left, right))
    if numbers or (isinstance(left, str) and isinstance(right, str)):
        return bool(OPERATORS[name](left, right))
    return False


def compared(name: str, left: Expression, right: Expression) -> Callable[[Row], Any]:
    def of(row: Row) -> Any:
        one, other = left.of(row), right.of(row)
        if one is NULL or other is NULL:
            return None
        if left.kind == "json" or right.kind == "json":
            return by_value(name, one, other)
        if one is NOTHING or other is NOTHING:
            return None
        for column, constant in ((left, right), (right, left)):
            if column.single and constant.constant:
                one, other = np.float32(one), np.float32(other)
        # A constant takes the type of the floating value beside it; an integer column does not.
        if right.constant and isinstance(one, float):
            other = float(other)
        if left.constant and isinstance(other, float):
            one = float(one)
        return bool(OPERATORS[name](one, other))

    return of


def wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def computed(name: str, left: Expression, right: Expression) -> Callable[[Row], Any]:
    def of(row: Row) -> Any:
        one, other = left.of(row), right.of(row)
        if one is NULL or other is NULL:
            return NULL
        for value in (one, other):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return NOTHING
        if isinstance(one, int) and isinstance(other, int):
            if name in "/%":
                if other == 0:
                    return NOTHING
                quotient = wrapped(abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1))
                return quotient if name == "/" else one - quotient * other
            table = {"+": operator.add, "-": operator.sub, "*": operator.mul}
            return wrapped(table[name](one, other))
        if name == "%" or (name == "/" and other == 0):
            return NOTHING
        table = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
        return table[name](float(one), float(other))

    return of


def negated(part: Expression) -> Expression:
    def of(row: Row) -> Any:
        truth = part.of(row)
        return None if truth is None else not truth

    return Expression(f"not ({part.text})", of, "bool")


def joined(name: str, parts: list[Expression]) -> Expression:
    settled = name == "or"

    def of(row: Row) -> Any:
        truths = [part.of(row) for part in parts]
        if settled in truths:
            return settled
        return None if None in truths else not settled

    return Expression(f" {name} ".join(f"({p.text})" for p in parts), of, "bool")


# --- random rows ------------------------------------------------------------------------------

small_numbers = st.sampled_from([-3, -1, 0, 1, 2, 5, 100, 2**53, 2**53 + 1, -(2**63), 2**63 - 1])
plain_floats = st.sampled_from([-2.5, -1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 1e10, 2.0**53, 1e300])
texts = st.text(alphabet='ab%_\\".\n é', max_size=5)
scalars = st.one_of(st.none(), st.booleans(), small_numbers, plain_floats, texts)


def some_rows(count: int) -> list[Row]:
    """Return rows in which every kind of value meets every column, the same each time."""
    draw = random.Random(7)
    numbers = [-3, -1, 0, 1, 2, 5, 100, 2**53, 2**53 + 1, -(2**63), 2**63 - 1]
    reals = [-2.5, -1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 1e10, 2.0**53, 2.0**63]
    words = ["", "a", "b", "ab", "a%", "_", "a\\", 'b"', "a.b", "a\nb", "é", "ba"]

    def scalar() -> Any:
        return draw.choice([None, True, False, *numbers, *reals, *words])

    def value(depth: int) -> Any:
        kind = draw.randrange(4 if depth else 2)
        if kind == 2:
            return [value(depth - 1) for _ in range(draw.randrange(4))]
        if kind == 3:
            return {key: value(depth - 1) for key in ("a", "b", "0") if draw.random() < 0.6}
        return scalar()

    def document() -> Row:
        return {key: value(2) for key in ("a", "b") if draw.random() < 0.8}

    return [
        {
            "id": draw.choice(numbers),
            "small": draw.choice([None, *range(-4, 5)]),
            "single": draw.choice([None, *reals, 1e30]),
            "double": draw.choice([None, *reals, 1e300]),
            "text": draw.choice([None, *words]),
            "flag": draw.choice([None, True, False]),
            "doc": draw.choice([None, document(), document(), value(2)]),
            "$meta": document(),
        }
        for _ in range(count)
    ]


def batch_of(values: list[Row]) -> pa.RecordBatch:
    schema = rows_schema(SCHEMA)

    def stored(name: str, value: Any) -> Any:
        is_json = name in ("doc", "$meta") and value is not None
        return json.dumps(value).encode() if is_json else value

    columns = {f.name: [stored(f.name, row[f.name]) for row in values] for f in schema}
    return pa.RecordBatch.from_pydict(columns, schema=schema)


# --- random expressions -----------------------------------------------------------------------


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def constant(value: Any, kind: str) -> Expression:
    return Expression(literal(value), lambda _: value, kind, constant=True)


def column(name: str, kind: str) -> Expression:
    def of(row: Row) -> Any:
        if row[name] is None:
            return NULL
        return float(np.float32(row[name])) if name == "single" else row[name]

    return Expression(name, of, kind, single=name == "single")


def path(name: str, keys: list[str | int], text: str) -> Expression:
    def of(row: Row) -> Any:
        value = row[name]
        if value is None:
            return NULL
        for key in keys:
            if isinstance(key, int) and isinstance(value, list):
                value = value[key] if key < len(value) else NOTHING
            elif isinstance(value, dict):
                value = value.get(str(key), NOTHING)
            else:
                value = NOTHING
        return NOTHING if value is None else value

    return Expression(text, of, "json")


PATHS = [
    path("doc", [], "doc"),
    path("doc", [0], "doc[0]"),
    path("doc", ["a"], 'doc["a"]'),
    path("doc", ["a", 0], "doc['a'][0]"),
    path("$meta", ["a"], "a"),
    path("$meta", ["b", "a"], 'b["a"]'),
    path("$meta", ["b"], '$meta["b"]'),
]
constants_of_numbers = st.one_of(small_numbers, plain_floats).map(lambda v: constant(v, "number"))
integer_columns = st.sampled_from([column("id", "number"), column("small", "number")])
number_columns = st.one_of(
    integer_columns, st.sampled_from([column("single", "number"), column("double", "number")])
)
paths = st.sampled_from(PATHS)


@st.composite
def arithmetic(draw: st.DrawFn) -> Expression:
    left = draw(st.one_of(integer_columns, number_columns, paths))
    right = draw(st.one_of(constants_of_numbers, number_columns, paths))
    json_kind = "json" in (left.kind, right.kind)
    name = draw(st.sampled_from(["+", "-", "*", "/"]))
    if right.constant and right.of({}) == 0:
        name = "+"
    if left in (column("id", "number"),) and draw(st.booleans()):
        right, name = constant(3, "number"), "%"
        json_kind = False
    kind = "json" if json_kind else "number"
    return Expression(f"({left.text} {name} {right.text})", computed(name, left, right), kind)


numbers = st.one_of(number_columns, arithmetic())


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    left = draw(st.one_of(numbers, paths, st.just(column("text", "string"))))
    if left.kind == "string":
        right = draw(st.one_of(texts.map(lambda v: constant(v, "string")), paths, st.just(left)))
    elif left.kind == "json":
        constants = scalars.filter(lambda v: v is not None)
        right = draw(st.one_of(constants.map(lambda v: constant(v, "any")), numbers, paths))
    else:
        right = draw(st.one_of(constants_of_numbers, numbers, paths))
    if draw(st.booleans()):
        left, right = right, left
    name = draw(st.sampled_from(sorted(OPERATORS)))
    return Expression(f"{left.text} {name} {right.text}", compared(name, left, right), "bool")


@st.composite
def memberships(draw: st.DrawFn) -> Expression:
    value, items_of = draw(
        st.sampled_from(
            [
                (column("id", "number"), st.one_of(small_numbers, plain_floats)),
                (column("small", "number"), small_numbers),
                (column("double", "number"), plain_floats),
                (column("text", "string"), texts),
                (column("flag", "bool"), st.booleans()),
                *((p, scalars.filter(lambda v: v is not None)) for p in PATHS),
            ]
        )
    )
    items = draw(st.lists(items_of, max_size=4))

    def of(row: Row) -> Any:
        found = value.of(row)
        if found is NULL:
            return None
        return found is not NOTHING and any(json_equal(found, item) for item in items)

    inside = Expression(f"{value.text} in {literal(items)}", of, "bool")
    if draw(st.booleans()):
        outside = negated(inside)
        return Expression(f"{value.text} not in {literal(items)}", outside.of, "bool")
    return inside


def like_matches(pattern: str, value: str) -> bool:
    """Match by trying every split: slow and plainly right."""
    if not pattern:
        return not value
    if pattern[0] == "%":
        return any(like_matches(pattern[1:], value[at:]) for at in range(len(value) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        return value[:1] == pattern[1] and like_matches(pattern[2:], value[1:])
    if pattern[0] == "_":
        return bool(value) and like_matches(pattern[1:], value[1:])
    return value[:1] == pattern[0] and like_matches(pattern[1:], value[1:])


@st.composite
def likes(draw: st.DrawFn) -> Expression:
    value = draw(st.one_of(st.just(column("text", "string")), paths))
    pattern = draw(texts)

    def of(row: Row) -> Any:
        found = value.of(row)
        if found is NULL:
            return None
        return isinstance(found, str) and found is not NOTHING and like_matches(pattern, found)

    return Expression(f"{value.text} like {literal(pattern)}", of, "bool")


@st.composite
def presences(draw: st.DrawFn) -> Expression:
    columns = [column(name, "any") for name in ("small", "text", "flag", "double")]
    value = draw(st.sampled_from([*columns, *PATHS]))
    is_null = Expression(
        f"{value.text} is null", lambda row: value.of(row) in (NULL, NOTHING), "bool"
    )
    if draw(st.booleans()):
        return Expression(f"{value.text} IS NOT NULL", negated(is_null).of, "bool")
    return is_null


@st.composite
def containments(draw: st.DrawFn) -> Expression:
    value = draw(paths)
    item_of = st.one_of(
        scalars.filter(lambda v: v is not None), st.lists(small_numbers, max_size=2)
    )
    items = draw(st.lists(item_of, max_size=3))
    suffix = draw(st.sampled_from(["", "_all", "_any"]))
    if not suffix:
        items = items[:1] or [1]

    def of(row: Row) -> Any:
        found = value.of(row)
        if found is NULL:
            return None
        if not isinstance(found, list):
            return False
        has = [any(json_equal(element, item) for element in found) for item in items]
        return any(has) if suffix == "_any" else all(has)

    argument = literal(items if suffix else items[0])
    family = draw(st.sampled_from(["json", "array", "JSON"]))
    name = f"{family}_contains{suffix}"
    name = name.upper() if family == "JSON" else name
    return Expression(f"{name}({value.text}, {argument})", of, "bool")


@st.composite
def agreements(draw: st.DrawFn, inner: st.SearchStrategy[Expression]) -> Expression:
    left, right, name = draw(inner), draw(inner), draw(st.sampled_from(["==", "!="]))

    def of(row: Row) -> Any:
        one, other = left.of(row), right.of(row)
        return None if one is None or other is None else (one == other) == (name == "==")

    return Expression(f"(({left.text}) and true) {name} (({right.text}) and true)", of, "bool")


@st.composite
def flags(draw: st.DrawFn) -> Expression:
    value = draw(st.one_of(st.just(column("flag", "bool")), paths))

    def of(row: Row) -> Any:
        found = value.of(row)
        return None if found is NULL else found is True

    return Expression(value.text, of, "bool")


leaves = st.one_of(
    comparisons(), comparisons(), memberships(), likes(), presences(), containments(), flags()
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(negated),
        agreements(inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)).map(
            lambda pair: joined(*pair)
        ),
    ),
    max_leaves=6,
)


ROWS = some_rows(150)
BATCH = batch_of(ROWS)


@settings(max_examples=400, deadline=None)
@given(conditions)
def test_a_mask_is_what_evaluating_row_by_row_gives(condition: Expression) -> None:
    mask = compile_filter(condition.text, SCHEMA).mask(BATCH)
    assert mask.dtype == np.bool_
    expected = [condition.of(row) is True for row in ROWS]
    wrong = [at for at, (got, want) in enumerate(zip(mask, expected, strict=True)) if got != want]
    assert not wrong, (condition.text, ROWS[wrong[0]], expected[wrong[0]])


@settings(max_examples=50, deadline=None)
@given(conditions, st.integers(0, 150))
def test_a_slice_of_a_batch_gives_the_slice_of_its_mask(condition: Expression, at: int) -> None:
    compiled = compile_filter(condition.text, SCHEMA)
    assert compiled.mask(BATCH.slice(at)).tolist() == compiled.mask(BATCH)[at:].tolist()


def test_a_batch_without_rows_has_an_empty_mask() -> None:
    for text in (
        "id > 1 and a == 'x'",
        "flag",
        "doc is null or text like 'a%'",
        "small / id in [1]",
    ):
        assert compile_filter(text, SCHEMA).mask(BATCH.slice(0, 0)).tolist() == []


@settings(max_examples=50, deadline=None)
@given(conditions)
def test_fields_name_every_column_that_is_read(condition: Expression) -> None:
    compiled = compile_filter(condition.text, SCHEMA)
    batch = batch_of([{f.name: None for f in SCHEMA.fields} | {"id": 1, "$meta": {}}])
    only = batch.select([n for n in batch.schema.names if n in compiled.fields])
    if compiled.fields:
        compiled.mask(only)


# --- examples ---------------------------------------------------------------------------------

EMPTY = {f.name: None for f in SCHEMA.fields} | {"id": 1, "$meta": {}}


def matches(text: str, row: Row, params: dict[str, Any] | None = None) -> bool:
    return bool(compile_filter(text, SCHEMA, params).mask(batch_of([EMPTY | row]))[0])


@pytest.mark.parametrize(
    ("text", "row", "truth"),
    [
        ("1 < id <= 9", {"id": 9}, True),
        ("9 > id >= 1", {"id": 9}, False),
        ("id == 0x1F", {"id": 31}, True),
        ("id == 0b101 or id == 017", {"id": 15}, True),
        ("double == 0x1.8p1", {"double": 3.0}, True),
        ("double < .5e1", {"double": 4.9}, True),
        ("single == 0.1", {"single": 0.1}, True),
        ("double != 9007199254740993", {"double": 2.0**53}, False),
        ("double == 2 ** 3 ** 2", {"double": 64.0}, True),
        ("id == -2 ** 2", {"id": -4}, True),
        ("id & 3 == 1", {"id": 1}, None),
        ("(id & 3) == 1", {"id": 5}, True),
        ("(id | 8) == 9 and (id ^ 1) == 0", {"id": 1}, True),
        (r'text == "a\"b\n\x41\u00e9\101"', {"text": 'a"b\nAéA'}, True),
        (r"text == r'a\n'", {"text": "a\\n"}, True),
        (r"text like 'a\%%'", {"text": "a%bc"}, True),
        (r"text like 'a\%%'", {"text": "abc"}, False),
        (r"text like 'a\\_c'", {"text": "a_c"}, True),
        ('text =~ "b+$"', {"text": "abb"}, True),
        ('text !~ "^b"', {"text": "abb"}, True),
        ('doc["k"] =~ "x"', {"doc": {}}, False),
        ('doc["k"] !~ "x"', {"doc": {}}, True),
        ('doc["k"] != 1', {"doc": {}}, True),
        ('doc["k"] != 1', {"doc": None}, False),
        ("exists colour", {"$meta": {"colour": "red"}}, True),
        ("exists colour", {"$meta": {"colour": None}}, False),
        ("not exists doc['k']", {"doc": None}, True),
        ("array_length(doc['k']) == 2", {"doc": {"k": [1, 2]}}, True),
        ("array_length(doc['k']) != 2", {"doc": {"k": 7}}, True),
        ("flag == (id > 3)", {"flag": False, "id": 2}, True),
        ("true", {}, True),
        ("id in []", {}, False),
        ("small > 1000", {"small": 5}, False),
        ("small < 1000", {"small": 5}, True),
        ("small in [5, 1000]", {"small": 5}, True),
        ("id == -9223372036854775808", {"id": -(2**63)}, True),
        ("id < 1e30 and id > -1e30", {"id": 4}, True),
        ("TRUE && !false", {}, True),
        ("small not in [1]", {"small": None}, False),
        ("doc in [1]", {"doc": True}, False),
        ("doc == true", {"doc": 1}, False),
        ("json_contains(doc, 1)", {"doc": [True]}, False),
        ("doc < 9223372036854775807", {"doc": 2.0**63}, False),
        ("doc > 9007199254740993", {"doc": 2.0**53}, False),
        ("small / 2 == -1", {"small": -3}, True),
        ("small % 2 == -1", {"small": -3}, True),
    ],
)
def test_examples_of_the_language(text: str, row: Row, truth: bool | None) -> None:
    if truth is None:  # bit operators bind looser than ==, so this is (id & (3 == 1))
        with pytest.raises(FilterError):
            matches(text, row)
    else:
        assert matches(text, row) is truth


def test_the_deepest_allowed_nesting_is_evaluated_once_a_level() -> None:
    chain = " == ".join(["flag"] * 90)  # even: each pair of equals is true
    assert matches(chain, {"flag": False})
    assert not matches(chain, {"flag": None})
    assert matches("not (" * 90 + "flag" + ")" * 90, {"flag": True})
    assert matches("(" * 2000 + "flag" + ")" * 2000, {"flag": True})
    assert matches("1 == " + "+".join(["id"] * 90), {"id": 1}) is False


def test_an_empty_filter_is_true_for_every_row() -> None:
    compiled = compile_filter("  ", SCHEMA)
    assert compiled.always is True
    assert compiled.mask(batch_of([EMPTY, EMPTY])).tolist() == [True, True]


def test_templates_stand_for_literals() -> None:
    assert matches("id in {ids}", {"id": 7}, {"ids": [5, 7]})
    assert matches("text == {name} and double < {limit}", {"text": "a", "double": 1.0},
                   {"name": "a", "limit": 2})  # fmt: skip
    assert not matches("flag == {flag}", {"flag": True}, {"flag": False})
    with pytest.raises(FilterError, match=r"no value for the template \{other\}"):
        matches("id == {other}", {}, {"ids": [1]})
    with pytest.raises(FilterError):
        matches("id == {name}", {}, {"name": "text"})


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("id >", 4),
        ("id = 1", 3),
        ("id == 1 and", 11),
        ("id == 1 ; drop", 8),
        ("nothing_there) == 1", 13),
        ("id == 'open", 6),
        ('id == "a"', 3),
        ("1 < id > 2", 7),
        ("id", 0),
        ("id + 1", 3),
        ("text + 1 == 2", 5),
        ("id in 5", 6),
        ("text in ['a', 5]", 5),
        ("id in ['a']", 3),
        ("id % 0 == 1", 3),
        ("99999999999999999999 == id", 0),
        ("id == 9223372036854775808", 3),
        ("text like 5", 10),
        ("text =~ '('", 8),
        ("small['k'] == 1", 0),
        ("exists id", 0),
        ("json_contains(id, 1)", 14),
        ("json_contains_all(doc, 1)", 23),
        ("no_such_function(id)", 0),
        ("flag > true", 5),
        ("id == {x}", 7),
        ("-" * 200 + "id == 1", 99),
    ],
)
def test_a_refusal_names_the_position(text: str, position: int) -> None:
    with pytest.raises(FilterError) as refusal:
        compile_filter(text, SCHEMA)
    assert refusal.value.position == position, str(refusal.value)
    assert str(refusal.value).startswith(f"cannot parse expression: {text}, error: ")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("text_match(text, 'a b')", "text_match"),
        ("TEXT_MATCH(text, 'a b', minimum_should_match=1)", "text_match"),
        ("phrase_match(text, 'a', 1)", "phrase_match"),
        ("id > 1 and random_sample(0.1)", "random_sample"),
        ("st_within(doc, 'POINT(1 1)')", "st_within"),
        ("element_filter(doc, $[x] > 1)", "element_filter"),
        ("match_least(doc, $[x] > 1, threshold=2)", "match_least"),
        ("doc[sub] == 1", "struct"),
        ("~id == 1", "~"),
        ("id << 1 == 2", "<<"),
        ("id + INTERVAL 'P1D' > ISO '2020-01-01'", "timestamptz"),
        ("call f(id)", "call"),
    ],
)
def test_forms_that_are_not_served_are_refused_by_name(text: str, form: str) -> None:
    with pytest.raises(Unsupported, match=form):
        compile_filter(text, SCHEMA)


def test_an_unknown_name_is_a_dynamic_key_only_if_the_schema_has_them() -> None:
    without = CollectionSchema(SCHEMA.fields[:-1])
    assert compile_filter("colour == 1", SCHEMA).fields == {"$meta"}
    with pytest.raises(FilterError, match="field colour not exist at position 0"):
        compile_filter("colour == 1", without)


def test_a_document_that_does_not_parse_is_damage() -> None:
    batch = batch_of([EMPTY, EMPTY])
    broken = batch.set_column(7, "$meta", pa.array([b"{}", b'{"a":'], pa.binary()))
    with pytest.raises(CorruptRecord, match=r"column \$meta, row 1"):
        compile_filter("a == 1", SCHEMA).mask(broken)


def test_rows_that_a_cheap_condition_settles_are_not_decoded() -> None:
    batch = batch_of([EMPTY | {"id": 1}, EMPTY | {"id": 2}])
    broken = batch.set_column(7, "$meta", pa.array([b"{}", b"broken"], pa.binary()))
    assert compile_filter("a == 1 and id == 1", SCHEMA).mask(broken).tolist() == [False, False]
    assert compile_filter("a == 1 or id == 2", SCHEMA).mask(broken).tolist() == [False, True]


def test_primary_keys_are_known_for_exactly_a_key_or_a_list_of_keys() -> None:
    def keys(text: str, params: dict[str, Any] | None = None) -> Any:
        return compile_filter(text, SCHEMA, params).primary_keys()

    assert keys("id in [3, 1, 3]") == [1, 3]
    assert keys("id in [-3, 0x10, 2]") == [-3, 2, 16]
    assert keys("7 == id") == [7]
    assert keys("id in {x}", {"x": [2]}) == [2]
    assert keys("id in []") == []
    for text in ("id > 3", "small == 3", "id not in [1]", "id in [1] and flag", "id != 1"):
        assert keys(text) is None
