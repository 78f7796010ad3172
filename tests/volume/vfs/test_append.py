"""Appends of several clients to one file."""

import os
import threading

import pytest

from roost.testing.volumes import TestVolume
from roost.volume.layout import CHUNK_BYTES

RECORD = 1000


def test_two_clients_that_append_at_once_overwrite_nothing(volume: TestVolume) -> None:
    first, second = volume.open(), volume.open()
    with first.open_file("/log", "a") as one, second.open_file("/log", "a") as two:
        for n in range(5):
            one.append(b"1" * RECORD)
            two.append(b"2" * RECORD)
            for file in (one, two) if n % 2 else (two, one):
                file.fsync()
    data = first.read("/log")
    assert len(data) == 10 * RECORD
    records = [data[start : start + RECORD] for start in range(0, len(data), RECORD)]
    assert sorted(records) == [b"1" * RECORD] * 5 + [b"2" * RECORD] * 5


def test_a_durable_append_tells_the_true_offset(volume: TestVolume) -> None:
    clients = [volume.open() for _ in range(3)]
    clients[0].write("/log", b"")
    found: dict[int, bytes] = {}
    lock = threading.Lock()

    def append(number: int) -> None:
        for n in range(20):
            data = bytes([number * 20 + n]) * (n + 1)
            offset = clients[number].append("/log", data)
            with lock:
                found[offset] = data

    threads = [threading.Thread(target=append, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = clients[0].read("/log")
    assert content == b"".join(data for _, data in sorted(found.items()))
    assert len(found) == 60


def test_an_append_mode_handle_writes_behind_what_others_wrote(volume: TestVolume) -> None:
    mine, other = volume.open(), volume.open()
    file = mine.open_file("/log", "a+")
    file.write(b"one")
    other.append("/log", b"other")
    file.write(b"two")
    file.close()
    assert other.read("/log") == b"otheronetwo"


def test_an_append_across_a_chunk_is_whole(volume: TestVolume) -> None:
    first, second = volume.open(), volume.open()
    first.write("/log", b"")
    first.truncate("/log", CHUNK_BYTES - 10)
    data = os.urandom(100)
    with first.open_file("/log", "a") as one:
        one.append(data)
        second.append("/log", b"x" * 3)
    assert second.read("/log", CHUNK_BYTES - 10) == b"xxx" + data


def test_what_is_written_at_places_and_appended_keeps_its_order(volume: TestVolume) -> None:
    client = volume.open()
    with client.open_file("/a", "x+") as file:
        file.append(b"0123456789")
        file.pwrite(5, b"XX")
        file.append(b"end")
        file.pwrite(20, b"far")
        assert file.append(b"!") == 23
        assert file.pread(0) == b"01234XX789end" + bytes(7) + b"far!"


@pytest.mark.parametrize("size_bytes", [0, 1, 200_000])
def test_an_append_of_any_size_is_at_the_end(volume: TestVolume, size_bytes: int) -> None:
    client = volume.open()
    client.write("/a", b"abc")
    data = os.urandom(size_bytes)
    assert client.append("/a", data) == 3
    assert client.read("/a") == b"abc" + data
