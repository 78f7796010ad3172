"""Ctrl-C at any moment of a call ends the connection; nobody hears another command's answer."""

import queue
from collections.abc import Callable

import pytest

from roost.volume.engines.redis import connection as module
from roost.volume.engines.redis.connection import Connection
from roost.volume.engines.redis.errors import ConnectionLost


class EchoingStream:
    """A server that numbers its answers."""

    def __init__(self) -> None:
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._count = 0
        self.on_send: Callable[[], None] = lambda: None

    def send(self, _data: bytes) -> None:
        self._count += 1
        self._answers.put(b"+answer %d\r\n" % self._count)
        self.on_send()

    def receive(self) -> bytes | None:
        return self._answers.get(timeout=5)

    def close(self) -> None:
        pass


def interrupt(*_anything: object) -> None:
    raise KeyboardInterrupt


def ends_the_connection(connection: Connection) -> None:
    assert connection.is_broken
    with pytest.raises(ConnectionLost):
        connection.call([("GET", "b")])


def test_an_interrupt_while_replies_are_handed_on_ends_the_connection() -> None:
    connection = Connection(EchoingStream(), interrupt)
    with pytest.raises(KeyboardInterrupt):
        connection.call([("GET", "a")], interrupt)
    ends_the_connection(connection)


def test_an_interrupt_after_a_reply_was_taken_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection(EchoingStream(), interrupt)
    monkeypatch.setattr(module.Pending, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        connection.call([("GET", "a")])
    monkeypatch.undo()
    ends_the_connection(connection)


def test_an_interrupt_in_the_middle_of_sending_ends_the_connection() -> None:
    stream = EchoingStream()
    stream.on_send = interrupt
    connection = Connection(stream, interrupt)
    with pytest.raises(KeyboardInterrupt):
        connection.call([("GET", "a")])
    stream.on_send = lambda: None
    ends_the_connection(connection)
