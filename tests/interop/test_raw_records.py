"""Every stored record has the bytes that the official client writes for the same operations.

Two volumes are filled alike, one through the mount and one by Roost, and all keys of Redis or all
rows of SQL are compared (raw_records.py says what is masked).
"""

import fcntl
import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from roost.testing.client_side import ClientSide
from roost.testing.clock import ManualClock
from roost.testing.interop_machine import USER
from roost.testing.interop_parts import acl
from roost.testing.sides import ACCESS_ACL, DEFAULT_ACL, FALLOC_ZERO_RANGE, PosixSide, Side
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError
from roost.volume.meta import clone as cloning
from roost.volume.model import ROOT, AttrChange, Caller, LockKind, QuotaKind, RenameFlag
from roost.volume.tools.compacting import compact_paths

from .conftest import Juicefs, wait_for
from .raw_records import (
    KINDS_ON,
    Pair,
    different,
    has_statistics_of_the_root,
    owning_the_hour,
    redis_pair,
    rows_of,
    server_pair,
    sqlite_pair,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

KIB = 1024


def fill(side: Side) -> None:
    """Make records of every kind that a path can make."""
    side.mkdir("d", 0o755)
    side.write("d/f", 0, b"a" * 100 * KIB)
    side.write("d/f", 50 * KIB, b"b" * 100)
    side.truncate("d/f", 90 * KIB)
    side.fallocate("d/f", FALLOC_ZERO_RANGE, 10, 500)
    side.link("d/f", "hard")
    side.symlink("d/f", "soft \xff")
    side.chmod("d/f", 0o4751)
    side.chown("hard", 1001, 2002)
    side.setxattr("d/f", "user.x", b"\x00\xff")
    side.setxattr("d/f", ACCESS_ACL, acl([6, 5, 4, 7, 5, 1], True, 1001, 2002))
    side.mkdir("inherits", 0o700)
    side.setxattr("inherits", DEFAULT_ACL, acl([7, 5, 4, 7, 5, 0], True, 1002, 2003))
    side.mkdir("inherits/below", 0o755)
    side.write("inherits/file", 0, b"x")
    side.write("copied", 0, b"")
    side.copy_range("d/f", 5, "copied", 7, 3000)
    side.write("over", 0, b"over")
    side.write("under", 0, b"under")
    side.rename("over", "under", RenameFlag.NONE)
    side.mkdir("gone", 0o755)
    side.rmdir("gone")
    side.unlink("hard")


@pytest.fixture(params=["sqlite", "redis", "mariadb", "postgres"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Two empty places in one kind of database."""
    if request.param == "sqlite":
        return sqlite_pair(tmp_path)
    server = request.getfixturevalue(f"{request.param}_server")
    return redis_pair(server) if request.param == "redis" else server_pair(server.new_database)


def test_all_records_are_those_of_the_official_client(
    pair: Pair, juicefs: Juicefs, tmp_path: Path, stack: ExitStack
) -> None:
    os.umask(0o022)
    for name, url in (("ours", pair.ours), ("theirs", pair.theirs)):
        juicefs.run(
            "format", "--storage", "file", "--bucket", f"{tmp_path}/{name}/", "--block-size",
            "64K", "--enable-acl", "--trash-days", "1", url, "same",
        )  # fmt: skip
    limits = ("--inodes", "1000", "--capacity", "1")
    juicefs.run("quota", "set", pair.theirs, "--uid", "1001", *limits)
    juicefs.run("quota", "set", pair.theirs, "--gid", "2002", "--inodes", "7")
    client = stack.enter_context(VolumeClient.open(pair.ours, cache_dir=tmp_path / "cache"))
    quota_set = client.meta.quota_set
    quota_set(QuotaKind.USER, 1001, inodes_max=1000, space_bytes_max=1 << 30)
    quota_set(QuotaKind.GROUP, 2002, inodes_max=7)
    client.mkdir("/limited")
    ino = client.node("/limited").ino
    quota_set(QuotaKind.DIRECTORY, ino, inodes_max=1000, space_bytes_max=1 << 30)
    point = stack.enter_context(juicefs.mounted(pair.theirs, "--heartbeat", "1"))
    (point / "limited").mkdir()
    juicefs.run("quota", "set", pair.theirs, "--path", "/limited", *limits)
    wait_for(lambda: os.statvfs(point / "limited").f_files == 1000)
    # The root's statistics are counted when they are first written; a name that comes in between
    # would be counted twice.
    wait_for(lambda: has_statistics_of_the_root(pair.records(pair.theirs)))

    for top in ("", "limited/"):
        fill(ClientSide(client, f"/{top}".rstrip("/") or "/"))
        fill(PosixSide(point / top))

    held_there = stack.enter_context((point / "d/f").open("r+b"))
    fcntl.flock(held_there, fcntl.LOCK_EX)
    for kind, start, length in ((fcntl.LOCK_EX, 10, 10), (fcntl.LOCK_SH, 20, 5)):
        fcntl.lockf(held_there, kind, length, start)
    held_here = stack.enter_context(client.open_file("/d/f", "r+"))
    held_here.flock(LockKind.WRITE)
    held_here.lock_range(LockKind.WRITE, 10, 19)
    held_here.lock_range(LockKind.READ, 20, 24)

    compact_paths(client, ["/d/f"])
    juicefs.run("compact", str(point / "d"))

    # Open while it leaves the trash: sustained by the session.
    client.write("/open", b"x")
    (point / "open").write_bytes(b"x")
    stack.enter_context(client.open_file("/open"))
    stack.enter_context((point / "open").open("rb"))
    client.remove("/open")
    (point / "open").unlink()
    hour = client.listdir("/.trash")[-1]
    (entry,) = [name for name in client.listdir(f"/.trash/{hour}") if name.endswith("-open")]
    client.remove(f"/.trash/{hour}/{entry}")
    (hour_there,) = os.listdir(point / ".trash")
    (point / ".trash" / hour_there / entry).unlink()

    assert not [name for name in KINDS_ON[pair.kind] if not pair.records(pair.theirs).get(name)]

    def look() -> dict[str, tuple[object, object]]:
        return different(pair.records(pair.ours), owning_the_hour(pair.records(pair.theirs)))

    deadline = time.monotonic() + 10  # the mount counts late
    while look() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert look() == {}


def test_the_official_client_removes_what_an_unfinished_clone_left(
    pair: Pair, juicefs: Juicefs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note of one lasts no longer than the clone: its bytes are shown by the use made of it."""
    juicefs.run("format", "--storage", "file", "--bucket", f"{tmp_path}/o/", pair.ours, "left")
    yesterday = ManualClock(time.time_ns() - 25 * 3_600_000_000_000)
    with VolumeClient.open(pair.ours, cache_dir=tmp_path / "cache", clock=yesterday) as client:
        client.mkdir("/d/closed", parents=True)
        client.write("/d/f", b"x")
        before = client.statfs().used_inodes
        client.setattr("/d/closed", AttrChange(mode=0))
        monkeypatch.setattr(cloning, "discard", lambda _volume, _root: False)  # as if killed
        with pytest.raises(FsError):
            client.meta.clone(client.node("/d").ino, ROOT, b"copy", Caller(USER, USER))
        left = client.statfs().used_inodes - before
    monkeypatch.undo()
    assert left > 0
    noted = pair.records(pair.ours)
    assert noted.get("detachedNodes") == [b"N"] or len(rows_of(noted["jfs_detached_node"])) == 1
    juicefs.run("gc", pair.ours, "--delete")
    cleaned = pair.records(pair.ours)
    assert not cleaned.get("detachedNodes")
    assert not cleaned.get("jfs_detached_node")
    with VolumeClient.open(pair.ours, read_only=True, cache_dir=tmp_path / "again") as client:
        assert client.statfs().used_inodes == before
        assert client.meta.check() == ()
