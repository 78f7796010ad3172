"""The syntax tree of a filter: what was written, before names and types are looked at.

Every node knows the offset (`at`, in characters) at which it begins, for error messages.
"""

from dataclasses import dataclass
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant that was written out."""

    value: Plain
    at: int


@dataclass(frozen=True, slots=True)
class PlainList:
    """A list of integers, or of strings, that was written out."""

    values: tuple[int, ...] | tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """Any other list."""

    items: tuple["Node", ...]
    at: int


@dataclass(frozen=True, slots=True)
class Template:
    """`{name}`, to be replaced by a value that came beside the text."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A field or dynamic key, and the path into its JSON: strings are keys, integers positions."""

    name: str
    keys: tuple[str | int, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x`, `+x`, `~x`, `not x`, `exists x`, `x is null`."""

    operator: str
    operand: "Node"
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands around an operator: arithmetic, comparison, `in`, `like`, `=~`."""

    operator: str
    left: "Node"
    right: "Node"
    at: int


@dataclass(frozen=True, slots=True)
class Logic:
    """Two or more operands joined by `and`, or by `or`."""

    operator: str
    parts: tuple["Node", ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function by name; named options are never served, so only their presence is kept."""

    name: str
    arguments: tuple["Node", ...]
    has_options: bool
    at: int


@dataclass(frozen=True, slots=True)
class Foreign:
    """A form that Milvus has and Roost does not serve."""

    what: str
    at: int


Node: TypeAlias = (
    Literal | PlainList | ListOf | Template | Name | Unary | Binary | Logic | Call | Foreign
)
