import errno

import pytest

from roost.errors import CorruptRecord
from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta import tree_removal
from roost.volume.meta.api import Meta
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.meta.trash import expired, folder_name
from roost.volume.model import ROOT, TRASH, AttrChange, ChunkNo, Flag, Ino, RenameFlag, Slice

HOUR_S = 3600


def refused(code: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, check=lambda error: error.errno == code)


def tree(meta: Meta) -> dict[bytes, list[bytes]]:
    return {
        folder.name: [entry.name for entry in meta.readdir(folder.ino)]
        for folder in meta.readdir(TRASH)
    }


def test_deleted_names_wait_in_the_directory_of_the_hour(
    trashing: Meta, clock: ManualClock
) -> None:
    folder = trashing.mkdir(ROOT, b"d").ino
    file = trashing.create(folder, b"f").ino
    used = trashing.statfs()
    assert trashing.unlink(folder, b"f") is None
    trashing.rmdir(ROOT, b"d")
    hour = folder_name(clock.wall_ns() // 10**9)
    assert tree(trashing) == {hour: [b"1-%d-d" % folder, b"%d-%d-f" % (folder, file)]}
    assert trashing.getattr(file).parent == trashing.lookup(TRASH, hour).ino
    assert trashing.statfs().used_inodes == used.used_inodes + 1  # the hourly directory
    assert trashing.deleted_files() == ()


def test_the_name_of_the_hour_is_utc() -> None:
    assert folder_name(1795385548) == b"2026-11-22-22"


def test_the_trash_is_seen_at_the_root_only_and_nothing_is_made_there(trashing: Meta) -> None:
    assert trashing.lookup(ROOT, b".trash").ino == TRASH
    assert [entry.name for entry in trashing.readdir(ROOT)] == []
    with refused(errno.EPERM):
        trashing.create(TRASH, b"f")
    trashing.create(ROOT, b"f")
    trashing.unlink(ROOT, b"f")
    hour = next(trashing.readdir(TRASH)).ino
    with refused(errno.EPERM):
        trashing.create(hour, b"f")


def test_long_names_are_cut(trashing: Meta) -> None:
    trashing.create(ROOT, b"x" * 255)
    trashing.unlink(ROOT, b"x" * 255)
    ((name,),) = tree(trashing).values()
    assert len(name) == 255


def test_a_file_comes_back_by_renaming(trashing: Meta) -> None:
    file = trashing.create(ROOT, b"f").ino
    folder = trashing.mkdir(ROOT, b"d").ino
    trashing.unlink(ROOT, b"f")
    trashing.rmdir(ROOT, b"d")
    hour = next(trashing.readdir(TRASH)).ino
    trashing.rename(hour, b"1-%d-f" % file, ROOT, b"f", RenameFlag.NOREPLACE)
    trashing.rename(hour, b"1-%d-d" % folder, ROOT, b"d", RenameFlag.NOREPLACE)
    assert trashing.getattr(file).parent == trashing.getattr(folder).parent == ROOT
    assert trashing.getattr(ROOT).nlink == 3


def test_what_is_in_the_trash_is_not_changed(trashing: Meta) -> None:
    file = trashing.create(ROOT, b"f").ino
    folder = trashing.mkdir(ROOT, b"d").ino
    trashing.unlink(ROOT, b"f")
    trashing.rmdir(ROOT, b"d")
    with refused(errno.EPERM):
        trashing.setattr(file, AttrChange(mode=0))
    with refused(errno.EPERM):
        trashing.truncate(file, 5)
    with refused(errno.EPERM):
        trashing.link(file, ROOT, b"g")
    with refused(errno.ENOENT):
        trashing.create(folder, b"x")


def test_both_names_of_a_file_go_to_the_trash_and_it_keeps_its_links(trashing: Meta) -> None:
    file = trashing.create(ROOT, b"f").ino
    trashing.link(file, ROOT, b"g")
    trashing.unlink(ROOT, b"f")
    trashing.unlink(ROOT, b"g")
    assert trashing.getattr(file).nlink == 2


def test_the_same_name_of_the_same_file_twice_in_an_hour_loses_a_link(trashing: Meta) -> None:
    file = trashing.create(ROOT, b"f").ino
    trashing.link(file, ROOT, b"g")
    trashing.unlink(ROOT, b"f")
    trashing.link(file, ROOT, b"f")
    assert trashing.getattr(file).nlink == 3
    trashing.unlink(ROOT, b"f")
    assert trashing.getattr(file).nlink == 2


def test_replacing_moves_the_old_file_to_the_trash(trashing: Meta) -> None:
    trashing.create(ROOT, b"new")
    old = trashing.create(ROOT, b"old").ino
    assert trashing.rename(ROOT, b"new", ROOT, b"old") is None
    assert list(tree(trashing).values()) == [[b"1-%d-old" % old]]


@pytest.mark.parametrize("by_flag", [True, False])
def test_the_trash_can_be_skipped(trashing: Meta, by_flag: bool) -> None:
    folder = trashing.mkdir(ROOT, b"d").ino
    if by_flag:
        trashing.setattr(folder, AttrChange(flags=Flag.SKIP_TRASH))
    trashing.create(folder, b"f")  # inherits the flag
    assert trashing.unlink(folder, b"f", skip_trash=not by_flag) is not None
    assert tree(trashing) == {}


def test_old_trash_is_removed_and_younger_kept(trashing: Meta, clock: ManualClock) -> None:
    file = trashing.create(ROOT, b"f").ino
    trashing.write_slice(file, ChunkNo(0), Slice(0, trashing.new_slice_id(), 5, 0, 5))
    trashing.mkdir(ROOT, b"d")
    trashing.unlink(ROOT, b"f")
    trashing.rmdir(ROOT, b"d")
    clock.advance(24 * HOUR_S)
    trashing.create(ROOT, b"g")
    trashing.unlink(ROOT, b"g")
    assert trashing.clean_trash() == 0
    clock.advance(3 * HOUR_S)
    assert trashing.clean_trash() == 2
    assert [name[-1:] for names in tree(trashing).values() for name in names] == [b"g"]
    assert [deleted.ino for deleted in trashing.deleted_files()] == [file]
    with refused(errno.ENOENT):
        trashing.getattr(file)


def test_the_grace_is_days_and_two_hours() -> None:
    made = b"2026-11-22-22"
    start_s = 1795384800  # 22:00
    assert folder_name(start_s) == made
    assert not expired(made, start_s + 26 * HOUR_S, 1)
    assert expired(made, start_s + 26 * HOUR_S + 1, 1)


def test_a_foreign_directory_in_the_trash_never_expires(expected_warnings: list[str]) -> None:
    expected_warnings.append("not an hourly directory")
    assert not expired(b"precious", 1 << 40, 1)


def test_statistics_of_a_volume_without_trash_have_no_trash(meta: Meta) -> None:
    with refused(errno.ENOENT):
        meta.lookup(ROOT, b".trash")
    assert meta.clean_trash() == 0


def test_an_immutable_hour_is_no_way_around_for_users(trashing: Meta) -> None:
    from roost.volume.model import Caller

    file = trashing.create(ROOT, b"f", caller=Caller(uid=1000, gid=1000)).ino
    trashing.unlink(ROOT, b"f")
    hour: Ino = next(trashing.readdir(TRASH)).ino
    with pytest.raises(FsError):
        trashing.unlink(hour, b"1-%d-f" % file, Caller(uid=1000, gid=1000))


def test_the_trash_counts_the_hours_it_holds_as_they_come_and_go(
    trashing: Meta, clock: ManualClock
) -> None:
    for name in (b"one", b"two"):
        trashing.create(ROOT, name)
        trashing.unlink(ROOT, name)
        assert trashing.check() == ()
        clock.advance(27 * 3600)
        assert trashing.clean_trash() == 1
        assert trashing.check() == ()


def test_a_damaged_hour_does_not_keep_the_hours_after_it(
    trashing: Meta,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("not removed from the trash")
    for name in (b"one", b"two"):
        trashing.create(ROOT, name)
        trashing.unlink(ROOT, name)
        clock.advance(HOUR_S)
    damaged = next(trashing.readdir(TRASH)).ino
    real = tree_removal.empty_for_good

    def empty(volume: OpenVolume, ino: Ino) -> int:
        if ino == damaged:
            raise CorruptRecord("inode 9", "7 bytes")
        return real(volume, ino)

    monkeypatch.setattr(tree_removal, "empty_for_good", empty)
    clock.advance(27 * HOUR_S)
    assert trashing.clean_trash() == 1
    assert [folder.ino for folder in trashing.readdir(TRASH)] == [damaged]
