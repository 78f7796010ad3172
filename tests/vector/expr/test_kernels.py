"""Numbers as C and exact arithmetic have them."""

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from roost.vector.expr.kernels import float_arithmetic, integer_arithmetic, order_of_mixed

int64s = st.integers(-(2**63), 2**63 - 1)
near = st.one_of(st.integers(-20, 20), int64s)


@given(near, near)
@example(-7, 2)
@example(7, -2)
@example(-(2**63), 1)
def test_integers_divide_towards_zero(left: int, right: int) -> None:
    one, other = np.array([left]), np.array([right])
    quotient, fine = integer_arithmetic("/", one, other)
    rest, also_fine = integer_arithmetic("%", one, other)
    assert fine[0] == also_fine[0] == (right != 0)
    if right == 0 or (left, right) == (-(2**63), -1):
        return
    exact = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    assert quotient[0] == exact
    assert rest[0] == left - exact * right


@given(near, near)
def test_integers_wrap_at_64_bits(left: int, right: int) -> None:
    one, other = np.array([left]), np.array([right])
    for operator, exact in (("+", left + right), ("-", left - right), ("*", left * right)):
        got, fine = integer_arithmetic(operator, one, other)
        assert fine.all()
        assert (int(got[0]) - exact) % 2**64 == 0


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_floats_divide_by_everything_but_zero(left: float, right: float) -> None:
    _, fine = float_arithmetic("/", np.array([left]), np.array([right]))
    assert fine[0] == (right != 0)
    assert not float_arithmetic("%", np.array([left]), np.array([right]))[1][0]


@given(int64s, st.one_of(st.floats(allow_nan=False), int64s.map(float)))
@example(2**63 - 1, 2.0**63)
@example(2**53 + 1, 2.0**53)
@example(-(2**63), -(2.0**63))
@example(0, math.inf)
def test_an_integer_and_a_float_are_compared_by_value(left: int, right: float) -> None:
    sign = int(order_of_mixed(np.array([left]), np.array([right]))[0])
    assert sign == (left > right) - (left < right)
