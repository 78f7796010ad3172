"""The proof behind a block on this host's disk."""

from hypothesis import given
from hypothesis import strategies as st

from roost.volume.data.checksums import PIECE_BYTES, is_sound, stored_bytes, trailer

NAME = "uuid/chunks/0/0/1_0_5"


def test_the_checksums_are_those_that_juicefs_writes() -> None:
    assert trailer(b"hello", NAME)[:4].hex() == "9a71bb4c"
    assert len(trailer(bytes(4 << 20), NAME)) == 512 + 4
    assert stored_bytes(5) == 5 + 4 + 4


@given(
    data=st.binary(min_size=1, max_size=200),
    pieces=st.integers(0, 3),
    where=st.integers(0, 1 << 30),
    bit=st.integers(0, 7),
)
def test_no_flipped_bit_is_sound(data: bytes, pieces: int, where: int, bit: int) -> None:
    data += bytes(pieces * PIECE_BYTES)
    stored = bytearray(data + trailer(data, NAME))
    stored[where % len(stored)] ^= 1 << bit
    assert is_sound(NAME, len(data), trailer(data, NAME), data)
    assert not is_sound(NAME, len(data), bytes(stored[len(data) :]), bytes(stored[: len(data)]))


def test_a_sound_block_in_the_place_of_another_is_not_sound() -> None:
    tail = trailer(b"hello", NAME)
    assert not is_sound("uuid/chunks/0/0/2_0_5", 5, tail, b"hello")
    assert not is_sound("other/chunks/0/0/1_0_5", 5, tail, b"hello")


def test_a_piece_is_proved_without_the_rest() -> None:
    data = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
    tail = trailer(data, NAME)
    second = data[PIECE_BYTES : 2 * PIECE_BYTES]
    assert is_sound(NAME, len(data), tail, second, PIECE_BYTES)
    assert is_sound(NAME, len(data), tail, data[3 * PIECE_BYTES :], 3 * PIECE_BYTES)
    assert (
        not is_sound(NAME, len(data), tail, second, 2 * PIECE_BYTES)
        or second == data[2 * PIECE_BYTES : 3 * PIECE_BYTES]
    )
    assert not is_sound(NAME, len(data), tail, b"x" + second[1:], PIECE_BYTES)
