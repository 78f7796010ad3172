"""What literals of the filter language mean: C's numbers and strings, raw strings, booleans."""

import re

_ESCAPE = re.compile(
    r"""\\(?:
        (?P<octal>[0-7]{1,3}) | x(?P<hex>[0-9a-fA-F]+) | u(?P<four>[0-9a-fA-F]{4})
        | U(?P<eight>[0-9a-fA-F]{8}) | (?P<newline>\r\n|\n) | (?P<one>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip
_PREFIX = re.compile(r"(?:u8|u|U|L)?(?=[\"'])")


def integer(text: str) -> int:
    """Return what a decimal, octal (0…), hexadecimal (0x…) or binary (0b…) constant says."""
    head = text[:2].lower()
    if head == "0x":
        return int(text, 16)
    if head == "0b":
        return int(text, 2)
    return int(text, 8) if text[0] == "0" else int(text)


def floating(text: str) -> float:
    """Return what a decimal or hexadecimal floating constant says."""
    return float.fromhex(text) if text[:2].lower() == "0x" else float(text)


def boolean(text: str) -> bool:
    """Return what true, True, TRUE, false … say."""
    return text.lower() == "true"


def raw_text(text: str) -> str:
    """Return the text of r"…": backslashes stay as they are."""
    return text[2:-1]


def text_of(text: str) -> str:
    """Return the text of "…" or '…' with C's escapes undone.

    A backslash before any other character stays, so that `like "50\\%"` keeps its escape.
    Raises ValueError for a code point that does not exist.
    """
    start = _PREFIX.match(text)
    assert start is not None
    return _ESCAPE.sub(_unescape, text[start.end() + 1 : -1])


def _unescape(match: "re.Match[str]") -> str:
    if match["newline"]:
        return ""
    if match["one"]:
        return _SIMPLE.get(match["one"], match[0])
    if match["octal"]:
        return chr(int(match["octal"], 8))
    code = int(match["hex"] or match["four"] or match["eight"], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"no such character: {match[0]}")
    return chr(code)
