"""The stored form of blocks is JuiceFS's."""

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.errors import CorruptRecord, Unsupported
from roost.volume.data.compress import compression_named

NAMES = ["none", "lz4", "zstd"]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=5000))
@settings(max_examples=40, deadline=None)
def test_a_block_comes_back_and_keeps_the_bound(name: str, data: bytes) -> None:
    data = data or b"x"
    compression = compression_named(name)
    stored = bytes(compression.encode(data))
    assert compression.decode(stored, len(data), "here") == data
    assert len(stored) <= compression.stored_bytes_max(len(data))


def test_lz4_is_one_raw_block() -> None:
    assert bytes(compression_named("lz4").encode(b"x")) == bytes.fromhex("1078")


def test_zstd_is_one_frame_with_its_size_and_no_checksum() -> None:
    stored = bytes(compression_named("zstd").encode(bytes(4 << 20)))
    assert stored[:4] == bytes.fromhex("28b52ffd")
    frame = zstandard.get_frame_parameters(stored)
    assert frame.content_size == 4 << 20
    assert not frame.has_checksum
    assert frame.dict_id == 0


def test_zstd_frames_of_other_writers_are_read() -> None:
    data = b"some text " * 1000
    compression = compression_named("zstd")
    for level in (1, 9):
        for size in (True, False):
            for checksum in (True, False):
                packed = zstandard.ZstdCompressor(
                    level=level, write_content_size=size, write_checksum=checksum
                ).compress(data)
                assert compression.decode(packed, len(data), "here") == data


@pytest.mark.parametrize("name", NAMES)
def test_any_other_size_than_the_name_says_is_damage(name: str) -> None:
    compression = compression_named(name)
    stored = bytes(compression.encode(b"0123456789"))
    for size_bytes in (9, 11, 1, 1000):
        with pytest.raises(CorruptRecord, match="vol/chunks/0"):
            compression.decode(stored, size_bytes, "vol/chunks/0")


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_bytes_that_do_not_decode_are_damage(name: str) -> None:
    compression = compression_named(name)
    for stored in (b"", b"\xff" * 50, lz4.block.compress(b"x" * 100, store_size=True)):
        with pytest.raises(CorruptRecord, match="there"):
            compression.decode(stored, 100, "there")


def test_an_unknown_compression_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="brotli"):
        compression_named("brotli")
