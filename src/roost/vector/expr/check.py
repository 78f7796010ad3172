"""From syntax tree to plan: names, templates, types.

Refusals name the position of what is wrong.  Nesting is bounded, so that a hostile text cannot
exhaust the stack here or in evaluation.
"""

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypeIs

from roost.errors import Unsupported
from roost.vector.errors import FilterError
from roost.vector.expr import fold, patterns
from roost.vector.expr import syntax as s
from roost.vector.expr.plan import (
    Always,
    Arithmetic,
    Column,
    Constant,
    Contains,
    IsNull,
    Item,
    Kind,
    Length,
    Match,
    Opposite,
    Path,
    Predicate,
    Truth,
    Value,
)
from roost.vector.schema import DYNAMIC_FIELD_NAME, CollectionSchema, DataType

DEPTH_MAX = 100
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})

_KINDS = {
    DataType.BOOL: Kind.BOOL,
    DataType.INT8: Kind.INT,
    DataType.INT16: Kind.INT,
    DataType.INT32: Kind.INT,
    DataType.INT64: Kind.INT,
    DataType.FLOAT: Kind.FLOAT,
    DataType.DOUBLE: Kind.FLOAT,
    DataType.VARCHAR: Kind.STRING,
}
_CONTAINS = {
    f"{family}_contains{suffix}": suffix
    for family in ("json", "array")
    for suffix in ("", "_all", "_any")
}
_FOREIGN_CALLS = frozenset(
    {
        *("text_match", "phrase_match", "random_sample", "bloom_match", "roaring_match"),
        *("element_filter", "match_all", "match_any", "match_least", "match_most", "match_exact"),
        *("st_equals", "st_touches", "st_overlaps", "st_crosses", "st_contains"),
        *("st_intersects", "st_within", "st_dwithin", "st_isvalid"),
    }
)


def check(
    text: str, tree: s.Node, schema: CollectionSchema, params: Mapping[str, Any]
) -> Predicate:
    """Return the plan of `tree`.  Raises FilterError, Unsupported."""
    return _Check(text, schema, params).predicate(tree)


def _is_predicate(node: "Value | Predicate") -> TypeIs[Predicate]:
    return not isinstance(node, Column | Path | Length | Constant | Arithmetic)


class _Check:
    """One run over one tree."""

    def __init__(self, text: str, schema: CollectionSchema, params: Mapping[str, Any]) -> None:
        self._text = text
        self._schema = schema
        self._params = params
        self._depth = 0

    def _refusal(self, why: str, at: int) -> FilterError:
        return FilterError(self._text, why, at)

    def _foreign(self, what: str, at: int) -> Unsupported:
        return Unsupported(
            f"cannot parse expression: {self._text}, error: {what} is not supported"
            f" at position {at}"
        )

    # Either kind of node.

    def _node(self, node: s.Node) -> Value | Predicate:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refusal(f"nested deeper than {DEPTH_MAX}", node.at)
        try:
            return self._bind(node)
        finally:
            self._depth -= 1

    def _bind(self, node: s.Node) -> Value | Predicate:
        match node:
            case s.Literal() | s.PlainList() | s.ListOf() | s.Template():
                return self._constant(node)
            case s.Name():
                return self._name(node)
            case s.Unary():
                return self._unary(node)
            case s.Logic(operator=operator, parts=parts):
                bound = tuple(self.predicate(part) for part in parts)
                return fold.every(bound) if operator == "and" else fold.either(bound)
            case s.Binary():
                return self._binary(node)
            case s.Call():
                return self._call(node)
            case s.Foreign(what=what, at=at):
                raise self._foreign(what, at)

    def predicate(self, node: s.Node) -> Predicate:
        """Return `node` as something that is true or false for a row."""
        return self._condition(self._node(node), node.at)

    def _condition(self, bound: Value | Predicate, at: int) -> Predicate:
        if _is_predicate(bound):
            return bound
        match bound:
            case Constant(value=bool() as truth):
                return Always(truth)
            case Column(kind=Kind.BOOL) | Path():
                return Truth(bound)
        raise self._refusal(f"not a condition but a value of type {bound.kind.value}", at)

    def _value(self, node: s.Node) -> Value:
        bound = self._node(node)
        if _is_predicate(bound):
            raise self._refusal("a condition stands where a value should", node.at)
        return bound

    # Leaves.

    def _constant(self, node: s.Node) -> Constant:
        match node:
            case s.Literal(value=value):
                return self._scalar(value, node.at)
            case s.PlainList(values=values):
                for value in (min(values), max(values)):
                    self._scalar(value, node.at)
                return Constant(values, Kind.LIST)
            case s.ListOf(items=items):
                return Constant(tuple(self._item(item) for item in items), Kind.LIST)
            case s.Template(name=name):
                if name not in self._params:
                    raise self._refusal(f"no value for the template {{{name}}}", node.at)
                return self._given(self._params[name], node.at)
        raise self._refusal("a constant is expected", node.at)

    def _item(self, node: s.Node) -> Item:
        value = self._value(node)
        if not isinstance(value, Constant):
            raise self._refusal("a list holds constants only", node.at)
        return value.value

    def _given(self, value: Any, at: int) -> Constant:
        if isinstance(value, list | tuple):
            return Constant(tuple(self._given(item, at).value for item in value), Kind.LIST)
        if isinstance(value, bool | int | float | str):
            return self._scalar(value, at)
        raise self._foreign(f"a template value of type {type(value).__name__}", at)

    def _scalar(self, value: bool | int | float | str, at: int) -> Constant:
        why = fold.unfit(value)
        # One more than the largest integer may stand behind a minus; `_unary` looks again.
        if why and value != 1 << 63:
            raise self._refusal(why, at)
        return fold.constant(value)

    def _name(self, node: s.Name) -> Value:
        field = next((f for f in self._schema.fields if f.name == node.name), None)
        if field is None:
            if self._schema.dynamic is None:
                raise self._refusal(f"field {node.name} not exist", node.at)
            return Path(DYNAMIC_FIELD_NAME, (node.name, *node.keys))
        if field.dtype is DataType.JSON:
            return Path(field.name, node.keys)
        if field.dtype not in _KINDS:
            raise self._refusal(
                f"field {node.name} of type {field.dtype.name} cannot be filtered", node.at
            )
        if node.keys:
            raise self._refusal(f"field {node.name} is not JSON and has no keys", node.at)
        return Column(field.name, _KINDS[field.dtype], field.dtype)

    # Operators.

    def _unary(self, node: s.Unary) -> Value | Predicate:
        if node.operator == "not":
            return fold.opposite(self.predicate(node.operand))
        if node.operator == "~":
            raise self._foreign("operator ~", node.at)
        value = self._value(node.operand)
        if node.operator in ("is null", "exists"):
            return self._presence(node, value)
        if not value.kind.is_number and value.kind is not Kind.JSON:
            raise self._refusal(f"{node.operator} needs a number, not {value.kind.value}", node.at)
        if node.operator == "+":
            return value
        if isinstance(value, Constant):
            assert isinstance(value.value, int | float)
            return fold.constant(-value.value)
        zero = Constant(0, Kind.INT)
        return Arithmetic("-", zero, value, value.kind)

    def _presence(self, node: s.Unary, value: Value) -> Predicate:
        if node.operator == "exists":
            if not isinstance(value, Path) or not value.keys:
                raise self._refusal("exists needs a JSON key", node.at)
            return Opposite(IsNull(value))
        if not isinstance(value, Column | Path):
            raise self._refusal("is null needs a field", node.at)
        return IsNull(value)

    def _binary(self, node: s.Binary) -> Value | Predicate:
        operator = node.operator
        if operator in COMPARISONS:
            return self._comparison(node)
        if operator == "in":
            return self._membership(node)
        if operator in ("like", "=~", "!~"):
            return self._text_match(node)
        if operator in ("<<", ">>"):
            raise self._foreign(f"operator {operator}", node.at)
        left, right = self._value(node.left), self._value(node.right)
        try:
            return fold.arithmetic(operator, left, right)
        except ValueError as error:
            raise self._refusal(str(error), node.at) from None

    def _comparison(self, node: s.Binary) -> Predicate:
        left, right = self._node(node.left), self._node(node.right)
        if _is_boolean(left) and _is_boolean(right):
            if node.operator not in ("==", "!="):
                raise self._refusal(f"{node.operator} does not compare conditions", node.at)
            one, other = (self._condition(side, node.at) for side in (left, right))
            same = fold.same(one, other)
            return same if node.operator == "==" else fold.opposite(same)
        if _is_predicate(left) or _is_predicate(right):
            raise self._refusal("a condition is compared with a value", node.at)
        self._in_range(left, node.at)
        self._in_range(right, node.at)
        try:
            return fold.comparison(node.operator, left, right)
        except ValueError as error:
            raise self._refusal(str(error), node.at) from None

    def _in_range(self, value: Value, at: int) -> None:
        if isinstance(value, Constant) and not isinstance(value.value, tuple):
            why = fold.unfit(value.value)
            if why:
                raise self._refusal(why, at)

    def _membership(self, node: s.Binary) -> Predicate:
        value = self._value(node.left)
        items = self._value(node.right)
        if not isinstance(items, Constant) or not isinstance(items.value, tuple):
            raise self._refusal("in needs a list", node.right.at)
        try:
            return fold.among(value, items.value)
        except ValueError as error:
            raise self._refusal(str(error), node.at) from None

    def _text_match(self, node: s.Binary) -> Predicate:
        value, right = self._value(node.left), self._value(node.right)
        if value.kind not in (Kind.STRING, Kind.JSON) or isinstance(value, Constant):
            raise self._refusal(f"{node.operator} needs a VARCHAR field or a JSON key", node.at)
        if not isinstance(right, Constant) or not isinstance(right.value, str):
            raise self._refusal(f"{node.operator} needs a string pattern", node.right.at)
        if node.operator == "like":
            return Match(value, *patterns.like(right.value))
        why = fold.bad_regex(right.value)
        if why:
            raise self._refusal(why, node.right.at)
        found = Match(value, "regex", right.value)
        return found if node.operator == "=~" else Opposite(found)

    # Functions.

    def _call(self, node: s.Call) -> Value | Predicate:
        name = node.name.lower()
        if name in _FOREIGN_CALLS:
            raise self._foreign(name, node.at)
        if name not in _CONTAINS and name != "array_length":
            raise self._refusal(f"no function {node.name}", node.at)
        wanted = 1 if name == "array_length" else 2
        if node.has_options or len(node.arguments) != wanted:
            raise self._refusal(f"{name} takes {wanted} arguments", node.at)
        path = self._value(node.arguments[0])
        if not isinstance(path, Path):
            raise self._refusal(f"{name} needs a JSON array", node.arguments[0].at)
        if name == "array_length":
            return Length(path)
        suffix = _CONTAINS[name]
        item = self._value(node.arguments[1])
        if not isinstance(item, Constant):
            raise self._refusal(f"{name} looks for constants", node.arguments[1].at)
        if not suffix:
            return Contains(path, (item.value,), every=True)
        if not isinstance(item.value, tuple):
            raise self._refusal(f"{name} needs a list", node.arguments[1].at)
        return Contains(path, item.value, every=suffix == "_all")


def _is_boolean(node: Value | Predicate) -> bool:
    return _is_predicate(node) or node.kind is Kind.BOOL
