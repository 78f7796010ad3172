"""Stopped syncs go on where they were: kill -9, failing calls, stops, and the checkpoint itself."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import pytest

from roost.errors import CorruptRecord, NotFound, RoostError
from roost.volume.sync import copying
from roost.volume.sync.checkpoint import Checkpoint, Progress, identity_of
from roost.volume.sync.endpoint import Abilities, Endpoint, Source
from roost.volume.sync.items import CHECKPOINT_PREFIX, Item
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.location import Location
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.runner import Job, Sync, TooManyFailures
from roost.volume.sync.tally import Counts
from tests.volume.sync.places import Quiet, quick_folder, run, tree_of

OPTIONS = Options(dirs=True, delete_dst=True, perms=True, threads=2)


def make_source(folder: Path, count: int = 12) -> Path:
    for number in range(count):
        path = folder / f"d{number % 3}" / ("deep" if number % 2 else "") / f"f{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number * 100))
    (folder / "empty").mkdir()
    return folder


def make_target(folder: Path) -> Path:
    (folder / "d1/old/older").mkdir(parents=True)
    (folder / "d1/old/older/x").write_bytes(b"x")
    (folder / "zz").write_bytes(b"z")
    (folder / "d0").mkdir()
    (folder / "d0/f06").write_bytes(b"stale")
    return folder


class Failing:
    """An endpoint whose n-th call raises; what `list` and `open` yield counts too."""

    def __init__(self, inner: Endpoint, fails: Callable[[], None]) -> None:
        self._inner = inner
        self._fails = fails

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def abilities(self) -> Abilities:
        return self._inner.abilities

    def location_of(self, key: str) -> Location:
        self._fails()
        return self._inner.location_of(key)

    def is_there(self) -> bool:
        return self._inner.is_there()

    def demand_there(self) -> None:
        self._inner.demand_there()

    def demand_same(self) -> None:
        self._inner.demand_same()

    def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
        for item in self._inner.list(prefix, start, follow=follow):
            self._fails()
            yield item

    def head(self, key: str, *, follow: bool) -> Item | None:
        self._fails()
        return self._inner.head(key, follow=follow)

    def open(self, key: str) -> AbstractContextManager[Source]:
        self._fails()
        return self._inner.open(key)

    def write(self, item: Item, pieces: Iterator[bytes], draft: str) -> None:
        def broken() -> Iterator[bytes]:
            for piece in pieces:
                self._fails()
                yield piece

        self._inner.write(item, broken(), draft)
        self._fails()

    def make_folder(self, key: str) -> None:
        self._fails()
        self._inner.make_folder(key)

    def make_link(self, key: str, target: str) -> None:
        self._fails()
        self._inner.make_link(key, target)

    def set_mode(self, item: Item) -> None:
        self._fails()
        self._inner.set_mode(item)

    def set_time(self, key: str, mtime_ns: int) -> None:
        self._fails()
        self._inner.set_time(key, mtime_ns)

    def delete(self, key: str) -> None:
        self._fails()
        self._inner.delete(key)

    def read_note(self, name: str) -> bytes | None:
        self._fails()
        return self._inner.read_note(name)

    def write_note(self, name: str, data: bytes) -> None:
        self._fails()
        self._inner.write_note(name, data)

    def close(self) -> None:
        self._inner.close()


class Counter:
    """Raises at call number `at`, once."""

    def __init__(self, at: int) -> None:
        self._lock = threading.Lock()
        self.calls = 0
        self._at = at

    def __call__(self) -> None:
        with self._lock:
            self.calls += 1
            fails = self.calls == self._at
        if fails:
            raise OSError(errno.EIO, "made to fail")


def job(source: Endpoint, target: Endpoint, options: Options = OPTIONS) -> Job:
    checkpoint = Checkpoint(source, target, identity_of(Selection(), options, ""))
    return Job(source, target, Selection(), options, None, checkpoint, interval_s=0.0)


def notes(folder: Path) -> list[str]:
    names = os.listdir(folder)
    return [n for n in names if n.startswith(CHECKPOINT_PREFIX) and n.endswith(".json")]


def times_of(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path != folder
    }


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder in memory: here every step syncs a checkpoint."""
    folder = quick_folder()
    yield folder
    shutil.rmtree(folder)


def test_whichever_call_fails_the_next_run_ends_the_work(quick_path: Path) -> None:
    tmp_path = quick_path
    source = make_source(tmp_path / "source", 7)
    quiet = Counter(0)
    run(job(Failing(LocalTree(source), quiet), LocalTree(make_target(tmp_path / "t0"))))
    on_target = Counter(0)
    run(job(LocalTree(source), Failing(LocalTree(make_target(tmp_path / "t1")), on_target)))
    assert quiet.calls > 20
    assert on_target.calls > 40
    for side, total in (("source", quiet.calls), ("target", on_target.calls)):
        for at in range(1, total + 1):
            folder = make_target(tmp_path / f"{side}{at}")
            counter = Counter(at)
            ends: list[Endpoint] = [LocalTree(source), LocalTree(folder)]
            broken = side == "target"
            ends[broken] = Failing(ends[broken], counter)
            try:
                counts = run(job(ends[0], ends[1]))
                assert counts.failed == 0  # it was tried again
            except (OSError, RoostError):
                counts = run(job(LocalTree(source), LocalTree(folder)))
                assert counts.failed == 0
            assert tree_of(folder) == tree_of(source), (side, at)
            assert times_of(folder) == times_of(source), (side, at)


CHILD = """
import os, signal, sys
from pathlib import Path
from roost.volume.sync.local_tree import LocalTree
from tests.volume.sync.test_resuming import Failing, job
from tests.volume.sync.places import run

class Fatal:
    def __init__(self, at): self.left = at
    def __call__(self):
        self.left -= 1
        if not self.left: os.kill(os.getpid(), signal.SIGKILL)

source, target, at = sys.argv[1:]
run(job(LocalTree(Path(source)), Failing(LocalTree(Path(target)), Fatal(int(at)))))
"""


@pytest.mark.parametrize("at", [30, 60, 90])
def test_a_killed_sync_goes_on_where_it_was(tmp_path: Path, at: int) -> None:
    source = make_source(tmp_path / "source")
    target = make_target(tmp_path / "target")
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(target), str(at)],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == -9, ran.stderr
    assert len(notes(target)) == 1
    again = Sync(job(LocalTree(source), LocalTree(target)), Quiet())
    assert again.is_resumed or at == 30
    counts = again.run()
    assert counts.failed == 0
    assert tree_of(target) == tree_of(source)
    assert times_of(target) == times_of(source)


def test_what_is_behind_the_checkpoint_is_not_looked_at_again(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    (tmp_path / "target").mkdir()
    target = LocalTree(tmp_path / "target")
    plain = Options(threads=2)
    work = job(LocalTree(source), target, plain)
    assert work.checkpoint is not None
    work.checkpoint.save(Progress(line=0, key="d1/deep/f07", counts=Counts(found=5, copied=5)))
    counts = run(work)
    assert counts.found == 12 - 6 + 5
    names = {path.name for path in (tmp_path / "target").rglob("f*")}
    assert names == {"f02", "f05", "f08", "f11", "f10", "f04"}
    assert notes(tmp_path / "target") == []


def test_keys_that_failed_are_tried_at_the_end_and_by_the_next_run(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    target = tmp_path / "target"
    (target / "d0/f00").mkdir(parents=True)  # a folder where a file should go
    (target / "d0/f00/x").write_bytes(b"")
    plain = Options(threads=2)
    watcher = Quiet()
    counts = run(job(LocalTree(source), LocalTree(target), plain), watcher)
    assert counts.failed == 1
    assert set(watcher.errors) == {"d0/f00"}
    assert len(notes(target)) == 1
    (target / "d0/f00/x").unlink()
    (target / "d0/f00").rmdir()
    again = run(job(LocalTree(source), LocalTree(target), plain))
    assert (again.failed, again.copied) == (0, counts.copied + 1)
    assert notes(target) == []
    clean = run(job(LocalTree(source), LocalTree(target), Options(delete_dst=True, dirs=True)))
    assert clean.failed == 0


@pytest.mark.parametrize("options", [Options(), OPTIONS, Options(delete_src_after=True)])
def test_a_lost_file_is_told_by_every_run_until_the_checkpoint_is_forgotten(
    tmp_path: Path, options: Options
) -> None:
    """Its copy failed in a run that deletes, and neither side has it: nothing makes that good."""
    source = make_source(tmp_path / "source", 3)
    target = tmp_path / "target"
    target.mkdir()

    class Losing(LocalTree):
        def open(self, key: str) -> AbstractContextManager[Source]:
            if key == "d1/deep/f01":
                (source / key).unlink(missing_ok=True)
            return super().open(key)

    is_lost = options != Options()
    assert run(job(Losing(source), LocalTree(target), options)).failed == is_lost
    for _ in range(2 if is_lost else 0):
        watcher = Quiet()
        counts = run(job(LocalTree(source), LocalTree(target), options), watcher)
        assert counts.failed == 1
        assert "neither side" in str(watcher.errors["d1/deep/f01"])
        assert len(notes(target)) == 1
    work = job(LocalTree(source), LocalTree(target), options)
    assert work.checkpoint is not None
    work.checkpoint.remove()
    assert run(work).failed == 0


def test_a_failed_removal_whose_file_is_gone_by_the_next_run_is_done(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 3)
    target = make_target(tmp_path / "target")

    class Keeping(LocalTree):
        def delete(self, key: str) -> None:
            if key == "zz":
                raise OSError(errno.EIO, "made to fail")
            super().delete(key)

    assert run(job(LocalTree(source), Keeping(target))).failed == 1
    (target / "zz").unlink()
    assert run(job(LocalTree(source), LocalTree(target))).failed == 0
    assert notes(target) == []


def test_a_failed_copy_stays_one_when_something_else_fails_for_its_key(tmp_path: Path) -> None:
    """Its source is gone since, and what lay at the target could not be deleted either."""
    source = make_source(tmp_path / "source", 3)
    target = make_target(tmp_path / "target")

    class Keeping(LocalTree):
        def delete(self, key: str) -> None:
            if key == "zz":
                raise OSError(errno.EIO, "made to fail")
            super().delete(key)

    work = job(LocalTree(source), Keeping(target))
    assert work.checkpoint is not None
    work.checkpoint.save(Progress(key="zz", failed=((0, "zz", True),)))
    assert run(work).failed == 1
    (target / "zz").unlink()
    watcher = Quiet()
    assert run(job(LocalTree(source), LocalTree(target)), watcher).failed == 1
    assert "neither side" in str(watcher.errors["zz"])


def test_a_file_lost_while_it_was_compared_is_told(tmp_path: Path) -> None:
    """It could have differed, and then it would have been copied."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
        (folder / "a").write_bytes(b"same")
        os.utime(folder / "a", (1, 1))

    class Losing(LocalTree):
        def open(self, key: str) -> AbstractContextManager[Source]:
            for folder in (source, target):
                (folder / key).unlink(missing_ok=True)
            return super().open(key)

    watcher = Quiet()
    options = Options(delete_dst=True, check_all=True)
    assert run(job(Losing(source), LocalTree(target), options), watcher).failed == 1
    assert "neither side" in str(watcher.errors["a"])


def test_a_source_that_is_missing_makes_no_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(NotFound, match="no such folder"):
        run(job(LocalTree(tmp_path / "source"), LocalTree(target)))
    assert not target.exists()
    work = job(LocalTree(tmp_path / "source"), LocalTree(target))
    assert work.checkpoint is not None
    work.checkpoint.save(Progress(key="k"))
    with pytest.raises(NotFound, match="no such folder"):
        run(work)
    assert work.checkpoint.load() == Progress(work.checkpoint.load().run, key="k")  # type: ignore[union-attr]


def test_a_failed_copy_that_is_deleted_as_extra_by_the_next_run_is_done(tmp_path: Path) -> None:
    """The note may be older than the failure, so that its key is met once more."""
    source = make_source(tmp_path / "source", 3)
    target = make_target(tmp_path / "target")
    work = job(LocalTree(source), LocalTree(target))
    assert work.checkpoint is not None
    work.checkpoint.save(Progress(key="empty/", failed=((0, "zz", True),)))
    assert run(work).failed == 0
    assert not (target / "zz").exists()


def test_a_folder_in_a_files_place_makes_room_when_extras_are_deleted(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "b").mkdir(parents=True)
    (source / "a").write_bytes(b"file")
    (source / "b/c").write_bytes(b"deep")
    (target / "a/x").mkdir(parents=True)
    (target / "a/x/y").write_bytes(b"")
    (target / "b").write_bytes(b"file")
    assert run(job(LocalTree(source), LocalTree(target))).failed == 0
    assert tree_of(target) == tree_of(source)


def test_a_copy_that_was_given_up_is_not_behind_the_checkpoint(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 3)
    (source / "a").write_bytes(b"x" * (2 * copying.PIECE_BYTES))
    (tmp_path / "target").mkdir()
    half, failed = threading.Event(), threading.Event()

    class HalfRead:
        def read(self, offset: int, size_bytes: int) -> bytes:
            if offset:
                half.set()
                failed.wait(30)
            return b"x" * size_bytes

    class Stuck(LocalTree):
        def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
            found = super().list(prefix, start, follow=follow)
            yield from islice(found, 3)  # "a" is decided once the next key is known
            assert half.wait(30)
            threading.Timer(0.2, failed.set).start()
            raise OSError(errno.EIO, "the listing broke")

        @contextlib.contextmanager
        def open(self, key: str) -> Iterator[Source]:
            yield HalfRead()

    plain = Options(threads=1)
    with pytest.raises(OSError, match="listing"):
        run(job(Stuck(source), LocalTree(tmp_path / "target"), plain))
    (note,) = notes(tmp_path / "target")
    saved = json.loads((tmp_path / "target" / note).read_text())
    assert (saved["key"], saved["failed"]) == ("", [])
    assert sorted(tree_of(tmp_path / "target")) == [note]
    assert run(job(LocalTree(source), LocalTree(tmp_path / "target"), plain)).failed == 0
    assert (tmp_path / "target/a").stat().st_size == 2 * copying.PIECE_BYTES


def test_a_run_stops_at_so_many_failures(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", 50)

    def always() -> None:
        raise OSError(errno.EIO, "broken")

    class NoReads(Failing):
        def location_of(self, key: str) -> Location:
            return self._inner.location_of(key)

        def list(self, prefix: str, start: str, *, follow: bool) -> Iterator[Item]:
            return self._inner.list(prefix, start, follow=follow)

        def head(self, key: str, *, follow: bool) -> Item | None:
            return self._inner.head(key, follow=follow)

    (tmp_path / "target").mkdir()
    work = job(
        NoReads(LocalTree(source), always),
        LocalTree(tmp_path / "target"),
        Options(threads=2, failures_max=5),
    )
    with pytest.raises(TooManyFailures, match="5"):
        run(work)
    assert len(notes(tmp_path / "target")) == 1


def test_a_checkpoint_that_does_not_parse_is_damage_not_a_new_start(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    (tmp_path / "target").mkdir()
    work = job(LocalTree(source), LocalTree(tmp_path / "target"))
    assert work.checkpoint is not None
    for text in (b"", b"{}", b'{"version": 3}', b'{"version": 2, "failed": 3}'):
        (tmp_path / "target" / work.checkpoint.name).write_bytes(text)
        with pytest.raises(CorruptRecord, match="checkpoint"):
            Sync(work, Quiet())


def test_other_options_have_another_checkpoint(tmp_path: Path) -> None:
    source, target = LocalTree(tmp_path / "a"), LocalTree(tmp_path / "b")
    plain = Checkpoint(source, target, identity_of(Selection(), Options(), ""))
    same = Checkpoint(source, target, identity_of(Selection(), Options(threads=3, limit=4), ""))
    other = Checkpoint(source, target, identity_of(Selection(), Options(update=True), ""))
    ranged = Checkpoint(source, target, identity_of(Selection(start="x"), Options(), ""))
    listed = Checkpoint(source, target, identity_of(Selection(), Options(), "/list"))
    assert plain.name == same.name
    assert len({plain.name, other.name, ranged.name, listed.name}) == 4
