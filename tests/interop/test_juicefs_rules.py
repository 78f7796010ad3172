"""ACLs, locks, clones and compactions of one volume, by Roost and the mounted juicefs."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from roost.volume.errors import FsError
from roost.volume.layout import block_key
from roost.volume.meta import acl
from roost.volume.meta.answers import FallocateFlag
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.model import (
    ROOT,
    AclRule,
    AttrChange,
    ChunkNo,
    Ino,
    LockKind,
    RangeLock,
    Slice,
)
from roost.volume.settings import new_settings

from .conftest import Juicefs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

RULE = AclRule(6, 4, 7, 4, ((1001, 7),), ((2002, 5),))


@dataclass(frozen=True)
class Both:
    """A volume with ACLs, open here and mounted there."""

    meta: Meta
    point: Path
    url: str
    objects: Path

    def ino(self, path: str) -> Ino:
        return self.meta.resolve(path).ino

    def write(self, name: bytes, data: bytes) -> Ino:
        """Make a file of one slice in the root."""
        ino = self.meta.create(ROOT, name).ino
        slice_id = self.meta.new_slice_id()
        block = self.objects / "shared" / block_key(slice_id, 0, len(data))
        block.parent.mkdir(parents=True, exist_ok=True)
        block.write_bytes(data)
        self.meta.write_slice(ino, ChunkNo(0), Slice(0, slice_id, len(data), 0, len(data)))
        return ino


@pytest.fixture
def both(juicefs: Juicefs, tmp_path: Path) -> Iterator[Both]:
    url, objects = f"sqlite3://{tmp_path}/meta.db", tmp_path / "objects"
    made = new_settings("shared", bucket=str(objects), block_kib=64, trash_days=1)
    acls = replace(made, enable_acl=True, min_client_version="1.2.0-A")
    format_volume(url, acls)
    with open_meta(url) as meta, juicefs.mounted(url, "--heartbeat", "2") as point:
        yield Both(meta, point, url, objects)
        fatal = [problem for problem in meta.check() if problem.fatal]
        assert fatal == []
    juicefs.run("fsck", url)


def test_lists_set_on_either_side_are_the_same_on_the_other(both: Both) -> None:
    ours = both.meta.create(ROOT, b"ours", 0o644).ino
    both.meta.setxattr(ours, acl.ACCESS_NAME, acl.encode_xattr(RULE))
    assert os.getxattr(both.point / "ours", "system.posix_acl_access") == acl.encode_xattr(RULE)
    theirs = both.point / "theirs"
    theirs.write_bytes(b"x")
    os.setxattr(theirs, "system.posix_acl_access", acl.encode_xattr(RULE))
    assert both.meta.getxattr(both.ino("/theirs"), acl.ACCESS_NAME) == acl.encode_xattr(RULE)
    assert both.meta.getattr(both.ino("/theirs")).access_acl == 1  # shared, not stored again
    theirs.chmod(0o600)
    both.meta.setattr(ours, AttrChange(mode=0o600))
    assert both.meta.getxattr(ours, acl.ACCESS_NAME) == both.meta.getxattr(
        both.ino("/theirs"), acl.ACCESS_NAME
    )


def test_children_of_a_directory_with_a_default_list_start_alike(both: Both) -> None:
    folder = both.meta.mkdir(ROOT, b"d", 0o777).ino
    both.meta.setxattr(folder, acl.DEFAULT_NAME, acl.encode_xattr(RULE))
    os.umask(0o022)
    (both.point / "d" / "theirs").touch(0o640)
    (both.point / "d" / "their folder").mkdir(0o750)
    both.meta.create(folder, b"ours", 0o640, umask=0o022)
    both.meta.mkdir(folder, b"our folder", 0o750, umask=0o022)
    for ours, theirs in ((b"ours", b"theirs"), (b"our folder", b"their folder")):
        mine = both.meta.lookup(folder, ours).attr
        other = both.meta.lookup(folder, theirs).attr
        assert (mine.mode, mine.access_acl, mine.default_acl) == (
            other.mode,
            other.access_acl,
            other.default_acl,
        )
        assert mine.access_acl


def test_locks_hold_on_both_sides(both: Both) -> None:
    ino = both.write(b"f", b"0123456789")
    with (both.point / "f").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FsError) as refusal:
            both.meta.flock(ino, 1, LockKind.READ)
        assert refusal.value.errno == errno.EAGAIN
        fcntl.flock(file, fcntl.LOCK_UN)
        both.meta.flock(ino, 2**64 - 2, LockKind.WRITE)
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        both.meta.flock(ino, 2**64 - 2, LockKind.UNLOCK)
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

        fcntl.lockf(file, fcntl.LOCK_EX, 5, 2)
        held = both.meta.get_lock(ino, 1, RangeLock(LockKind.READ, 1, 0, 100))
        assert held == RangeLock(LockKind.WRITE, 0, 2, 6)
        both.meta.set_lock(ino, 1, RangeLock(LockKind.WRITE, 77, 7, 9))
        with pytest.raises(OSError, match="temporarily"):
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 8)
        asked = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 8, 1, 0)
        kind, _, start, length, pid = struct.unpack(
            "hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked)
        )
        assert (kind, start, length, pid) == (fcntl.F_WRLCK, 7, 3, 0)
        both.meta.release_locks(ino, 1)
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 8)


def test_copies_made_on_either_side_read_alike(both: Both, juicefs: Juicefs) -> None:
    folder = both.meta.mkdir(ROOT, b"d").ino
    both.write(b"f", b"hello")
    both.meta.rename(ROOT, b"f", folder, b"f")
    both.meta.symlink(folder, b"link", b"f")
    both.meta.clone(folder, ROOT, b"ours")
    juicefs.run("clone", str(both.point / "d"), str(both.point / "theirs"))
    for name in ("ours", "theirs"):
        assert (both.point / name / "f").read_bytes() == b"hello"
        assert os.readlink(both.point / name / "link") == "f"
    both.meta.remove_tree(ROOT, b"d")
    assert (both.point / "ours" / "f").read_bytes() == b"hello"
    juicefs.demand_no_leak(both.url)


def test_appends_holes_and_copies_are_read_through_the_mount(both: Both) -> None:
    ino = both.write(b"f", b"0123456789")
    other = both.write(b"g", b"abcde")
    both.meta.copy_range(other, 1, ino, 3, 3)
    both.meta.fallocate(ino, FallocateFlag.PUNCH_HOLE | FallocateFlag.KEEP_SIZE, 7, 2)
    assert (both.point / "f").read_bytes() == b"012bcd6\0\x009"


def test_what_was_deleted_here_is_restored_there_and_the_other_way_round(
    both: Both, juicefs: Juicefs
) -> None:
    both.write(b"f", b"hello")
    both.meta.unlink(ROOT, b"f")
    (hour,) = os.listdir(both.point / ".trash")
    juicefs.run("restore", both.url, hour, "--put-back")
    assert (both.point / "f").read_bytes() == b"hello"
    (both.point / "f").unlink()
    (hour, *_) = sorted(os.listdir(both.point / ".trash"), reverse=True)
    assert both.meta.restore(os.fsencode(hour), put_back=True).restored == 1
    assert (both.point / "f").read_bytes() == b"hello"


def test_the_summary_is_what_juicefs_counts(both: Both, juicefs: Juicefs) -> None:
    folder = both.meta.mkdir(ROOT, b"d").ino
    both.meta.mkdir(folder, b"e")
    both.write(b"f", b"hello")
    both.meta.rename(ROOT, b"f", folder, b"f")
    found = both.meta.summary(folder)
    printed = juicefs.run("info", "-r", "--strict", str(both.point / "d"))
    words = " ".join(printed.split())
    for counted in ("files: 1", "dirs: 2", "length: 5 Bytes"):
        assert counted in words
    assert (found.files, found.directories, found.length) == (1, 2, 5)
    assert f"({found.space_bytes} Bytes)" in words


def test_the_check_agrees_with_the_parents_that_juicefs_counts_on_redis(
    juicefs: Juicefs, redis_url: str, tmp_path: Path
) -> None:
    made = new_settings("linked", bucket=str(tmp_path), block_kib=64, trash_days=1)
    format_volume(redis_url, made)
    with juicefs.mounted(redis_url) as point:
        (point / "a").mkdir()
        (point / "b").mkdir()
        for number in range(8):
            file = point / f"a/{number}"
            file.write_bytes(b"x")
            for name in (f"a/again{number}", f"b/{number}", f"top{number}"):
                os.link(file, point / name)
        os.rename(point / "a/0", point / "b/moved")
        os.rename(point / "a/1", point / "b/2")  # over a name of another
        for name in ("a/3", "a/4", "a/again4", "b/4", "top4"):  # into the trash, all of the second
            (point / name).unlink()
        os.symlink("nowhere", point / "a/soft")
        os.link(point / "a/soft", point / "b/soft", follow_symlinks=False)
    with open_meta(redis_url) as meta:
        # Statistics drift by its own rule for a link with several names.
        assert [problem for problem in meta.check() if problem.fatal] == []
        meta.link(meta.resolve("/b/5").ino, meta.resolve("/a").ino, b"ours")
        meta.unlink(meta.resolve("/b").ino, b"5")
        assert [problem for problem in meta.check() if problem.fatal] == []
