"""Places for volumes on every engine, and a volume with some of everything."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.testing.clock import ManualClock
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.opening import drop_memory_volume
from roost.volume.model import ROOT, AttrChange, ChunkNo, Kind, Slice
from roost.volume.settings import new_settings

SERVERS = {"redis": "redis_url", "mysql": "mysql_url", "postgres": "pg_url"}
MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
ENGINES = ("memory", "sqlite3", "redis", "mysql", "postgres")


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "memory":
        yield f"memory://{tmp_path}"
        drop_memory_volume(str(tmp_path))
    elif request.param in SERVERS:
        yield request.getfixturevalue(SERVERS[request.param])
    else:
        with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as folder:
            yield f"sqlite3://{folder}/meta.db"


@pytest.fixture
def full_url(tmp_path: Path) -> Iterator[str]:
    """A volume in memory with some of everything."""
    url = f"memory://full-{tmp_path}"
    format_volume(url, new_settings("full", bucket="/b", trash_days=1))
    with open_meta(url, clock=ManualClock()) as meta:
        fill(meta)
    yield url
    drop_memory_volume(f"full-{tmp_path}")


def fill(meta: Meta) -> None:
    """Make files, holes, links, devices, attributes and trash, with odd names."""
    folder = meta.mkdir(ROOT, b'a "b" %41\\').ino
    deep = folder
    for _ in range(5):
        deep = meta.mkdir(deep, b"\xff\xfe\n\x01").ino
    file = meta.create(folder, "Jäger\u2028☃".encode()).ino
    for chunk_no in (0, 2, 3):
        for pos in (0, 100):
            record = Slice(pos, meta.new_slice_id(), 500, 10, 200)
            meta.write_slice(file, ChunkNo(chunk_no), record)
    meta.link(file, deep, b"hard")
    meta.link(file, ROOT, b"harder")
    meta.symlink(deep, b"soft", b"../\xff \n/%")
    meta.mknod(deep, b"pipe", Kind.FIFO, 0o600)
    meta.mknod(deep, b"device", Kind.CHAR_DEVICE, 0o640, rdev=0x103)
    meta.setxattr(file, b"user.b", b'\x00\xff% "')
    meta.setxattr(deep, b"user.a", b"")
    meta.truncate(meta.create(ROOT, b"sparse").ino, 10 << 30)
    meta.setattr(folder, AttrChange(mode=0o4751, uid=1000, gid=1001, mtime_ns=-1_500_000_001))
    gone = meta.create(ROOT, b"gone").ino
    meta.write_slice(gone, ChunkNo(0), Slice(0, meta.new_slice_id(), 5, 0, 5))
    meta.unlink(ROOT, b"gone")
    meta.mkdir(ROOT, b"away")
    meta.rmdir(ROOT, b"away")


@pytest.fixture
def shared_url(tmp_path: Path) -> Iterator[str]:
    """A volume in memory with files that share slices: clones, and one written into twice."""
    url = f"memory://shared-{tmp_path}"
    format_volume(url, new_settings("shared", bucket="/b", trash_days=1))
    with open_meta(url, clock=ManualClock()) as meta:
        folder = meta.mkdir(ROOT, b"folder").ino
        for name in (b"one", b"two"):
            file = meta.create(folder, name).ino
            record = Slice(0, meta.new_slice_id(), 500, 0, 500)
            meta.write_slice(file, ChunkNo(0), record)
            meta.write_slice(file, ChunkNo(1), Slice(0, meta.new_slice_id(), 9, 0, 9))
        meta.clone(folder, ROOT, b"clone")
        meta.clone(folder, ROOT, b"another")
    yield url
    drop_memory_volume(f"shared-{tmp_path}")
