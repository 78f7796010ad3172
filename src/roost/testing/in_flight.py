"""What a file may hold when the change under way at a crash or failure was not acknowledged."""

import numpy as np


def may_hold(found: bytes | None, old: bytes | None, new: bytes | None) -> bool:
    """True if `found` is what a change of `old` to `new` may leave when it ends half done.

    None is a file that is not there.  Each byte is the old one or the new one, and the length is
    between the two; a file that is made or removed is not there, or has its first bytes.
    """
    if found is None:
        return old is None or new is None
    if new is None:
        return found == old
    before = old or b""
    if not min(len(before), len(new)) <= len(found) <= max(len(before), len(new)):
        return False
    return bool(np.all(_equal(found, before) | _equal(found, new)))


def may_hold_replaced(found: bytes | None, old: bytes | None, new: bytes) -> bool:
    """The same if the file is cut to nothing first, then written from its start."""
    return found == old or (found is not None and new.startswith(found))


def _equal(found: bytes, other: bytes) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Tell of each byte of `found` whether `other` has the same one there."""
    equal = np.zeros(len(found), np.bool_)
    common = min(len(found), len(other))
    left, right = (np.frombuffer(data, np.uint8, common) for data in (found, other))
    equal[:common] = left == right
    return equal
