"""The times of directories lag by at most a tenth of a second, as JuiceFS's do by default."""

from collections.abc import Callable

import pytest

from roost.testing.clock import ManualClock
from roost.volume.meta.api import Meta, open_meta
from roost.volume.model import ROOT, AttrChange, Ino

LAG_S = 0.1


def folder_and_file(meta: Meta) -> tuple[Ino, Ino]:
    folder = meta.mkdir(ROOT, b"d").ino
    return folder, meta.create(folder, b"f").ino


def times(meta: Meta, ino: Ino) -> tuple[int, int]:
    attr = meta.getattr(ino)
    return attr.mtime_ns, attr.ctime_ns


CHANGES: dict[str, Callable[[Meta, Ino, Ino], object]] = {
    "create": lambda meta, folder, _: meta.create(folder, b"new"),
    "symlink": lambda meta, folder, _: meta.symlink(folder, b"new", b"t"),
    "link": lambda meta, folder, file: meta.link(file, folder, b"new"),
    "unlink": lambda meta, folder, _: meta.unlink(folder, b"f"),
    "rename": lambda meta, folder, _: meta.rename(folder, b"f", folder, b"new"),
    "move out": lambda meta, folder, _: meta.rename(folder, b"f", ROOT, b"new"),
    "clone": lambda meta, folder, file: meta.clone(file, folder, b"new"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_soon_after_another_leaves_the_times(
    meta: Meta, clock: ManualClock, change: Callable[[Meta, Ino, Ino], object]
) -> None:
    folder, file = folder_and_file(meta)
    before = times(meta, folder)
    clock.advance(LAG_S / 2)
    change(meta, folder, file)
    assert times(meta, folder) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_later_change_is_seen(
    meta: Meta, clock: ManualClock, change: Callable[[Meta, Ino, Ino], object]
) -> None:
    folder, file = folder_and_file(meta)
    clock.advance(LAG_S)
    change(meta, folder, file)
    assert times(meta, folder) == (clock.wall_ns(), clock.wall_ns())


def test_a_change_of_the_link_count_is_seen_at_once(meta: Meta, clock: ManualClock) -> None:
    folder, _ = folder_and_file(meta)
    for change in (meta.mkdir, meta.rmdir):
        clock.advance(LAG_S / 10)
        change(folder, b"below")
        assert times(meta, folder) == (clock.wall_ns(), clock.wall_ns())


@pytest.mark.parametrize("is_into_fresh", [True, False])
def test_each_directory_of_a_move_goes_by_its_own_times(
    meta: Meta, clock: ManualClock, is_into_fresh: bool
) -> None:
    old, _ = folder_and_file(meta)
    fresh = meta.mkdir(ROOT, b"fresh").ino
    meta.create(fresh, b"f")
    clock.advance(1)
    meta.create(fresh, b"other")
    before = times(meta, fresh)
    clock.advance(LAG_S / 2)
    source, target = (old, fresh) if is_into_fresh else (fresh, old)
    meta.rename(source, b"f", target, b"new")
    assert times(meta, old) == (clock.wall_ns(), clock.wall_ns())
    assert times(meta, fresh) == before


def test_a_time_to_come_is_no_reason_to_leave_ctime(meta: Meta, clock: ManualClock) -> None:
    folder, _ = folder_and_file(meta)
    later_ns = clock.wall_ns() + 10**12
    meta.setattr(folder, AttrChange(mtime_ns=later_ns))
    clock.advance(1)
    meta.create(folder, b"new")
    assert times(meta, folder) == (later_ns, clock.wall_ns())


def test_who_wants_exact_times_has_them(meta: Meta, meta_url: str, clock: ManualClock) -> None:
    folder, _ = folder_and_file(meta)
    with open_meta(meta_url, clock=clock, skip_dir_mtime_s=0) as exact:
        clock.advance(LAG_S / 10)
        exact.create(folder, b"new")
        assert times(exact, folder) == (clock.wall_ns(), clock.wall_ns())
