"""What is read ahead comes in order, errors last, and no thread outlives the block."""

import threading
from collections.abc import Generator, Iterator

import pytest

from roost.errors import Unavailable
from roost.volume.tools.ahead import read_ahead

WAIT_S = 30


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "roost-ahead"]


@pytest.mark.parametrize("most", [0, 1, 3])
def test_all_items_come_in_order(most: int) -> None:
    with read_ahead(iter(range(100)), most) as items:
        assert list(items) == list(range(100))
    assert threads() == []


@pytest.mark.parametrize("most", [0, 1, 3])
def test_an_error_of_the_iterator_comes_after_the_items_before_it(most: int) -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise Unavailable("the wire was cut")

    taken: list[int] = []
    with read_ahead(failing(), most) as items, pytest.raises(Unavailable, match="cut"):
        taken.extend(items)
    assert taken == [1, 2]
    assert threads() == []


@pytest.mark.parametrize("most", [0, 1, 3])
def test_who_stops_early_ends_the_thread_and_closes_the_iterator(most: int) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    with read_ahead(endless(), most) as items:
        assert next(items) == 0
    assert closed.is_set()
    assert threads() == []


@pytest.mark.parametrize("most", [0, 1, 3])
def test_an_error_of_the_closing_is_raised_once_the_thread_has_ended(most: int) -> None:
    """Of an iterator that somebody stops early: nothing else went wrong."""

    def stubborn() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            raise Unavailable("the cursor did not close")

    with pytest.raises(Unavailable, match="cursor"), read_ahead(stubborn(), most) as items:
        assert next(items) == 0
    assert threads() == []


class Stubborn(Generator[int, None, None]):
    """Fails twice: of its second item, and when it is closed."""

    def __init__(self) -> None:
        self._sent = 0

    def send(self, _value: None) -> int:
        self._sent += 1
        if self._sent == 2:
            raise Unavailable("the wire was cut")
        return self._sent

    def throw(self, *_arguments: object) -> int:
        raise GeneratorExit

    def close(self) -> None:
        raise Unavailable("the cursor did not close")


@pytest.mark.parametrize("most", [0, 1, 3])
def test_of_two_errors_the_first_is_raised(most: int) -> None:
    with pytest.raises(Unavailable, match="wire"), read_ahead(Stubborn(), most) as items:
        list(items)
    assert threads() == []
    with pytest.raises(OSError, match="full"), read_ahead(Stubborn(), most):
        raise OSError("the disk is full")
    assert threads() == []


def test_an_error_of_who_takes_the_items_ends_the_thread() -> None:
    def write() -> None:
        with read_ahead(iter(range(100)), 2) as items:
            next(items)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write()
    assert threads() == []


def test_no_more_than_so_many_items_are_made_ahead() -> None:
    made = []
    second = threading.Event()
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 1:
                second.set()
            if number == 2:
                third.set()
            yield number

    with read_ahead(items(), 2) as found:
        assert second.wait(WAIT_S)
        assert not third.wait(0.05)
        assert made == [0, 1]
        assert next(found) == 0
        assert third.wait(WAIT_S)
