"""A checked filter: names resolved, constants folded, every node of a known kind.

Values have a `Kind`; predicates are true, false or unknown for each row.  A predicate over JSON is
never unknown because of what the JSON holds: a missing key or another type compares as false (and
`!=` as true), as in Milvus.  It is unknown only where a whole column is null.
"""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from roost.vector.schema import DataType

Scalar: TypeAlias = "bool | int | float | str"
Item: TypeAlias = "bool | int | float | str | tuple[Item, ...]"


class Kind(enum.Enum):
    """What a value is, as far as comparing goes."""

    BOOL = "bool"
    INT = "integer"
    FLOAT = "float"
    STRING = "string"
    LIST = "list"
    JSON = "json"
    """Decided row by row."""

    @property
    def is_number(self) -> bool:
        """True for INT and FLOAT."""
        return self in (Kind.INT, Kind.FLOAT)


@dataclass(frozen=True, slots=True)
class Column:
    """A scalar column."""

    name: str
    kind: Kind
    dtype: DataType


@dataclass(frozen=True, slots=True)
class Path:
    """A value inside a JSON column; no keys means the whole document."""

    column: str
    keys: tuple[str | int, ...]
    kind: Kind = Kind.JSON


@dataclass(frozen=True, slots=True)
class Length:
    """How many elements the JSON array at a path has; missing if it is no array."""

    path: Path
    kind: Kind = Kind.JSON


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for every row."""

    value: Item
    kind: Kind


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * / % & | ^` on numbers; integers wrap at 64 bits and divide towards zero.

    Division by zero gives no value: unknown for columns, missing for JSON.
    """

    operator: str
    left: "Value"
    right: "Value"
    kind: Kind


Value: TypeAlias = Column | Path | Length | Constant | Arithmetic


@dataclass(frozen=True, slots=True)
class Always:
    """The same truth for every row."""

    truth: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """A bool column, or a JSON value that is `true`."""

    value: Value


@dataclass(frozen=True, slots=True)
class Compare:
    """`== != < <= > >=`; a constant stands on the right."""

    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Among:
    """The value equals one of the items."""

    value: Value
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A text pattern; `how` is equal, prefix, suffix, infix or regex (RE2, found anywhere)."""

    value: Value
    how: str
    pattern: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column is null; for a JSON path also if the key is missing or its value null."""

    value: Column | Path


@dataclass(frozen=True, slots=True)
class Contains:
    """The JSON array has any, or every one, of the items."""

    path: Path
    items: tuple[Item, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Opposite:
    """Not; unknown stays unknown."""

    part: "Predicate"


@dataclass(frozen=True, slots=True)
class Same:
    """Both conditions are true, or both false; unknown if either is."""

    left: "Predicate"
    right: "Predicate"


@dataclass(frozen=True, slots=True)
class Every:
    """And."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Or."""

    parts: tuple["Predicate", ...]


Predicate: TypeAlias = (
    Always | Truth | Compare | Among | Match | IsNull | Contains | Opposite | Same | Every | Either
)


def columns_of(node: Predicate | Value) -> frozenset[str]:
    """Return the names of all columns that evaluating `node` reads."""
    match node:
        case Column(name=name) | Path(column=name) | Length(path=Path(column=name)):
            return frozenset({name})
        case Contains(path=path):
            return frozenset({path.column})
        case Arithmetic() | Compare() | Same():
            return columns_of(node.left) | columns_of(node.right)
        case Truth(value=value) | Among(value=value) | Match(value=value) | IsNull(value=value):
            return columns_of(value)
        case Opposite(part=part):
            return columns_of(part)
        case Every(parts=parts) | Either(parts=parts):
            return frozenset().union(*(columns_of(part) for part in parts))
        case Always() | Constant():
            return frozenset()


def reads_json(node: Predicate | Value) -> bool:
    """Return whether evaluating `node` decodes JSON, which is a thousand times slower."""
    match node:
        case Path() | Length() | Contains():
            return True
        case Arithmetic() | Compare() | Same():
            return reads_json(node.left) or reads_json(node.right)
        case Truth(value=value) | Among(value=value) | Match(value=value) | IsNull(value=value):
            return reads_json(value)
        case Opposite(part=part):
            return reads_json(part)
        case Every(parts=parts) | Either(parts=parts):
            return any(reads_json(part) for part in parts)
        case _:
            return False
