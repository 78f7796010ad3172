"""Whole trees: what they hold, how they go, how they come back."""

import errno

import pytest

from roost.testing.clock import ManualClock
from roost.volume.errors import FsError
from roost.volume.meta import restore as restoring
from roost.volume.meta import tree_removal
from roost.volume.meta.answers import RemoveOptions, Summary
from roost.volume.meta.api import Meta
from roost.volume.meta.open_volume import OpenVolume
from roost.volume.model import (
    ROOT,
    TRASH,
    AttrChange,
    Caller,
    DeletedFile,
    Flag,
    Ino,
    Kind,
    QuotaKind,
)
from tests.volume.meta.helpers import add_slice, refused

STRANGER = Caller(uid=1000, gid=1000)


def tree(meta: Meta, files: int = 3) -> Ino:
    """Make /top with files and /top/below with as many."""
    top = meta.mkdir(ROOT, b"top").ino
    below = meta.mkdir(top, b"below").ino
    for folder in (top, below):
        for number in range(files):
            add_slice(meta, meta.create(folder, b"f%d" % number).ino, 5000)
    return top


def names(meta: Meta, ino: Ino) -> list[bytes]:
    return [entry.name for entry in meta.readdir(ino)]


@pytest.fixture(params=[True, False], ids=["strict", "by statistics"])
def strict(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_summary_counts_a_tree_with_its_root(meta: Meta, strict: bool) -> None:
    top = tree(meta)
    assert meta.summary(top, strict=strict) == Summary(30000, 6 * 8192 + 2 * 4096, 6, 2)
    file = meta.lookup(top, b"f0").ino
    assert meta.summary(file, strict=strict) == Summary(5000, 8192, 1, 0)
    fifo = meta.mknod(top, b"fifo", Kind.FIFO).ino
    assert meta.summary(fifo, strict=strict) == Summary(0, 4096, 1, 0)
    refused(errno.ENOENT, meta.summary, Ino(999), strict=strict)


def test_a_file_counts_once_per_name(meta: Meta, strict: bool) -> None:
    top = tree(meta, 1)
    meta.link(meta.lookup(top, b"f0").ino, top, b"again")
    assert meta.summary(top, strict=strict).files == 3
    assert meta.summary(top, strict=strict).length == 15000


# ---- removal
def test_a_tree_goes_with_all_names_and_tells_what_data_may_go(meta: Meta) -> None:
    tree(meta)
    deleted: list[DeletedFile] = []
    told: list[int] = []
    options = RemoveOptions(
        on_deleted=deleted.append, progress=lambda done, _of: told.append(done), threads=3
    )
    assert meta.remove_tree(ROOT, b"top", options=options) == 8
    assert names(meta, ROOT) == []
    assert len(deleted) == 6
    assert told[-1] == 7
    assert meta.statfs().used_inodes == 0
    assert meta.getattr(ROOT).nlink == 2


def test_many_names_go_in_one_commit(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tree(meta, 10)
    commits = 0
    run = meta.engine.run

    def counted(rule: object) -> object:
        nonlocal commits
        commits += 1
        return run(rule)  # type: ignore[arg-type]

    monkeypatch.setattr(meta.engine, "run", counted)
    meta.remove_tree(ROOT, b"top")
    assert commits == 4  # the files of two directories, the lower directory, the top
    assert top


def test_a_single_name_goes_too_and_none_is_an_error(meta: Meta) -> None:
    meta.create(ROOT, b"f")
    deleted: list[DeletedFile] = []
    assert meta.remove_tree(ROOT, b"f", options=RemoveOptions(on_deleted=deleted.append)) == 1
    assert len(deleted) == 1
    refused(errno.ENOENT, meta.remove_tree, ROOT, b"f")
    refused(errno.EPERM, meta.remove_tree, ROOT, b".trash")


def test_batches_are_bounded(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_removal, "NAMES_AT_ONCE", 4)
    tree(meta, 10)
    assert meta.remove_tree(ROOT, b"top") == 22


def test_the_trash_takes_each_name_by_itself(trashing: Meta) -> None:
    top = tree(trashing)
    below = trashing.lookup(top, b"below").ino
    assert trashing.remove_tree(ROOT, b"top") == 8
    (hour,) = trashing.readdir(TRASH)
    entries = names(trashing, hour.ino)
    assert len(entries) == 8
    assert b"%d-%d-below" % (top, below) in entries
    assert b"1-%d-top" % top in entries


def test_two_names_of_one_file_in_a_batch_both_go(meta: Meta) -> None:
    top = tree(meta, 1)
    meta.link(meta.lookup(top, b"f0").ino, top, b"f1")
    deleted: list[DeletedFile] = []
    meta.remove_tree(ROOT, b"top", options=RemoveOptions(on_deleted=deleted.append))
    assert len(deleted) == 2
    assert meta.statfs().used_inodes == 0


def test_a_file_that_is_open_keeps_its_data(meta: Meta) -> None:
    top = tree(meta, 1)
    file = meta.lookup(top, b"f0").ino
    meta.open(file)
    deleted: list[DeletedFile] = []
    meta.remove_tree(ROOT, b"top", options=RemoveOptions(on_deleted=deleted.append))
    assert [one.ino for one in deleted] != [file]
    assert meta.getattr(file).nlink == 0
    late = meta.close_file(file)
    assert late is not None
    assert late.ino == file


def test_what_may_not_go_stays_and_the_rest_goes(meta: Meta) -> None:
    top = tree(meta)
    kept = meta.lookup(top, b"f1").ino
    meta.setattr(kept, AttrChange(flags=int(Flag.IMMUTABLE)))
    refused(errno.EPERM, meta.remove_tree, ROOT, b"top")
    assert names(meta, top) == [b"f1"]
    meta.setattr(kept, AttrChange(flags=0))
    meta.setattr(top, AttrChange(mode=0o755))
    refused(errno.EACCES, meta.remove_tree, ROOT, b"top", STRANGER)
    assert names(meta, top) == [b"f1"]


def test_what_others_put_in_meanwhile_goes_too(meta: Meta) -> None:
    top = tree(meta)
    below = meta.lookup(top, b"below").ino
    late = [b"late", b"later"]

    def fill(_done: int, _of: int) -> None:
        if late:
            meta.create(below, late.pop())

    assert meta.remove_tree(ROOT, b"top", options=RemoveOptions(progress=fill, threads=1)) == 10
    assert meta.statfs().used_inodes == 0


def test_removal_stops_between_two_commits(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_removal, "NAMES_AT_ONCE", 2)
    top = tree(meta, 9)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    options = RemoveOptions(should_stop=stop, threads=1)
    refused(errno.EINTR, meta.remove_tree, ROOT, b"top", options=options)
    assert 0 < meta.summary(top).files < 18


def test_the_quotas_above_count_less_with_each_batch(meta: Meta) -> None:
    top = tree(meta)
    meta.quota_set(QuotaKind.DIRECTORY, ROOT, inodes_max=100)
    meta.remove_tree(top, b"below")
    quota = meta.quota_get(QuotaKind.DIRECTORY, ROOT)
    assert quota is not None
    assert quota.used_inodes == 4


# ---- restoring
def hour_of(meta: Meta) -> bytes:
    (hour,) = meta.readdir(TRASH)
    return hour.name


def test_trees_are_made_whole_inside_the_trash_and_put_back(trashing: Meta) -> None:
    tree(trashing)
    trashing.remove_tree(ROOT, b"top")
    hour = hour_of(trashing)
    first = trashing.restore(hour)
    assert (first.restored, first.waiting, first.failed, first.conflicts) == (7, 1, (), ())
    assert names(trashing, ROOT) == []
    told: list[tuple[int, int]] = []
    second = trashing.restore(hour, put_back=True, progress=lambda *step: told.append(step))
    assert (second.restored, told) == (1, [(1, 1)])
    top = trashing.lookup(ROOT, b"top").ino
    assert names(trashing, top) == [b"below", b"f0", b"f1", b"f2"]
    assert len(names(trashing, trashing.lookup(top, b"below").ino)) == 3
    assert trashing.getattr(top).nlink == 3


def test_everything_is_put_back_in_any_order(trashing: Meta) -> None:
    tree(trashing)
    before = trashing.summary(ROOT)
    trashing.remove_tree(ROOT, b"top")
    done = trashing.restore(hour_of(trashing), put_back=True, threads=3)
    assert done.restored == 8
    assert trashing.summary(ROOT) == before


def test_a_directory_is_back_before_what_was_in_it(
    trashing: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is measured for the quotas that it enters: what joined it meanwhile would not count."""
    tree(trashing)
    trashing.remove_tree(ROOT, b"top")
    put_back = restoring._restore
    above: list[Ino] = []

    def noted(volume: OpenVolume, folder: Ino, entry: bytes, wanted: set[Ino] | None) -> object:
        above.append(trashing.getattr(restoring.parse_entry(folder, entry)[0]).parent)
        return put_back(volume, folder, entry, wanted)

    monkeypatch.setattr(restoring, "_restore", noted)
    assert trashing.restore(hour_of(trashing), put_back=True, threads=10).restored == 8
    assert len(above) == 8
    assert max(above) < TRASH


def test_restoring_replaces_nothing_and_names_what_it_left(trashing: Meta) -> None:
    top = tree(trashing)
    for name in (b"f0", b"f1"):
        trashing.unlink(top, name)
    trashing.create(top, b"f0")
    done = trashing.restore(hour_of(trashing), put_back=True)
    assert done.restored == 1
    (conflict,) = done.conflicts
    assert conflict.endswith(b"-f0")


def test_what_has_no_place_to_go_fails_alone(trashing: Meta) -> None:
    top = tree(trashing)
    trashing.unlink(top, b"f0")
    trashing.unlink(top, b"f1")
    (hour,) = trashing.readdir(TRASH)
    entry = names(trashing, hour.ino)[0]
    trashing.rename(hour.ino, entry, ROOT, b"kept")
    trashing.remove_tree(ROOT, b"top", options=RemoveOptions(skip_trash=True))
    done = trashing.restore(hour.name, put_back=True)
    assert done.restored == 0
    assert len(done.failed) == 1
    refused(errno.ENOENT, trashing.restore, b"1999-01-01-00")


def test_a_tree_that_was_made_whole_in_the_trash_expires_with_all_in_it(
    trashing: Meta, clock: ManualClock
) -> None:
    tree(trashing)
    trashing.remove_tree(ROOT, b"top")
    trashing.restore(hour_of(trashing))
    clock.advance(27 * 3600)
    assert trashing.clean_trash() == 8
    assert trashing.statfs().used_inodes == 0


@pytest.mark.parametrize("entry", [b"plain", b"1-2", b"x-2-name", b"1-2-"])
def test_an_entry_that_does_not_say_where_it_came_from_is_refused(entry: bytes) -> None:
    with pytest.raises(FsError):
        restoring.parse_entry(TRASH, entry)
    assert restoring.parse_entry(TRASH, b"12-34-a-b") == (12, b"a-b")
