"""The proxy delays by what it was told, counts exactly, loses nothing, and keeps pipelines."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from roost.bench.proxy import DelayingProxy

SLACK_S = 1.0  # of a busy machine


@contextmanager
def echo_server() -> Iterator[int]:
    """Answer everything with itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(one: socket.socket) -> None:
            with one:
                while data := one.recv(1 << 16):
                    one.sendall(data)
                one.shutdown(socket.SHUT_WR)

        def accept() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(one,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def exchange(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = client.recv(size - len(found))
        assert part, "the connection ended"
        found += part
    return bytes(found)


def test_each_exchange_is_one_round_trip_and_takes_at_least_the_time_asked_for() -> None:
    with (
        echo_server() as port,
        DelayingProxy(port, rtt_ms=20) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        start = time.monotonic()
        for _ in range(10):
            assert exchange(client) == b"hello"
        took = time.monotonic() - start
        assert 0.2 <= took < 0.2 + SLACK_S
        seen = proxy.traffic()
        assert (seen.connections, seen.round_trips) == (1, 10)
        assert (seen.sent_bytes, seen.received_bytes) == (50, 50)


def test_what_is_sent_without_waiting_shares_one_round_trip() -> None:
    with (
        echo_server() as port,
        DelayingProxy(port, rtt_ms=100) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.monotonic()
        for _ in range(50):
            client.sendall(b"x")
            time.sleep(0.0005)  # 50 pieces of their own, all under way before the first answer
        assert receive(client, 50) == b"x" * 50
        assert time.monotonic() - start < 0.1 + 0.05 + SLACK_S
        assert proxy.traffic().round_trips == 1


def test_round_trips_of_several_connections_add_up() -> None:
    with echo_server() as port, DelayingProxy(port) as proxy:
        before = proxy.traffic()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                exchange(client)
                exchange(client)
        seen = proxy.traffic().since(before)
        assert (seen.connections, seen.round_trips) == (3, 6)


def test_megabytes_pass_unchanged_both_ways_and_their_end_is_told() -> None:
    sent = bytes(range(256)) * (16 << 12)  # 16 MiB, four times what may be under way
    with (
        echo_server() as port,
        DelayingProxy(port, rtt_ms=2) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.append(receive(client, len(sent))))
        reader.start()
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        reader.join(60)
        assert found == [sent]
        assert client.recv(1) == b""


def test_a_held_answer_is_lost_with_its_connection_although_the_server_got_the_question() -> None:
    with (
        echo_server() as port,
        DelayingProxy(port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        exchange(client)
        proxy.hold_answers()
        client.sendall(b"do it")
        while proxy.traffic().received_bytes < 10:
            time.sleep(0.001)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.cut()
        client.settimeout(5)
        assert client.recv(1) == b""
        proxy.release_answers()
        with socket.create_connection(("127.0.0.1", proxy.port)) as other:
            assert exchange(other) == b"hello"


def test_held_answers_come_once_released() -> None:
    with (
        echo_server() as port,
        DelayingProxy(port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        proxy.hold_answers()
        client.sendall(b"later")
        while proxy.traffic().received_bytes < 5:
            time.sleep(0.001)
        proxy.release_answers()
        assert receive(client, 5) == b"later"


def test_a_shorter_delay_does_not_overtake_what_is_under_way() -> None:
    with (
        echo_server() as port,
        DelayingProxy(port, rtt_ms=200) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.sendall(b"first")
        time.sleep(0.02)
        proxy.set_rtt_ms(0)
        client.sendall(b"second")
        assert receive(client, 11) == b"firstsecond"


def test_an_url_keeps_everything_but_the_port() -> None:
    with DelayingProxy(6379) as proxy:
        assert proxy.url("redis://a:b@127.0.0.1:6379/3") == f"redis://a:b@127.0.0.1:{proxy.port}/3"
        told = proxy.url("mysql://u:p@(127.0.0.1:6379)/db")
        assert told == f"mysql://u:p@(127.0.0.1:{proxy.port})/db"
