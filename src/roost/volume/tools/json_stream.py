"""Reading one JSON document too large for memory, piece by piece.

`JsonStream` stands at a place in the document.  The caller steps into objects and lists as far as
it wants to see them apart, and takes the values below whole, which the C scanner of `json` parses.
Memory is one buffer, which grows to the largest value taken whole, at most VALUE_CHARS_MAX.
"""

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from json.decoder import JSONDecodeError
from typing import Any, BinaryIO

from roost.errors import CorruptRecord, Unsupported

READ_BYTES = 1 << 18
VALUE_CHARS_MAX = 1 << 26
STRING_CHARS_MAX = 1 << 20  # far more than an extended attribute can be
_TOKEN_CHARS_MAX = 16  # of what is cut at the end of the buffer: a number, a word, an escape

# Its first segment, the settings, is of kind 1.  Source: JuiceFS, pkg/meta/backup.go.
_BINARY_DUMP = (1).to_bytes(4)

_SPACE = re.compile(r"[ \t\r\n]*")


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


_scan = json.JSONDecoder(parse_constant=_refuse_constant, strict=True).scan_once  # type: ignore[attr-defined]


class JsonStream:
    """A place in a JSON document that is read from `file`.

    Whatever is wrong with the document, its end included, raises CorruptRecord with the place;
    what JuiceFS writes with --binary raises Unsupported.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._at = 0
        self._before = 0  # characters dropped before the buffer
        self._ended = False
        self._is_new = True

    @property
    def where(self) -> str:
        """The name of the document and the place in it."""
        return f"{self._name} near character {self._before + self._at}"

    def fields(self) -> Iterator[str]:
        """Step into an object; yield each key, whose value the caller then must take."""
        self._demand("{")
        if self._skip_if("}"):
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._damage("a key that is no text")
            self._demand(":")
            yield key
            if not self._skip_if(","):
                self._demand("}")
                return

    def items(self) -> Iterator[None]:
        """Step into a list; yield before each value, which the caller then must take."""
        self._demand("[")
        if self._skip_if("]"):
            return
        while True:
            yield
            if not self._skip_if(","):
                self._demand("]")
                return

    def value(self) -> Any:
        """Take the next value whole."""
        self._peek()
        while True:
            try:
                value, end = _scan(self._text, self._at)
            except StopIteration as error:
                self._grow_or(error, "no value", error.value)
                continue
            except JSONDecodeError as error:
                self._grow_or(error, error.msg, error.pos)
                continue
            except (RecursionError, ValueError) as error:
                raise self._damage(f"it does not parse: {error}") from error
            if end < len(self._text) or self._ended:
                self._at = end
                return value
            self._fill()  # a number may go on behind the buffer

    def matches(self, pattern: "re.Pattern[str]") -> bool:
        """True if what follows matches; what lies far ahead may not be in the buffer."""
        if len(self._text) - self._at < READ_BYTES // 8:
            self._fill()
        return pattern.match(self._text, self._at) is not None

    def run(self, pattern: "re.Pattern[str]", most: int, chars_max: int) -> list["re.Match[str]"]:
        """Take what follows as long as it matches, piece by piece, up to `most` pieces.

        None of them, of which none has more than `chars_max` characters, is taken in part.
        """
        if len(self._text) - self._at < chars_max:
            self._fill()
        text, at = self._text, self._at
        last = len(text) if self._ended else len(text) - chars_max
        found: list[re.Match[str]] = []
        while at < last and len(found) < most:
            piece = pattern.match(text, at)
            if piece is None:
                break
            found.append(piece)
            at = piece.end()
        self._at = at
        return found

    def back_to(self, piece: "re.Match[str]") -> None:
        """Stand behind a piece of the last run, so that `where` tells of it."""
        self._at = piece.end()

    def end(self) -> None:
        """Demand that nothing follows.  An attached checksum, as of gzip, is then verified."""
        if self._peek():
            raise self._damage("more follows after the document")

    # ---- the buffer
    def _peek(self) -> str:
        """Skip white space and return the next character; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def _demand(self, character: str) -> None:
        if self._peek() != character:
            raise self._damage(f"{character!r} was expected" + (", not the end" * self._ended))
        self._at += 1

    def _skip_if(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _grow_or(self, error: Exception, why: str, pos: int) -> None:
        """Read as much again as is in the buffer if the value is cut there; else raise."""
        behind = len(self._text) - pos
        is_cut = behind <= (
            STRING_CHARS_MAX if why.startswith("Unterminated string") else _TOKEN_CHARS_MAX
        )
        if self._ended or not is_cut or len(self._text) - self._at > VALUE_CHARS_MAX:
            raise self._damage(f"it does not parse: {why}") from error
        self._fill(max(READ_BYTES, len(self._text) - self._at))

    def _fill(self, wanted_bytes: int = READ_BYTES) -> None:
        if self._ended:
            return
        try:
            raw = self._file.read(wanted_bytes)
            if self._is_new and raw.startswith(_BINARY_DUMP):
                raise Unsupported(
                    f"{self._name}: a binary dump of JuiceFS, which Roost does not read",
                    hint="Dump again without --binary, or let `juicefs load` fill a database and"
                    " dump that.",
                )
            self._is_new = False
            self._ended = not raw
            more = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._damage("bytes that are no UTF-8") from error
        except (OSError, EOFError, ValueError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the document's
            raise self._damage(f"it cannot be unpacked: {error}") from error
        self._before += self._at
        self._text = self._text[self._at :] + more
        self._at = 0

    def _damage(self, why: str) -> CorruptRecord:
        return CorruptRecord(self.where, why, hint="Use another dump; nothing was changed.")
