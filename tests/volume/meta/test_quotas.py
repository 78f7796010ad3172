"""Quotas of directories, users and groups: what they count and what they refuse."""

import errno

import pytest

from roost.testing.clock import ManualClock
from roost.volume.meta.answers import CloneOptions
from roost.volume.meta.api import Meta, open_meta
from roost.volume.meta.effects import PutQuota, UseQuota
from roost.volume.model import (
    ROOT,
    TRASH,
    AttrChange,
    Caller,
    Ino,
    Kind,
    Quota,
    QuotaKind,
    RenameFlag,
    SliceId,
)
from tests.volume.meta.helpers import add_slice, refused

DIR, USER, GROUP = QuotaKind.DIRECTORY, QuotaKind.USER, QuotaKind.GROUP
ANNA = Caller(uid=1000, gid=7, groups=frozenset({7}))
OPEN = 0o777


def used(meta: Meta, kind: QuotaKind, key: int) -> tuple[int, int]:
    """Return (pages, inodes) that a quota counts."""
    quota = meta.quota_get(kind, key)
    assert quota is not None
    assert quota.used_space_bytes % 4096 == 0
    return quota.used_space_bytes // 4096, quota.used_inodes


def limited(meta: Meta, name: bytes, **limits: int) -> Ino:
    """Make a directory with a quota."""
    ino = meta.mkdir(ROOT, name, OPEN).ino
    meta.quota_set(DIR, ino, **limits)
    return ino


# ---- directories
def test_a_tree_is_counted_without_its_root_and_with_what_was_there(meta: Meta) -> None:
    top = meta.mkdir(ROOT, b"top").ino
    below = meta.mkdir(top, b"below").ino
    add_slice(meta, meta.create(below, b"f").ino, 5000)
    for strict in (True, False):
        meta.quota_set(DIR, top, inodes_max=10, strict=strict)
        assert used(meta, DIR, top) == (3, 2)
        meta.quota_delete(DIR, top)
    meta.quota_set(DIR, top, inodes_max=10)
    meta.create(below, b"g")
    meta.mkdir(top, b"h")
    assert used(meta, DIR, top) == (5, 4)
    meta.rmdir(top, b"h")
    meta.unlink(below, b"f")
    assert used(meta, DIR, top) == (2, 2)


def test_every_directory_above_counts_and_may_refuse(meta: Meta) -> None:
    top = limited(meta, b"top", inodes_max=3)
    below = meta.mkdir(top, b"below").ino
    meta.quota_set(DIR, below, inodes_max=5)
    meta.quota_set(DIR, ROOT, inodes_max=100)
    meta.create(below, b"f")
    assert (used(meta, DIR, ROOT)[1], used(meta, DIR, top)[1], used(meta, DIR, below)[1]) == (
        3, 2, 1,
    )  # fmt: skip
    meta.create(below, b"g")
    refused(errno.EDQUOT, meta.create, below, b"h")
    refused(errno.EDQUOT, meta.symlink, top, b"h", b"x")
    meta.create(ROOT, b"elsewhere")


def test_bytes_are_limited_wherever_a_file_grows(meta: Meta) -> None:
    top = limited(meta, b"top", space_bytes_max=3 * 4096)
    file = meta.create(top, b"f").ino
    add_slice(meta, file, 12288)
    assert used(meta, DIR, top) == (3, 1)
    refused(errno.EDQUOT, meta.truncate, file, 12289)
    refused(errno.EDQUOT, meta.append_slice, file, SliceId(500), 1)
    refused(errno.EDQUOT, meta.create, top, b"g")
    other = meta.create(ROOT, b"other").ino
    add_slice(meta, other, 5000)
    refused(errno.EDQUOT, meta.copy_range, other, 0, file, 12288, 10)
    meta.truncate(file, 1)
    assert used(meta, DIR, top) == (1, 1)
    meta.copy_range(other, 0, file, 0, 5000)
    assert used(meta, DIR, top) == (2, 1)


def test_a_file_with_two_names_is_counted_for_each(meta: Meta) -> None:
    left, right = limited(meta, b"left", inodes_max=5), limited(meta, b"right", inodes_max=5)
    file = meta.create(left, b"f").ino
    meta.link(file, right, b"g")
    meta.link(file, right, b"h")
    add_slice(meta, file, 8192)
    assert (used(meta, DIR, left), used(meta, DIR, right)) == ((2, 1), (4, 2))
    meta.unlink(right, b"h")
    assert used(meta, DIR, right) == (2, 1)
    meta.quota_set(DIR, right, inodes_max=1)
    refused(errno.EDQUOT, meta.link, file, right, b"again")


def test_a_name_that_moves_is_counted_where_it_goes(meta: Meta) -> None:
    left, right = limited(meta, b"left", inodes_max=9), limited(meta, b"right", inodes_max=9)
    add_slice(meta, meta.create(left, b"f").ino, 8192)
    meta.rename(left, b"f", right, b"f")
    assert (used(meta, DIR, left), used(meta, DIR, right)) == ((0, 0), (2, 1))
    meta.rename(right, b"f", right, b"g")
    assert used(meta, DIR, right) == (2, 1)
    meta.create(ROOT, b"new")
    meta.rename(ROOT, b"new", right, b"g")
    assert used(meta, DIR, right) == (1, 1)


def test_a_directory_moves_with_all_below_it(meta: Meta) -> None:
    left, right = limited(meta, b"left", inodes_max=9), limited(meta, b"right", inodes_max=3)
    moved = meta.mkdir(left, b"moved").ino
    add_slice(meta, meta.create(meta.mkdir(moved, b"below").ino, b"f").ino, 8192)
    meta.rename(left, b"moved", right, b"moved")
    assert (used(meta, DIR, left), used(meta, DIR, right)) == ((0, 0), (4, 3))
    meta.rename(right, b"moved", left, b"back")
    assert (used(meta, DIR, left), used(meta, DIR, right)) == ((4, 3), (0, 0))
    meta.create(moved, b"one more")
    refused(errno.EDQUOT, meta.rename, left, b"back", right, b"moved")
    assert used(meta, DIR, left) == (5, 4)


def test_a_move_inside_a_tree_changes_nothing_above(meta: Meta) -> None:
    top = limited(meta, b"top", inodes_max=3)
    a, b = meta.mkdir(top, b"a").ino, meta.mkdir(top, b"b").ino
    meta.create(a, b"f")
    meta.rename(a, b"f", b, b"f")
    meta.rename(top, b"a", b, b"a")
    assert used(meta, DIR, top) == (3, 3)


def test_an_exchange_moves_both(meta: Meta) -> None:
    left, right = limited(meta, b"left", inodes_max=9), limited(meta, b"right", inodes_max=2)
    tree = meta.mkdir(left, b"tree").ino
    meta.create(tree, b"f")
    add_slice(meta, meta.create(right, b"file").ino, 8192)
    meta.rename(left, b"tree", right, b"file", RenameFlag.EXCHANGE)
    assert (used(meta, DIR, left), used(meta, DIR, right)) == ((2, 1), (2, 2))
    meta.create(left, b"big")
    meta.mkdir(left, b"more")
    grown = meta.lookup(left, b"more").ino
    for name in (b"1", b"2"):
        meta.create(grown, name)
    refused(errno.EDQUOT, meta.rename, left, b"more", right, b"file", RenameFlag.EXCHANGE)


def test_the_trash_is_in_nobody_s_tree(trashing: Meta) -> None:
    top = limited(trashing, b"top", inodes_max=2)
    trashing.create(top, b"f")
    trashing.unlink(top, b"f")
    assert used(trashing, DIR, top) == (0, 0)
    (hour,) = trashing.readdir(TRASH)
    trashing.create(top, b"1")
    trashing.create(top, b"2")
    assert trashing.restore(hour.name, put_back=True).failed[0][1].startswith("Disk quota")
    trashing.unlink(top, b"1", skip_trash=True)
    assert trashing.restore(hour.name, put_back=True).restored == 1
    assert used(trashing, DIR, top) == (2, 2)


def test_a_clone_needs_room_for_the_whole_tree(meta: Meta) -> None:
    source = meta.mkdir(ROOT, b"source").ino
    for number in range(3):
        add_slice(meta, meta.create(source, b"%d" % number).ino, 5000)
    top = limited(meta, b"top", inodes_max=4)
    meta.clone(source, top, b"copy", options=CloneOptions(threads=1))
    assert used(meta, DIR, top) == (7, 4)
    refused(errno.EDQUOT, meta.clone, source, top, b"again")
    refused(errno.EDQUOT, meta.clone, meta.lookup(source, b"0").ino, top, b"file")
    assert used(meta, DIR, top) == (7, 4)


def test_a_removed_directory_takes_its_quota_along(meta: Meta) -> None:
    top = limited(meta, b"top", inodes_max=4)
    meta.rmdir(ROOT, b"top")
    assert meta.quota_get(DIR, top) is None


def test_statfs_below_a_quota_shows_the_quota(meta: Meta) -> None:
    top = limited(meta, b"top", space_bytes_max=40960, inodes_max=10)
    below = meta.mkdir(top, b"below").ino
    shown = meta.statfs(below)
    assert (shown.total_bytes, shown.used_bytes) == (40960, 4096)
    assert (shown.used_inodes, shown.available_inodes) == (1, 9)
    meta.quota_set(DIR, ROOT, inodes_max=5)
    assert meta.statfs(below).available_inodes == 3
    assert meta.statfs(ROOT).used_inodes == 2
    assert meta.statfs(TRASH).total_bytes == 1 << 50


def test_quotas_belong_to_directories_in_the_tree(trashing: Meta) -> None:
    file = trashing.create(ROOT, b"f").ino
    trashing.mkdir(ROOT, b"gone")
    gone = trashing.lookup(ROOT, b"gone").ino
    trashing.rmdir(ROOT, b"gone")
    refused(errno.ENOTDIR, trashing.quota_set, DIR, file, inodes_max=1)
    refused(errno.ENOENT, trashing.quota_set, DIR, 999, inodes_max=1)
    refused(errno.EPERM, trashing.quota_set, DIR, TRASH, inodes_max=1)
    refused(errno.EPERM, trashing.quota_set, DIR, gone, inodes_max=1)
    refused(errno.EINVAL, trashing.quota_set, USER, -1, inodes_max=1)


def test_limits_are_changed_one_by_one_and_listed_with_paths(meta: Meta) -> None:
    top = limited(meta, b"top", inodes_max=4)
    below = meta.mkdir(top, b"bel\xffow").ino
    meta.quota_set(DIR, below, space_bytes_max=4096)
    meta.quota_set(DIR, top, space_bytes_max=8192)
    quota = meta.quota_get(DIR, top)
    assert quota is not None
    assert (quota.space_bytes_max, quota.inodes_max) == (8192, 4)
    assert [(one.key, one.path) for one in meta.quota_list(DIR)] == [
        (top, "/top"),
        (below, "/top/bel\udcffow"),
    ]
    meta.quota_set(DIR, below, space_bytes_max=0)
    assert [one.key for one in meta.quota_list()] == [top]
    assert meta.quota_delete(DIR, below)
    assert not meta.quota_delete(DIR, below)


def test_a_quota_that_another_client_sets_holds_after_the_next_heartbeat(
    meta: Meta, meta_url: str, clock: ManualClock
) -> None:
    with open_meta(meta_url, clock=clock) as other:
        top = limited(meta, b"top", inodes_max=1)
        other.create(top, b"unseen")
        assert other._heartbeat is not None
        other._heartbeat.beat()
        other.create(top, b"seen")
        refused(errno.EDQUOT, other.create, top, b"refused")
    (check,) = meta.quota_check(DIR, top, repair=True)
    assert not check.is_consistent
    assert used(meta, DIR, top) == (2, 2)


def test_a_quota_that_drifted_is_found_and_mended(meta: Meta) -> None:
    top = limited(meta, b"top", inodes_max=4)
    meta.create(top, b"f")
    meta.engine.run(lambda txn: txn.do(UseQuota(DIR, top, 8192, 5)))
    assert any("counts 12288 bytes" in problem.what for problem in meta.check())
    (found,) = meta.quota_check(DIR)
    assert (found.stored.inodes, found.counted.inodes, found.repaired) == (6, 1, False)
    (mended,) = meta.quota_check(DIR, top, repair=True, strict=True)
    assert mended.repaired
    assert used(meta, DIR, top) == (1, 1)
    refused(errno.ENOENT, meta.quota_check, DIR, ROOT)


# ---- users and groups
@pytest.fixture
def counted(meta: Meta) -> Meta:
    """A volume that counts users and groups; Anna may own 3 files of 5 pages in all."""
    meta.setattr(ROOT, AttrChange(mode=OPEN))
    meta.create(ROOT, b"before", caller=ANNA)
    meta.quota_set(USER, ANNA.uid, inodes_max=3, space_bytes_max=5 * 4096)
    return meta


def test_the_first_quota_counts_everything_that_everybody_owns(counted: Meta) -> None:
    assert counted.settings.user_group_quota
    assert used(counted, USER, ANNA.uid) == (1, 1)
    assert used(counted, GROUP, 7) == (1, 1)
    counted.mkdir(ROOT, b"d")
    assert used(counted, USER, 0) == (1, 1)
    assert [one.key for one in counted.quota_list()] == [ANNA.uid]


def test_an_owner_s_files_and_bytes_are_limited(counted: Meta) -> None:
    file = counted.create(ROOT, b"f", caller=ANNA).ino
    refused(errno.EDQUOT, counted.truncate, file, 5 * 4096, ANNA)
    counted.truncate(file, 4 * 4096, ANNA)
    refused(errno.EDQUOT, counted.mkdir, ROOT, b"d", caller=ANNA)
    counted.truncate(file, 0, ANNA)
    counted.mknod(ROOT, b"fifo", Kind.FIFO, caller=ANNA)
    refused(errno.EDQUOT, counted.create, ROOT, b"h", caller=ANNA)
    refused(errno.EDQUOT, counted.create_nameless, ROOT, caller=ANNA)
    counted.create(ROOT, b"of others")
    counted.unlink(ROOT, b"f")
    assert used(counted, USER, ANNA.uid) == (2, 2)


def test_a_group_is_limited_too(counted: Meta) -> None:
    counted.quota_set(GROUP, 7, inodes_max=1)
    refused(errno.EDQUOT, counted.create, ROOT, b"f", caller=ANNA)
    counted.create(ROOT, b"f", caller=Caller(uid=ANNA.uid, gid=8))


def test_a_chown_moves_what_is_used(counted: Meta) -> None:
    file = counted.create(ROOT, b"f").ino
    add_slice(counted, file, 8192)
    counted.setattr(file, AttrChange(uid=1001))
    assert (used(counted, USER, 1001), used(counted, USER, 0)) == ((2, 1), (0, 0))
    counted.setattr(file, AttrChange(gid=7))
    assert used(counted, GROUP, 7) == (3, 2)
    counted.setattr(file, AttrChange(mode=0o600))
    assert used(counted, USER, 1001) == (2, 1)


def test_the_root_is_charged_to_nobody(counted: Meta) -> None:
    counted.setattr(ROOT, AttrChange(uid=ANNA.uid))
    assert used(counted, USER, ANNA.uid) == (1, 1)


def test_hard_links_and_the_trash_cost_an_owner_nothing_more(
    trashing: Meta, clock: ManualClock
) -> None:
    trashing.setattr(ROOT, AttrChange(mode=OPEN))
    trashing.quota_set(USER, ANNA.uid, inodes_max=2)
    file = trashing.create(ROOT, b"f", caller=ANNA).ino
    trashing.link(file, ROOT, b"g")
    trashing.unlink(ROOT, b"f")
    trashing.unlink(ROOT, b"g")
    assert used(trashing, USER, ANNA.uid) == (1, 1)
    clock.advance(27 * 3600)
    trashing.clean_trash()
    assert used(trashing, USER, ANNA.uid) == (0, 0)


def test_lifting_a_user_s_quota_goes_on_counting(counted: Meta) -> None:
    assert counted.quota_delete(USER, ANNA.uid)
    assert not counted.quota_delete(USER, ANNA.uid)
    for number in range(5):
        counted.create(ROOT, b"%d" % number, caller=ANNA)
    assert used(counted, USER, ANNA.uid) == (6, 6)


def test_owners_that_drifted_are_mended(counted: Meta) -> None:
    counted.engine.run(lambda txn: txn.do(PutQuota(USER, 5, Quota(used_inodes=7))))
    counted.engine.run(lambda txn: txn.do(PutQuota(GROUP, 7, None)))
    wrong = [one.key for one in counted.quota_check(USER) if not one.is_consistent]
    assert wrong == [5]
    for kind in (USER, GROUP):
        counted.quota_check(kind, repair=True)
    assert (used(counted, USER, 5), used(counted, GROUP, 7)) == ((0, 0), (1, 1))
