"""Numeric kernels over numpy columns, with the integer rules of C."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_TWO_TO_63 = 2.0**63
_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "&": np.bitwise_and,
    "|": np.bitwise_or,
    "^": np.bitwise_xor,
}


def integer_arithmetic(operator: str, left: Integers, right: Integers) -> tuple[Integers, Mask]:
    """Return the results, wrapping at 64 bits, and where there is one (no division by zero)."""
    fine = np.ones(len(left), dtype=np.bool_)
    with np.errstate(all="ignore"):
        if operator in _PLAIN:
            return _PLAIN[operator](left, right), fine
        fine = right != 0
        divisor = np.where(fine, right, 1)
        quotient = left // divisor
        # numpy rounds down, C towards zero.
        quotient += (quotient * divisor != left) & ((left < 0) != (divisor < 0))
        return (quotient if operator == "/" else left - quotient * divisor), fine


def float_arithmetic(operator: str, left: Floats, right: Floats) -> tuple[Floats, Mask]:
    """Return the results and where there is one; `%` and bit operators have none on floats."""
    with np.errstate(all="ignore"):
        if operator in ("+", "-", "*"):
            return _PLAIN[operator](left, right), np.ones(len(left), dtype=np.bool_)
        if operator != "/":
            return np.zeros(len(left)), np.zeros(len(left), dtype=np.bool_)
        fine = right != 0
        return left / np.where(fine, right, 1.0), fine


def signs(operator: str, sign: npt.NDArray[np.int8]) -> Mask:
    """Return what `left operator right` says, given the sign of left - right."""
    table: dict[str, Callable[[Any, int], Mask]] = {
        "==": np.equal,
        "!=": np.not_equal,
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
    }
    return table[operator](sign, 0)


def order_of_integers(left: Integers, right: Integers) -> npt.NDArray[np.int8]:
    """Return the sign of left - right."""
    return (left > right).astype(np.int8) - (left < right).astype(np.int8)


def order_of_floats(left: Floats, right: Floats) -> npt.NDArray[np.int8]:
    """Return the sign of left - right; 0 for NaN, which the caller tells apart."""
    return (left > right).astype(np.int8) - (left < right).astype(np.int8)


def order_of_mixed(left: Integers, right: Floats) -> npt.NDArray[np.int8]:
    """Return the exact sign of left - right, by value, also beyond 2**53."""
    rounded = left.astype(np.float64)
    sign = order_of_floats(rounded, right)
    tie = rounded == right
    beyond = tie & (right >= _TWO_TO_63)
    inside = tie & ~beyond
    sign[beyond] = -1
    sign[inside] = order_of_integers(left[inside], right[inside].astype(np.int64))
    return sign
