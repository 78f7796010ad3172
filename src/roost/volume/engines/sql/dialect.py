"""One spelling of SQL for SQLite, MySQL (MariaDB) and PostgreSQL.

Statements are written once, with `?` for values, as SQLite and PostgreSQL understand them, and:

EXACT(name)      the bytes of a text column, compared byte for byte whatever the collation
TEXT(?)          the text whose UTF-8 bytes are given
CAST(… AS BLOB)  bytes joined by ||
GREATEST(a, b)   the larger of two numbers
NUMBERS(a; b: c) `c`, or NULL where SQLite stores in `a` what is no whole number, or in `b` what
                 is neither that nor NULL; each of the two may be several columns
PACKED(a, b)     columns of numbers; in MySQL one text, NULL if the first column is, because
                 its client spends more on a column than on a row (see `rows.unpacked`)

MySQL sessions run with ANSI_QUOTES and PIPES_AS_CONCAT (see `mysql`), so "name" and || are known.
"""

import re
from dataclasses import dataclass, field

Value = int | str | bytes | None
Statement = tuple[str, tuple[Value, ...]]
PREFIX = "jfs_"

_EXACT = re.compile(r"EXACT\(([\w.]+)\)")
_TEMPLATES_MAX = 4096  # statements over many rows are as many as there are numbers of rows
_PACKED = re.compile(r"PACKED\(([^)]*)\)")
_NUMBERS = re.compile(r"NUMBERS\(([^:;]*)(?:; ([^:]*))?: (\w+)\)")
_CONFLICT = re.compile(r"ON CONFLICT \([^)]*\) DO UPDATE SET")
_EXCLUDED = re.compile(r"excluded\.(\w+)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database wants statements spelled; `prefix` begins the names of all tables.

    With `assigns_in_order` an UPDATE's later assignments see what earlier ones stored.
    """

    name: str
    prefix: str = PREFIX
    assigns_in_order: bool = False
    has_sequences: bool = False
    _spelled: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _formats: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def spell(self, template: str) -> str:
        """Return the statement as the database wants it, still with `?` for values."""
        found = self._spelled.get(template)
        if found is None:
            found = _kept(self._spelled, template, _spell(self, template))
        return found

    def render(self, statement: Statement) -> str:
        """Return the statement with its values in it.  Not for SQLite, which binds them."""
        template, values = statement
        found = self._formats.get(template)
        if found is None:
            made = self.spell(template).replace("%", "%%").replace("?", "%s")
            found = _kept(self._formats, template, made)
        literal = self.literal
        # Most values are numbers, which the format writes by itself; not so enumerations.
        return found % tuple([value if type(value) is int else literal(value) for value in values])

    def literal(self, value: Value) -> str:
        """Return a value as SQL, safe whatever it holds."""
        if value is None:
            return "NULL"
        if isinstance(value, int):
            return str(int(value))
        if isinstance(value, str):
            return self._text(value)
        digits = value.hex()
        return f"'\\x{digits}'::bytea" if self.name == "postgres" else f"x'{digits}'"

    def _text(self, value: str) -> str:
        if value.isascii() and value.isalnum():
            return f"'{value}'"
        digits = value.encode().hex()
        if self.name == "postgres":
            return f"convert_from('\\x{digits}'::bytea, 'UTF8')"
        return f"_utf8mb4 x'{digits}'"


SQLITE = Dialect("sqlite")


def mysql(prefix: str = PREFIX) -> Dialect:
    """Return the spelling of MySQL and MariaDB."""
    return Dialect("mysql", prefix, assigns_in_order=True)


def postgres(prefix: str = PREFIX) -> Dialect:
    """Return the spelling of PostgreSQL."""
    return Dialect("postgres", prefix, has_sequences=True)


def _kept(known: dict[str, str], template: str, made: str) -> str:
    if len(known) >= _TEMPLATES_MAX:
        known.clear()
    known[template] = made
    return made


def _spell(dialect: Dialect, template: str) -> str:
    text = template
    if dialect.prefix != PREFIX:
        text = text.replace(PREFIX, dialect.prefix)
        # Volumes that share a database do not share the private table either.
        text = text.replace("roost_commit", f"roost_{dialect.prefix.removeprefix(PREFIX)}commit")
    if dialect.name != "mysql":
        text = _PACKED.sub(r"\1", text)
    if dialect.name != "sqlite":
        text = _NUMBERS.sub(r"\3", text)  # their columns hold nothing else
    if dialect.name == "sqlite":
        text = _EXACT.sub(r"CAST(\1 AS BLOB)", text)
        text = _NUMBERS.sub(_if_numbers, text)
        return text.replace("TEXT(?)", "CAST(? AS TEXT)").replace("GREATEST(", "MAX(")
    if dialect.name == "postgres":
        text = _EXACT.sub(r"convert_to(\1, 'UTF8')", text)
        return text.replace("TEXT(?)", "convert_from(?, 'UTF8')").replace("AS BLOB)", "AS bytea)")
    text = _EXACT.sub(r"CAST(CONVERT(\1 USING utf8mb4) AS BINARY)", text)
    text = _PACKED.sub(_concatenated, text)
    text = text.replace("TEXT(?)", "CONVERT(? USING utf8mb4)").replace("AS BLOB)", "AS BINARY)")
    text = _CONFLICT.sub("ON DUPLICATE KEY UPDATE", text)
    return _EXCLUDED.sub(r"VALUES(\1)", text).replace("FOR SHARE", "LOCK IN SHARE MODE")


def _if_numbers(numbers: re.Match[str]) -> str:
    tests = [f"typeof({column}) = 'integer'" for column in numbers[1].split(", ")]
    optional = numbers[2].split(", ") if numbers[2] else ()
    tests += [f"typeof({column}) IN ('integer', 'null')" for column in optional]
    return f"CASE WHEN {' AND '.join(tests)} THEN {numbers[3]} END"


def _concatenated(packed: re.Match[str]) -> str:
    first, *others = packed[1].split(", ")
    rest = "".join([f", ' ', COALESCE({column}, 0)" for column in others])
    return f"CONCAT({first}{rest})"
