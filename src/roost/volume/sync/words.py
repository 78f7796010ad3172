"""Durations, times and bandwidths as JuiceFS's flags spell them."""

import re
from datetime import datetime

from roost.errors import InvalidArgument

_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_PIECE = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h|d|w)")
_RATE = re.compile(r"(\d+(?:\.\d*)?)\s*([KMGT]?)(?:bps)?", re.IGNORECASE)
_MEGABITS = {"": 1.0, "K": 1e-3, "M": 1.0, "G": 1e3, "T": 1e6}
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


def duration_s(text: str) -> float:
    """Return the seconds of "1h30m", "2d", "10s" or a bare number.  Raises InvalidArgument."""
    if re.fullmatch(r"\d+(\.\d*)?", text):
        return float(text)
    pieces = list(_PIECE.finditer(text))
    if not pieces or "".join(piece[0] for piece in pieces) != text:
        raise InvalidArgument(
            f"not a duration: {text!r}", hint='Write it as "90s", "1h30m" or "2d".'
        )
    return sum(float(piece[1]) * _UNITS_S[piece[2]] for piece in pieces)


def megabits(text: str) -> float:
    """Return the megabits per second of "100", "100M" or "1.5G".  Raises InvalidArgument."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(
            f"not a bandwidth: {text!r}", hint='Write megabits per second: "100" or "1G".'
        )
    return float(found[1]) * _MEGABITS[found[2].upper()]


def local_time_ns(text: str) -> int:
    """Return the unix nanoseconds of "2026-01-31 12:00:00", local time.  Raises InvalidArgument."""
    for form in _TIMES:
        try:
            return int(datetime.strptime(text, form).astimezone().timestamp()) * 1_000_000_000
        except ValueError:
            continue
    raise InvalidArgument(f"not a time: {text!r}", hint='Write it as "2026-01-31 12:00:00".')
