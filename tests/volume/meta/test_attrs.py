import errno
import stat

import pytest

from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta.api import Meta
from roost.volume.model import ROOT, AttrChange, Caller, Flag

ANN, BOB = Caller(uid=1000, gid=1000, groups=frozenset({7})), Caller(uid=1001, gid=1001)


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def test_changes_are_stored_and_dated(meta: Meta, clock: ManualClock) -> None:
    file = meta.create(ROOT, b"f").ino
    clock.advance(3)
    changed = meta.setattr(file, AttrChange(mode=0o600, uid=5, gid=6, atime_ns=-7, mtime_ns=1))
    assert changed == meta.getattr(file)
    assert (changed.mode, changed.uid, changed.gid) == (0o600, 5, 6)
    assert (changed.atime_ns, changed.mtime_ns, changed.ctime_ns) == (-7, 1, clock.wall_ns())


def test_a_change_of_nothing_is_not_dated(meta: Meta, clock: ManualClock) -> None:
    node = meta.create(ROOT, b"f", 0o640)
    clock.advance(3)
    assert meta.setattr(node.ino, AttrChange(mode=0o640)) == node.attr


def test_only_the_owner_changes_the_mode_and_only_root_the_owner(meta: Meta) -> None:
    file = meta.create(ROOT, b"f", caller=ANN).ino
    meta.setattr(file, AttrChange(mode=0o600), ANN)
    meta.setattr(file, AttrChange(gid=7), ANN)
    for change, caller in (
        (AttrChange(mode=0o666), BOB),
        (AttrChange(uid=1001), ANN),
        (AttrChange(uid=1001), BOB),
        (AttrChange(gid=8), ANN),
        (AttrChange(mtime_ns=5), BOB),
        (AttrChange(flags=Flag.IMMUTABLE), ANN),
    ):
        with refused(errno.EPERM):
            meta.setattr(file, change, caller)


def test_changing_the_owner_takes_setuid_away_from_files_only(meta: Meta) -> None:
    special = stat.S_ISUID | stat.S_ISGID
    program = meta.create(ROOT, b"p", special | 0o755).ino
    locking = meta.create(ROOT, b"l", special | 0o744).ino
    folder = meta.mkdir(ROOT, b"d", special | 0o755).ino
    assert meta.setattr(program, AttrChange(uid=5)).mode == 0o755
    assert meta.setattr(locking, AttrChange(uid=5)).mode == stat.S_ISGID | 0o744
    assert meta.setattr(folder, AttrChange(uid=5)).mode == special | 0o755


@pytest.mark.parametrize(
    ("mode", "caller", "left"),
    [
        (0o6775, Caller(), 0o6775),
        (0o6775, ANN, 0o775),
        (0o6765, ANN, 0o2765),  # setgid without group execution marks mandatory locking
        (0o6765, BOB, 0o765),  # but a stranger to the group cannot leave it
        (0o1775, ANN, 0o1775),
    ],
)
def test_changed_bytes_take_setuid_and_setgid_away(
    meta: Meta, mode: int, caller: Caller, left: int
) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.setattr(file, AttrChange(gid=7))
    before = meta.setattr(file, AttrChange(mode=mode))
    meta.drop_set_id(file, caller)
    assert meta.getattr(file).mode == left
    assert (meta.getattr(file) == before) == (left == mode)


def test_a_stranger_to_the_group_cannot_set_setgid(meta: Meta) -> None:
    file = meta.create(ROOT, b"f", caller=ANN).ino
    meta.setattr(file, AttrChange(gid=99))
    assert meta.setattr(file, AttrChange(mode=0o2755), ANN).mode == 0o755


def test_an_immutable_file_changes_only_its_flags(meta: Meta) -> None:
    file = meta.create(ROOT, b"f").ino
    meta.setattr(file, AttrChange(flags=Flag.IMMUTABLE))
    with refused(errno.EPERM):
        meta.setattr(file, AttrChange(mode=0o600))
    meta.setattr(file, AttrChange(flags=0))
    meta.setattr(file, AttrChange(mode=0o600))
