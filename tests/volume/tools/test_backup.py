"""Every moment that was backed up can be had back, on any engine, or the damage is named."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from roost.blob.memory import MemoryStore
from roost.clock import Clock
from roost.errors import CorruptRecord, RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.faulty_store import FaultyStore
from roost.volume.engines.redis.scans import RedisScans
from roost.volume.engines.redis.touched import WatchedScans
from roost.volume.errors import AlreadyFormatted, NotFormatted
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.opening import drop_memory_volume
from roost.volume.model import ROOT, ChunkNo, Ino, Slice
from roost.volume.settings import new_settings
from roost.volume.tools.backup.making import backups, forget, newest_before, run
from roost.volume.tools.backup.restoring import restore
from roost.volume.tools.backup.runs import Manifest
from roost.volume.tools.opened import opened

from .conftest import fill
from .test_dump_load import dumped, tree_of

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def meta(place: str, clock: ManualClock) -> Iterator[Meta]:
    format_volume(place, new_settings("backed", bucket="/b", trash_days=1), clock=clock)
    with open_meta(place, clock=clock) as meta:
        yield meta


def backup(url: str, store: FaultyStore, clock: Clock, **options: object) -> Manifest:
    with opened(url, read_only=True, store=store, clock=clock) as volume:
        return run(volume, **options)  # type: ignore[arg-type]


def restored(store: FaultyStore, at_ns: int | None = None) -> dict[str, object]:
    drop_memory_volume("restored")
    report = restore("memory://restored", store, newest_before(store, at_ns))
    assert report.problems == ()
    return tree_of(dumped("memory://restored"))


def test_each_state_comes_back_from_base_and_changes(
    place: str, meta: Meta, store: FaultyStore, clock: ManualClock
) -> None:
    states = []
    for step in range(5):
        if step == 0:
            fill(meta)
        else:
            meta.create(ROOT, b"new%d" % step)
            file = meta.resolve("/harder").ino
            meta.write_slice(file, ChunkNo(step), Slice(0, meta.new_slice_id(), 9, 0, 9))
            meta.unlink(ROOT, b"sparse" if step == 1 else b"new%d" % (step - 1))
        made = backup(place, store, clock)
        assert made.is_base == (step == 0)
        assert made.changes < made.rows or step == 0
        states.append((made.taken_ns, tree_of(dumped(place))))
        clock.advance(3600)
    for taken_ns, tree in states:
        assert restored(store, taken_ns) == tree
        assert restored(store, taken_ns + HOUR_NS - 1000) == tree
    with pytest.raises(NotFormatted):
        newest_before(store, states[0][0] - 1000)


def test_a_restored_volume_hands_out_no_number_again(
    meta: Meta, place: str, store: FaultyStore, clock: ManualClock
) -> None:
    backup(place, store, clock)
    after = [meta.new_slice_id() for _ in range(10_000)]
    restored(store)
    with open_meta("memory://restored", clock=clock) as again:
        assert again.new_slice_id() > max(after)


def parents_of(url: str, path: str) -> dict[Ino, int]:
    with open_meta(url, read_only=True) as meta:
        ino = meta.resolve(path).ino
        return meta._opened.engine.read(lambda reads: reads.parents(ino))


def test_it_is_restored_into_every_engine_and_only_into_an_empty_one(
    full_url: str, place: str, store: FaultyStore, clock: ManualClock
) -> None:
    backup(full_url, store, clock)
    report = restore(place, store, newest_before(store, None))
    assert report.problems == ()
    assert tree_of(dumped(place)) == tree_of(dumped(full_url))
    assert parents_of(place, "/harder") == parents_of(full_url, "/harder")
    with pytest.raises(AlreadyFormatted):
        restore(place, store, newest_before(store, None))


def test_slices_that_files_share_are_counted_once_for_each(
    place: str, shared_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    backup(shared_url, store, clock)
    report = restore(place, store, newest_before(store, None))
    assert report.problems == ()
    with open_meta(place, read_only=True) as meta:
        assert meta.check() == ()


def test_a_file_that_was_kept_open_is_noted_as_deleted(
    store: FaultyStore, clock: ManualClock
) -> None:
    drop_memory_volume("open")
    format_volume("memory://open", new_settings("open", bucket="/b", trash_days=0))
    with open_meta("memory://open", clock=clock) as meta:
        ino = meta.create(ROOT, b"f").ino
        meta.open(ino)
        meta.unlink(ROOT, b"f")
        backup("memory://open", store, clock)
        restored(store)
    with open_meta("memory://restored", session=False) as again:
        assert [file.ino for file in again.deleted_files(1 << 60)] == [ino]


def test_damage_of_any_object_is_named_and_leaves_the_database_empty(
    full_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    backup(full_url, store, clock)
    clock.advance(60)
    with open_meta(full_url, clock=clock) as meta:
        meta.create(ROOT, b"later")
    backup(full_url, store, clock)
    last = newest_before(store, None)
    for info in list(store.list("meta/roost/")):
        good = store.get(info.key)
        for bad in (None, good[:-1], good[:9] + bytes([good[9] ^ 1]) + good[10:]):
            drop_memory_volume("restored")
            if bad is None:
                store.delete(info.key)
            else:
                store.put(info.key, bad)
            if info.key.endswith(f"{last.id}.json"):
                assert all(one.id != last.id or one.manifest is None for one in backups(store))
                continue
            id_ = info.key.removeprefix("meta/roost/")[: len(last.id)]
            with pytest.raises(CorruptRecord, match=id_):
                restore("memory://restored", store, last)
        store.put(info.key, good)
    restored(store)


def test_a_failure_at_any_call_is_reported_and_the_backup_before_stays(
    full_url: str,
    store: FaultyStore,
    clock: ManualClock,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["backup of the metadata failed", "nor could the bucket be told"]
    backup(full_url, store, clock)
    with open_meta(full_url, clock=clock) as meta:
        meta.create(ROOT, b"later")
    failures = 0
    for verb in ("put", "get", "list"):
        for number in range(1, 100):
            clock.advance(60)
            store.fail(verb, number)
            try:
                backup(full_url, store, clock)
                break
            except RoostError:
                failures += 1
            finally:
                store.heal()
            assert backups(store)[-1].manifest is None or verb == "put"
            assert restored(store)
    assert failures > 4


def test_old_backups_are_forgotten_but_not_what_a_kept_moment_needs(
    full_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    made = []
    for day in range(6):
        made.append(backup(full_url, store, clock, full=day in (2, 4)))
        clock.advance(86400)
    assert [one.is_base for one in made] == [True, False, True, False, True, False]
    assert forget(store, made[3].taken_ns + 1) == 2
    assert [one.id for one in backups(store)] == [one.id for one in made[2:]]
    assert restored(store, made[3].taken_ns)
    left = {info.key.split("/")[2].partition(".json")[0] for info in store.list("meta/roost/")}
    assert left <= {one.id for one in made[2:]}


def test_of_two_runs_at_once_neither_is_forgotten_below_the_other(
    full_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    base = backup(full_url, store, clock)
    between = ManualClock(clock.wall_ns() + 24 * HOUR_NS)
    clock.advance(48 * 3600)
    change = backup(full_url, store, clock)
    backup(full_url, store, between, full=True)  # ended later, though it began before
    assert change.base == base.id
    assert forget(store, change.taken_ns - HOUR_NS) == 0
    assert restored(store, change.taken_ns)


def test_names_keep_clear_of_the_official_backups(
    full_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    backup(full_url, store, clock)
    for info in store.list("meta/"):
        assert info.key.startswith("meta/roost/")
        assert len(info.key) != 30  # juicefs rotates names of this length


def test_the_manifest_is_plain_json(full_url: str, store: FaultyStore, clock: ManualClock) -> None:
    made = backup(full_url, store, clock)
    document = json.loads(store.get(f"meta/roost/{made.id}.json"))
    assert document["format"] == 1
    assert document["name"] == "full"


class Meddling:
    """Somebody who changes the volume just before its scans come to a table or a directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def before(self, verb: str, act: Callable[[], None], ino: Ino | None = None) -> None:
        real = getattr(RedisScans, verb)
        waiting = [act]

        def meddled(scans: RedisScans, *args: Any) -> Any:
            if (ino is None or args == (ino,)) and waiting:
                waiting.pop()()
            return real(scans, *args)

        self._monkeypatch.setattr(RedisScans, verb, meddled)


@pytest.fixture
def on_redis(redis_url: str, clock: ManualClock) -> Iterator[Meta]:
    format_volume(redis_url, new_settings("backed", bucket="/b", trash_days=0), clock=clock)
    with open_meta(redis_url, clock=clock) as meta:
        yield meta


@pytest.mark.parametrize("is_first", [True, False])
def test_what_moves_during_a_backup_on_redis_is_in_it_once(
    on_redis: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    is_first: bool,
) -> None:
    """From a directory that is not read yet to one that is, and the other way."""
    meta = on_redis
    early, late = (meta.mkdir(ROOT, name).ino for name in (b"early", b"late"))
    file, folder = meta.create(late, b"file").ino, meta.mkdir(late, b"folder").ino
    meta.create(folder, b"below")
    back = meta.create(early, b"back").ino
    if not is_first:
        backup(redis_url, store, clock)
        clock.advance(60)

    def move() -> None:
        meta.rename(late, b"file", early, b"file")
        meta.rename(late, b"folder", early, b"folder")
        meta.rename(early, b"back", late, b"back")

    Meddling(monkeypatch).before("entries_of", move, late)
    made = backup(redis_url, store, clock)
    assert made.is_base == is_first
    monkeypatch.undo()
    assert restored(store) == tree_of(dumped(redis_url))
    with open_meta("memory://restored", session=False) as again:
        assert again.resolve("/early/file").ino == file
        assert again.resolve("/early/folder/below")
        assert again.resolve("/late/back").ino == back


def test_a_file_that_is_replaced_during_a_backup_is_the_old_or_the_new_one_and_never_zeros(
    on_redis: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meta = on_redis

    def write(name: bytes) -> None:
        record = Slice(0, meta.new_slice_id(), 9, 0, 9)
        meta.write_slice(meta.create(ROOT, name).ino, ChunkNo(0), record)

    def replace() -> None:
        write(b"new")
        meta.rename(ROOT, b"new", ROOT, b"document")
        for file in meta.deleted_files(1 << 60):
            meta.release_deleted_file(file)

    write(b"document")
    Meddling(monkeypatch).before("all_chunks", replace)
    backup(redis_url, store, clock)
    monkeypatch.undo()
    assert restored(store) == tree_of(dumped(redis_url))


def test_a_backup_of_a_busy_volume_on_redis_is_of_one_moment(
    on_redis: Meta, redis_url: str, store: FaultyStore, clock: ManualClock
) -> None:
    """Files wander between directories, others come and go; none is ever lost or double."""
    meta = on_redis
    folders = [meta.mkdir(ROOT, b"%d" % number).ino for number in range(9)]
    files = {meta.create(folders[number % 9], b"f%d" % number).ino for number in range(90)}
    nested = meta.mkdir(folders[0], b"tree").ino
    meta.create(nested, b"leaf")
    stop = threading.Event()

    def wander(seed: int) -> None:
        random_ = random.Random(seed)
        with open_meta(redis_url, session=False, clock=clock) as mine:
            at = {b"f%d" % n: folders[n % 9] for n in range(90) if n % 3 == seed}
            if seed == 0:
                at[b"tree"] = folders[0]
            mine.begin_session(heartbeat=False)
            while not stop.is_set():
                name, to = random_.choice(list(at)), random_.choice(folders)
                mine.rename(at[name], name, to, name)
                at[name] = to
                mine.create(to, b"passing%d" % seed)
                mine.unlink(to, b"passing%d" % seed)

    threads = [threading.Thread(target=wander, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            clock.advance(60)
            backup(redis_url, store, clock)
            restored(store)
            with open_meta("memory://restored", session=False) as again:
                held = [
                    entry.ino
                    for number in range(9)
                    for entry in again.readdir(again.resolve(f"/{number}").ino)
                    if entry.name.startswith(b"f")
                ]
                assert sorted(held) == sorted(files)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_backup_that_cannot_be_of_one_moment_says_so(
    on_redis: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("the backup is not of one moment")
    on_redis.create(ROOT, b"file")
    monkeypatch.setattr(WatchedScans, "watch", lambda _scans: False)
    backup(redis_url, store, clock)
    assert restored(store) == tree_of(dumped(redis_url))


def test_a_volume_that_is_emptied_during_its_backup_makes_none(
    on_redis: Meta,
    redis_url: str,
    store: FaultyStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["backup of the metadata failed", "connection to", "was replaced"]
    on_redis.create(ROOT, b"file")
    flush = partial(on_redis.engine.call, [("FLUSHDB",)])  # type: ignore[attr-defined]
    Meddling(monkeypatch).before("all_chunks", flush)
    with pytest.raises(Unavailable, match="emptied"):
        backup(redis_url, store, clock)
    assert [one.manifest for one in backups(store)] == [None]
