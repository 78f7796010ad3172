"""From text to syntax tree.

Parsing is cached by text, since clients send the same filter again and again; very long texts
(a list of thousands of ids) are not kept.
"""

import functools
import re
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from roost.vector.errors import FilterError
from roost.vector.expr.literals import boolean, floating, integer, raw_text, text_of
from roost.vector.expr.syntax import (
    Binary,
    Call,
    Foreign,
    ListOf,
    Literal,
    Logic,
    Name,
    Node,
    PlainList,
    Template,
    Unary,
)

CACHED_TEXTS = 256
CACHED_TEXT_CHARACTERS_MAX = 16 << 10

_PLAIN_STRING = re.compile(r""""([^"]*)"|'([^']*)'""")


def parse(text: str) -> Node:
    """Return the syntax tree of `text`.  Raises FilterError with the position."""
    if len(text) > CACHED_TEXT_CHARACTERS_MAX:
        return _parse(text)
    return _parse_cached(text)


def _parse(text: str) -> Node:
    try:
        tree: Any = _parser().parse(text)
    except UnexpectedToken as error:
        found = error.token
        if found.type == "$END":
            raise FilterError(text, "unexpected end", len(text)) from None
        raise FilterError(text, f"unexpected {str(found)!r}", _start(found)) from None
    except UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        raise FilterError(text, f"unexpected {text[at]!r}", at) from None
    except UnexpectedInput as error:
        raise FilterError(text, "not an expression", error.pos_in_stream) from None
    except VisitError as error:
        raise _Misread.at_text(error.orig_exc, text) from None
    except _Misread as error:
        raise _Misread.at_text(error, text) from None
    return tree  # type: ignore[no-any-return]  # the transformer makes a Node of `start`


_parse_cached = functools.lru_cache(CACHED_TEXTS)(_parse)


@functools.lru_cache(1)
def _parser() -> Lark:
    return Lark.open(
        "grammar.lark",
        rel_to=__file__,
        parser="lalr",
        transformer=_ToSyntax(),
        maybe_placeholders=False,
    )


class _Misread(Exception):
    """A literal that matches the grammar and still says nothing."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at

    @staticmethod
    def at_text(error: Exception, text: str) -> FilterError:
        assert isinstance(error, _Misread), error
        return FilterError(text, str(error), error.at)


def _read(token: Token, reader: Any) -> Any:
    try:
        return reader(str(token))
    except (ValueError, OverflowError) as error:
        raise _Misread(str(error), _start(token)) from None


def _start(token: Token) -> int:
    assert token.start_pos is not None
    return token.start_pos


@v_args(inline=True)
class _ToSyntax(Transformer):  # type: ignore[type-arg]  # lark's generics name its own trees
    """One method for each form of `grammar.lark`; the parser calls them bottom-up."""

    def start(self, node: Node) -> Node:
        return node

    def integer(self, token: Token) -> Literal:
        return Literal(_read(token, integer), _start(token))

    def floating(self, token: Token) -> Literal:
        return Literal(_read(token, floating), _start(token))

    def boolean(self, token: Token) -> Literal:
        return Literal(boolean(token), _start(token))

    def string(self, token: Token) -> Literal:
        return Literal(_read(token, text_of), _start(token))

    def raw_string(self, token: Token) -> Literal:
        return Literal(raw_text(token), _start(token))

    def integers(self, token: Token) -> PlainList:
        items = token[1:-1].rstrip().removesuffix(",").split(",")
        return PlainList(tuple(int(item.replace(" ", "")) for item in items), _start(token))

    def strings(self, token: Token) -> PlainList:
        found = _PLAIN_STRING.finditer(token)
        return PlainList(tuple(m[1] if m[1] is not None else m[2] for m in found), _start(token))

    def list(self, opening: Token, *items: Node) -> ListOf:
        return ListOf(items, _start(opening))

    def template(self, name: Token) -> Template:
        return Template(str(name), _start(name))

    def index(self, key: Token) -> Token:
        return key

    def name(self, name: Token, *keys: Token) -> Node:
        if any(key.type == "NAME" for key in keys):
            return Foreign("access to struct fields", _start(name))
        return Name(str(name), tuple(_key(key) for key in keys), _start(name))

    def element(self, dollar: Token, *_keys: Token) -> Foreign:
        return Foreign("elements of struct arrays ($)", _start(dollar))

    def time(self, token: Token) -> Foreign:
        return Foreign("timestamptz (ISO, INTERVAL)", _start(token))

    def option(self, name: Token, _value: Node) -> Token:
        return name

    def call(self, name: Token, *arguments: Any) -> Call:
        nodes = tuple(a for a in arguments if not isinstance(a, Token))
        return Call(str(name), nodes, len(nodes) < len(arguments), _start(name))

    def outer_call(self, token: Token, *_arguments: Any) -> Foreign:
        return Foreign("call", _start(token))

    def signed(self, sign: Token, operand: Node) -> Unary:
        return Unary(str(sign), operand, _start(sign))

    def negation(self, token: Token, operand: Node) -> Unary:
        return Unary("not", operand, _start(token))

    def exists(self, token: Token, operand: Node) -> Unary:
        return Unary("exists", operand, _start(token))

    def is_null(self, operand: Node, _token: Token) -> Unary:
        return Unary("is null", operand, operand.at)

    def is_not_null(self, operand: Node, _token: Token) -> Unary:
        return Unary("not", Unary("is null", operand, operand.at), operand.at)

    def binary(self, left: Node, operator: Token, right: Node) -> Binary:
        return Binary(operator.lower(), left, right, _start(operator))

    def not_in(self, left: Node, token: Token, _in: Token, right: Node) -> Unary:
        return Unary("not", Binary("in", left, right, _start(token)), _start(token))

    def chain(self, low: Node, first: Token, middle: Node, second: Token, high: Node) -> Logic:
        if first[0] != second[0]:
            raise _Misread("both sides of a range must point the same way", _start(second))
        parts = (
            Binary(str(first), low, middle, _start(first)),
            Binary(str(second), middle, high, _start(second)),
        )
        return Logic("and", parts, _start(first))

    def every(self, *parts: Node) -> Logic:
        return Logic("and", parts, parts[0].at)

    def either(self, *parts: Node) -> Logic:
        return Logic("or", parts, parts[0].at)


def _key(token: Token) -> str | int:
    if token.type == "INTEGER":
        return int(_read(token, integer))
    return str(raw_text(token) if token.type == "RAW_STRING" else _read(token, text_of))
