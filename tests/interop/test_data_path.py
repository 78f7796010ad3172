"""What Roost's data path leaves behind, read by the official client and checked by it."""

import os
import random
from pathlib import Path

import pytest

from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.data.compact import compact_chunk
from roost.volume.data.settings import DataSettings
from roost.volume.layout import CHUNK_BYTES
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import ChunkNo

from .conftest import Juicefs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

BLOCK = 64 << 10
PUNCH = FallocateFlag.PUNCH_HOLE | FallocateFlag.KEEP_SIZE


def judge(juicefs: Juicefs, volume: TestVolume, files: dict[str, bytes]) -> None:
    """The official client reads the same bytes, and finds nothing damaged or left over."""
    for client in volume.clients:
        client.close()
    with juicefs.mounted(volume.meta_url) as mount:
        for path, data in files.items():
            assert (mount / path.lstrip("/")).read_bytes() == data, path
    assert "ERROR" not in juicefs.run("fsck", volume.meta_url)
    reader = volume.open(read_only=True)
    blocks = reader.core.blocks
    refs = [
        block for ref in reader.meta.list_slice_refs() for block in blocks.refs(ref.id, ref.size)
    ]
    assert set(volume.objects()) == {blocks.key(ref) for ref in refs}
    volume.finish()


@pytest.mark.parametrize("trash_days", [0, 1])
def test_a_compacted_file_is_the_same_to_the_official_client(
    juicefs: Juicefs, tmp_path: Path, trash_days: int
) -> None:
    volume = make_test_volume(tmp_path / "volume", trash_days=trash_days)
    client = volume.open(data=DataSettings(compact=False))
    rng = random.Random(7)
    model = bytearray(40 * BLOCK)
    with client.open_file("/a", "x") as file:
        for n in range(60):
            offset, data = rng.randrange(38 * BLOCK), bytes([n + 1]) * rng.randrange(2 * BLOCK)
            file.pwrite(offset, data)
            file.fsync()
            model[offset : offset + len(data)] = data
    length = client.stat("/a").length
    ino = client.node("/a").ino
    assert compact_chunk(client.core, ino, ChunkNo(0)) > 50
    client.append("/a", b"and goes on")
    judge(juicefs, volume, {"/a": bytes(model[:length]) + b"and goes on"})


def test_appends_holes_and_copies_are_the_same_to_the_official_client(
    juicefs: Juicefs, tmp_path: Path
) -> None:
    volume = make_test_volume(tmp_path / "volume")
    first, second = volume.open(), volume.open()
    data = os.urandom(3 * BLOCK)
    first.write("/log", b"")
    first.truncate("/log", CHUNK_BYTES - BLOCK)
    with first.open_file("/log", "a") as log:
        log.append(data)  # lies across the border of a chunk
        second.append("/log", b"between")
    first.write("/a", data)
    first.fallocate("/a", BLOCK, BLOCK, PUNCH)
    first.write("/b", b"0123456789")
    first.copy_file_range("/log", CHUNK_BYTES - 10, "/b", 5, 2 * BLOCK)
    hole = bytes(CHUNK_BYTES - BLOCK)
    log_bytes = hole + b"between" + data
    judge(
        juicefs,
        volume,
        {
            "/log": log_bytes,
            "/a": data[:BLOCK] + bytes(BLOCK) + data[2 * BLOCK :],
            "/b": b"01234" + log_bytes[CHUNK_BYTES - 10 :][: 2 * BLOCK],
        },
    )


def test_what_write_back_stored_late_is_there_for_the_official_client(
    juicefs: Juicefs, tmp_path: Path
) -> None:
    volume = make_test_volume(tmp_path / "volume", compression="lz4")
    client = volume.open(data=DataSettings(writeback=True))
    files = {f"/{n}": os.urandom(n * BLOCK // 2 + 1) for n in range(6)}
    for path, data in files.items():
        client.write(path, data)
    judge(juicefs, volume, files)
