"""Milvus's filter language over one row at a time: slow, short and obviously right.

Covers comparisons and their chains, `in`, `like`, `is null`, arithmetic, JSON and dynamic keys,
templates, `exists`, `json_contains…`.  None is SQL's null: logic is three-valued.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from roost.vector.errors import FilterError
from roost.vector.schema import CollectionSchema, DataType

Row = Mapping[str, Any]
Evaluate = Callable[[Row], Any]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||\*\*|[-+*/%<>()\[\],{}!]))""",
    re.VERBOSE,
)
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_CONTAINS = {
    "json_contains": lambda have, wanted: wanted in have,
    "json_contains_all": lambda have, wanted: all(one in have for one in wanted),
    "json_contains_any": lambda have, wanted: any(one in have for one in wanted),
}


def reference_filter(
    text: str, schema: CollectionSchema, params: Mapping[str, Any]
) -> Callable[[Row], bool]:
    """Return whether a row (field name to Python value, JSON parsed) passes the filter.

    Raises FilterError.
    """
    if not text.strip():
        return lambda row: True
    parser = _Parser(text, schema, params)
    evaluate = parser.either()
    parser.end()
    return lambda row: evaluate(row) is True


class _Parser:
    """Recursive descent; one method for each level of precedence, loosest first."""

    def __init__(self, text: str, schema: CollectionSchema, params: Mapping[str, Any]) -> None:
        self._text, self._schema, self._params = text, schema, params
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise FilterError(text, "unexpected character", at)
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()
        self._tokens.append(("end", "", len(text)))
        self._next = 0

    def end(self) -> None:
        """Everything must have been read."""
        if self._tokens[self._next][0] != "end":
            raise self._wrong("unexpected token")

    def either(self) -> Evaluate:
        left = self._both()
        while self._take("or", "||"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Evaluate:
        left = self._negation()
        while self._take("and", "&&"):
            left = _and(left, self._negation())
        return left

    def _negation(self) -> Evaluate:
        if self._take("not", "!"):
            inner = self._negation()
            return lambda row: _not(inner(row))
        return self._comparison()

    def _comparison(self) -> Evaluate:
        left = self._sum()
        word = self._take("is")
        if word:
            wanted = not self._take("not")
            self._expect("null")
            return lambda row: (left(row) is None) == wanted
        if self._take("like"):
            return _like(left, self._value())
        absent = bool(self._take("not"))
        if self._take("in"):
            members = self._value()
            return lambda row: _in(left(row), members, absent)
        result: Evaluate | None = None
        while sign := self._take(*_COMPARE):
            right = self._sum()
            one = _compare(_COMPARE[sign], left, right, sign == "!=")
            result, left = one if result is None else _and(result, one), right
        return result or left

    def _sum(self) -> Evaluate:
        left = self._product()
        while sign := self._take("+", "-"):
            left = _calculate(_ARITHMETIC[sign], left, self._product())
        return left

    def _product(self) -> Evaluate:
        left = self._atom()
        while sign := self._take("*", "/", "%"):
            left = _calculate(_ARITHMETIC[sign], left, self._atom())
        return left

    def _atom(self) -> Evaluate:
        if self._take("("):
            inner = self.either()
            self._expect(")")
            return inner
        kind, word, _ = self._tokens[self._next]
        if kind == "name" and word.lower() in _CONTAINS:
            return self._contains(_CONTAINS[word.lower()])
        if kind == "name" and word.lower() == "exists":
            self._next += 1
            path = self._atom()
            return lambda row: path(row) is not None
        if kind == "name" and word.lower() not in ("true", "false"):
            return self._name()
        value = self._value()
        return lambda row: value

    def _contains(self, test: Callable[[Any, Any], bool]) -> Evaluate:
        self._next += 1
        self._expect("(")
        have = self._atom()
        self._expect(",")
        wanted = self._value()
        self._expect(")")

        def evaluate(row: Row) -> Any:
            value = have(row)
            return test(value, wanted) if isinstance(value, list) else False

        return evaluate

    def _name(self) -> Evaluate:
        _, name, at = self._tokens[self._next]
        self._next += 1
        known = {field.name: field for field in self._schema.fields}
        keys: list[Any] = []
        if name not in known:
            if self._schema.dynamic is None:
                raise FilterError(self._text, f"field {name} not exist", at)
            name, keys = self._schema.dynamic.name, [name]
        while self._take("["):
            keys.append(self._value())
            self._expect("]")
        if known[name].dtype is not DataType.JSON and keys:
            raise FilterError(self._text, f"field {name} is not JSON", at)
        return lambda row: _reach(row[name], keys)

    def _value(self) -> Any:
        """Read a literal, a list of them, or a template."""
        kind, word, _at = self._tokens[self._next]
        self._next += 1
        if kind == "number":
            return float(word) if re.search("[.eE]", word) else int(word)
        if kind == "text":
            return ast.literal_eval(word)
        if word.lower() in ("true", "false"):
            return word.lower() == "true"
        if word in ("-", "+"):
            return -self._value() if word == "-" else self._value()
        if word == "[":
            return self._list()
        if word == "{":
            name = self._tokens[self._next][1]
            self._next += 1
            self._expect("}")
            if name not in self._params:
                raise self._wrong(f"no value for template {name}")
            return self._params[name]
        self._next -= 1
        raise self._wrong("unexpected token")

    def _list(self) -> list[Any]:
        values: list[Any] = []
        while not self._take("]"):
            values.append(self._value())
            if not self._take(","):
                self._expect("]")
                break
        return values

    def _take(self, *words: str) -> str:
        kind, word, _ = self._tokens[self._next]
        plain = word.lower() if kind == "name" else word
        if kind in ("name", "sign") and plain in words:
            self._next += 1
            return plain
        return ""

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._wrong(f"expected {word}")

    def _wrong(self, why: str) -> FilterError:
        return FilterError(self._text, why, self._tokens[self._next][2])


def _not(value: Any) -> Any:
    return None if value is None else value is not True


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Any:
        values = (left(row), right(row))
        return False if False in values else None if None in values else True

    return evaluate


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Any:
        values = (left(row), right(row))
        return True if True in values else None if None in values else False

    return evaluate


def _compare(compare: Any, left: Evaluate, right: Evaluate, unequal: bool) -> Evaluate:
    def evaluate(row: Row) -> Any:
        one, other = left(row), right(row)
        if one is None or other is None:
            return None
        if isinstance(one, str) != isinstance(other, str):
            return unequal
        return compare(one, other)

    return evaluate


def _calculate(calculate: Any, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Any:
        one, other = left(row), right(row)
        return None if one is None or other is None else calculate(one, other)

    return evaluate


def _in(value: Any, members: list[Any], absent: bool) -> Any:
    return None if value is None else (value in members) != absent


def _like(left: Evaluate, pattern: str) -> Evaluate:
    signs = {"%": ".*", "_": "."}
    wanted = re.compile("".join(signs.get(c, re.escape(c)) for c in pattern), re.DOTALL)

    def evaluate(row: Row) -> Any:
        value = left(row)
        return None if not isinstance(value, str) else wanted.fullmatch(value) is not None

    return evaluate


def _reach(value: Any, keys: list[Any]) -> Any:
    for key in keys:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value
