"""Garbage is found exactly, removed only when asked, and never if anything needs it."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from roost.blob.store import StoreDenied
from roost.errors import InvalidArgument, StorageFull, Unavailable, Unsupported
from roost.testing.clock import ManualClock
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume import sorted_records
from roost.volume.client import VolumeClient
from roost.volume.errors import NotFormatted
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.layout import block_key
from roost.volume.meta.opening import open_engine
from roost.volume.model import ROOT, ChunkNo, Slice, SliceId
from roost.volume.tools.destroy import VolumeInUse, destroy
from roost.volume.tools.gc import GcOptions, collect_garbage
from roost.volume.tools.objects import Listing
from roost.volume.tools.opened import opened

BLOCK = 64 << 10


def later(hours: float = 2) -> ManualClock:
    """Return a clock some hours ahead of the objects' dates."""
    return ManualClock(time.time_ns() + int(hours * 3_600_000_000_000))


def make_older(volume: TestVolume, hours: float = 2) -> None:
    """Take some hours off the dates of all objects, and of what is to become one."""
    for path in Path(volume.settings.bucket).rglob("*"):
        if path.is_file():
            date_ns = path.stat().st_mtime_ns - int(hours * 3_600_000_000_000)
            os.utime(path, ns=(date_ns, date_ns))


def test_objects_are_counted_by_what_they_are(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/a", os.urandom(2 * BLOCK + 5))
    for key in (
        block_key(SliceId(999_999), 0, 7),  # of no slice
        block_key(SliceId(1), 0, 7),  # not the size of its slice's block
        block_key(SliceId(1), 9, BLOCK),  # behind its slice
    ):
        volume.store.put(key, b"x" * 7)
    volume.store.put("chunks/0/0/odd", b"1")
    volume.store.put("chunks/7/7/1_1_65536", b"in the wrong folder")
    report = collect_garbage(client, clock=later())
    assert (report.valid.count, report.leaked.count, report.strange) == (3, 3, 2)
    assert report.leaked.bytes == 21
    young = collect_garbage(client, clock=later(0.5))
    assert (young.leaked.count, young.young.count) == (0, 3)
    ageless = collect_garbage(client, GcOptions(leak_age_s=0))
    assert (ageless.leaked.count, ageless.young.count) == (3, 0)
    assert len(volume.objects()) == 8  # it only looked
    make_older(volume)
    done = collect_garbage(client, GcOptions(delete=True), clock=later())
    assert done.deleted.count == 3
    assert len(volume.objects()) == 5
    for key in ("chunks/0/0/odd", "chunks/7/7/1_1_65536"):
        volume.store.delete(key)


@pytest.mark.parametrize("sizes", [(5, BLOCK + 5), (BLOCK + 5, 5)])
def test_objects_of_a_slice_with_two_sizes_are_left_alone(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    volume = make_test_volume(tmp_path / "torn")
    client = volume.open()
    ino = client.meta.create(ROOT, b"a").ino
    torn = client.meta.new_slice_id()
    for key in (block_key(torn, 0, BLOCK), block_key(torn, 1, 5), block_key(torn, 0, 5)):
        volume.store.put(key, b"x")
    for chunk_no, size in enumerate(sizes):
        record = Slice(0, torn, size, 0, 5)
        client.meta.write_slice(ino, ChunkNo(chunk_no), record)
    make_older(volume)
    report = collect_garbage(client, GcOptions(delete=True), clock=later())
    assert (report.leaked.count, report.deleted.count) == (0, 0)
    assert len(volume.objects()) == 3
    client.close()


def test_what_is_committed_between_two_looks_is_not_deleted(volume: TestVolume) -> None:
    client = volume.open()
    slice_id = client.meta.new_slice_id()
    volume.store.put(block_key(slice_id, 0, 5), b"12345")
    client.write("/a", b"")
    ino = client.node("/a").ino
    listed = False

    def commit(verb: str, key: str) -> None:
        nonlocal listed
        if verb == "list" and not listed:
            listed = True
            client.meta.write_slice(ino, ChunkNo(0), Slice(0, slice_id, 5, 0, 5))

    make_older(volume)
    volume.store.before_call = commit
    report = collect_garbage(client, GcOptions(delete=True), clock=later())
    assert report.leaked.count == 1
    assert report.deleted.count == 0
    assert client.read("/a") == b"12345"


def test_removals_that_fail_are_left_for_the_next_time(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is left for the next time")
    client = volume.open()
    for number in range(4):
        volume.store.put(block_key(SliceId(900_000 + number), 0, 5), b"12345")
    make_older(volume)
    volume.store.fail("delete", 2)
    report = collect_garbage(client, GcOptions(delete=True, threads=1), clock=later())
    assert (report.deleted.count, report.failed) == (3, 1)
    assert collect_garbage(client, GcOptions(delete=True), clock=later()).deleted.count == 1


def test_a_clock_that_is_ahead_of_the_store_deletes_nothing_younger_than_an_hour(
    volume: TestVolume,
) -> None:
    """The store's own clock says what is an hour old; so does this host's, if it is behind."""
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    report = collect_garbage(client, GcOptions(delete=True), clock=later(24 * 365))
    assert (report.leaked.count, report.young.count, report.deleted.count) == (0, 1, 0)
    make_older(volume)
    report = collect_garbage(client, GcOptions(delete=True), clock=later(-24))
    assert (report.leaked.count, report.young.count, report.deleted.count) == (0, 1, 0)
    assert collect_garbage(client, GcOptions(delete=True)).deleted.count == 1
    assert [info.key for info in volume.store.list("testing/")] == []


@pytest.mark.parametrize("verb", ["put", "head", "delete"])
def test_a_store_that_does_not_say_what_time_it_is_keeps_everything(
    volume: TestVolume, verb: str
) -> None:
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    make_older(volume)
    volume.store.fail(verb)
    with pytest.raises(Unavailable):
        collect_garbage(client, GcOptions(delete=True))
    volume.store.heal()
    assert len(volume.objects()) == 1
    assert collect_garbage(client, GcOptions(delete=True)).deleted.count == 1
    for info in list(volume.store.list("testing/")):
        volume.store.delete(info.key)


def test_a_store_without_dates_keeps_everything_and_says_why(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every object would be of 1970 for one question, and younger than that for the other."""
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    really_head = volume.store.head
    monkeypatch.setattr(
        volume.store, "head", lambda key: dataclasses.replace(really_head(key), mtime_ns=0)
    )
    with pytest.raises(Unsupported, match="gives its objects no dates") as refusal:
        collect_garbage(client, GcOptions(delete=True))
    assert "without --delete" in refusal.value.hint
    assert len(volume.objects()) == 1
    assert list(volume.store.list("testing/")) == [], "what was put to ask is gone"
    volume.store.delete(block_key(SliceId(900_000), 0, 5))


def test_a_store_that_refuses_puts_keeps_everything_and_says_why(volume: TestVolume) -> None:
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    make_older(volume)
    volume.store.fail("put", error=StoreDenied)
    with pytest.raises(StoreDenied) as refusal:
        collect_garbage(client, GcOptions(delete=True))
    assert "allow puts below testing/" in refusal.value.hint.lower()
    assert "dates" in refusal.value.hint
    volume.store.heal()
    assert collect_garbage(client, GcOptions(delete=True)).deleted.count == 1


def test_a_full_store_is_made_room_in_by_this_hosts_clock(
    volume: TestVolume, expected_warnings: list[str]
) -> None:
    """What cannot be asked for lack of space would else keep the space."""
    expected_warnings.append("only this host's clock")
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    make_older(volume)
    volume.store.fail("put", error=StorageFull)
    assert collect_garbage(client, GcOptions(delete=True)).deleted.count == 1


def test_looking_asks_nothing_of_a_store_but_its_list(volume: TestVolume) -> None:
    client = volume.open(read_only=True)
    before = volume.store.calls.copy()
    collect_garbage(client)
    assert set((volume.store.calls - before).elements()) == {"list"}


def draft(volume: TestVolume, key: str, size: int = 100) -> Path:
    """Leave what a crash leaves of an object's put."""
    path = Path(volume.settings.bucket, volume.settings.name, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_drafts_older_than_an_hour_are_counted_and_deleted(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/a", b"bytes")
    ours = draft(volume, "chunks/0/0/.jfs.1_0_5.tmp.0123456789ab")
    theirs = draft(volume, "chunks/0/7/.jfs.7_0_5.tmp.6186850189672912120", 50)
    meta = draft(volume, "meta/.jfs.dump.json.gz.tmp.1")
    make_older(volume, 0.9)
    report = collect_garbage(client, GcOptions(delete=True))
    assert (report.drafts.count, report.drafts_removed, report.failed) == (0, 0, 0)
    make_older(volume, 0.2)
    young = draft(volume, "chunks/0/0/.jfs.2_0_5.tmp.0123456789ab")
    report = collect_garbage(client)
    assert (report.drafts.count, report.drafts.bytes, report.drafts_removed) == (3, 250, 0)
    assert all(path.exists() for path in (ours, theirs, meta))
    report = collect_garbage(client, GcOptions(delete=True))
    assert (report.drafts.count, report.drafts.bytes, report.drafts_removed) == (3, 250, 3)
    assert not any(path.exists() for path in (ours, theirs, meta))
    assert young.exists()
    assert client.read("/a") == b"bytes"


def test_a_clock_that_is_ahead_of_the_store_removes_no_draft_under_way(volume: TestVolume) -> None:
    client = volume.open()
    path = draft(volume, "chunks/0/0/.jfs.1_0_5.tmp.0123456789ab")
    report = collect_garbage(client, GcOptions(delete=True), clock=later(24 * 365))
    assert (report.drafts.count, report.drafts_removed) == (0, 0)
    assert path.exists()
    make_older(volume)
    report = collect_garbage(client, GcOptions(delete=True), clock=later(-24))
    assert report.drafts.count == 0
    assert path.exists(), "this host's clock is behind"
    assert collect_garbage(client, GcOptions(delete=True)).drafts_removed == 1


@pytest.mark.parametrize(
    "name",
    [
        ".jfs.a.tmp.", "jfs.a.tmp.1", ".jfs..tmp.1", ".jfs.a.tmp.xyz", ".jfs.a.tmp.1.gz",
        ".jfs.a.tmp.0123456789abc", ".a.tmp.1", "a.tmp.1", ".jfs.a.tmp.-1",
    ],
)  # fmt: skip
def test_what_is_named_otherwise_is_no_draft(volume: TestVolume, name: str) -> None:
    client = volume.open()
    path = draft(volume, f"meta/{name}")
    make_older(volume)
    assert collect_garbage(client, GcOptions(delete=True)).drafts.count == 0
    assert path.exists()


def test_drafts_of_another_volume_in_the_same_bucket_are_left_alone(volume: TestVolume) -> None:
    client = volume.open()
    path = Path(volume.settings.bucket, "another", "chunks", ".jfs.1_0_5.tmp.1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    make_older(volume)
    assert collect_garbage(client, GcOptions(delete=True)).drafts.count == 0
    assert path.exists()


def test_another_age_is_that_of_leaked_objects_alone(volume: TestVolume) -> None:
    client = volume.open()
    volume.store.put(block_key(SliceId(900_000), 0, 5), b"12345")
    path = draft(volume, "chunks/0/0/.jfs.1_0_5.tmp.1")
    make_older(volume, 0.5)
    for age_s, count in ((2000, 0), (1000, 1)):
        report = collect_garbage(client, GcOptions(delete=True, leak_age_s=age_s))
        assert (report.deleted.count, report.drafts.count) == (count, 0)
    assert path.exists()


def test_drafts_of_all_shards_are_deleted(tmp_path: Path) -> None:
    new = NewVolume("sharded", bucket=f"{tmp_path}/shard%d", shards=3)
    meta_url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(meta_url, new)
    drafts = [
        tmp_path / f"shard{number}/sharded/chunks/0/0/.jfs.1_0_5.tmp.{number}"
        for number in range(3)
    ]
    for path in drafts[:2]:  # of the last the folder is not there: nothing was stored in it yet
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (1, 1))
    with VolumeClient.open(meta_url, cache_dir=tmp_path / "cache") as client:
        assert collect_garbage(client, GcOptions(delete=True)).drafts_removed == 2
    assert not any(path.exists() for path in drafts)


def test_data_of_an_inode_that_does_not_exist_is_removed(volume: TestVolume) -> None:
    import sqlite3

    client = volume.open()
    client.write("/gone", os.urandom(BLOCK + 1))
    client.write("/stays", b"here")
    ino = client.node("/gone").ino
    connection = sqlite3.connect(volume.folder / "meta.db", timeout=30)
    connection.execute("DELETE FROM jfs_node WHERE inode = ?", (ino,))
    connection.execute("DELETE FROM jfs_edge WHERE inode = ?", (ino,))
    connection.execute("UPDATE jfs_counter SET value = 4096 WHERE name = 'usedSpace'")
    connection.execute("UPDATE jfs_counter SET value = 1 WHERE name = 'totalInodes'")
    connection.execute("UPDATE jfs_dir_stats SET used_inodes = 1, used_space = 4096")
    connection.commit()
    connection.close()
    report = collect_garbage(client, GcOptions(delete=True), clock=later())
    assert report.lost_chunks == 1
    assert len(volume.objects()) == 1
    assert client.read("/stays") == b"here"


def test_all_that_waits_is_removed_in_however_many_rounds(
    volume: TestVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roost.volume.tools.gc._AT_ONCE", 2)
    client = volume.open()
    for number in range(10):
        client.write(f"/{number}", b"bytes")
    for number in range(10):
        file = client.meta.unlink(ROOT, b"%d" % number, skip_trash=True)
        assert file is not None
        if number < 5:  # a client that died after it had dropped the references
            client.meta.release_deleted_file(file)
    report = collect_garbage(client, GcOptions(delete=True), clock=later())
    assert (report.slices_removed, report.deleted_files) == (10, 0)
    assert volume.objects() == []


def test_small_runs_and_ranges_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = make_test_volume(tmp_path / "many")
    client = volume.open()
    for number in range(40):
        client.write(f"/{number}", b"x" * number)
    volume.store.delete(volume.objects()[3])
    volume.store.put(block_key(SliceId(777), 0, 5), b"12345")
    whole = collect_garbage(client, clock=later())
    bad = volume.check()
    monkeypatch.setattr(sorted_records, "RUN_RECORDS", 7)
    monkeypatch.setattr(sorted_records, "RANGE_RECORDS", 5)
    monkeypatch.setattr(sorted_records, "_WINDOW_RECORDS_MIN", 2)
    assert collect_garbage(client, clock=later()) == whole
    assert volume.check() == bad
    assert len(bad.damaged) == 1
    client.close()


def test_compaction_is_driven_over_the_whole_volume(volume: TestVolume) -> None:
    client = volume.open()
    client.write("/log", b"start")
    for number in range(5):
        client.append("/log", b"%d" % number)
    report = collect_garbage(client, GcOptions(compact=True), clock=later())
    assert report.compaction is not None
    assert report.compaction.merged == 1
    assert client.read("/log") == b"start01234"


@pytest.mark.parametrize("hash_prefix", [False, True])
def test_a_key_in_a_wrong_folder_is_no_block(volume: TestVolume, hash_prefix: bool) -> None:
    with opened(volume.meta_url, read_only=True) as found:
        blocks = type(found.blocks)(
            volume.store, found.blocks.compression, BLOCK, hash_prefix=hash_prefix
        )
        for slice_id in (1, 2, 257, 999, 1000, 1_000_001):
            right = block_key(SliceId(slice_id), 0, 5, hash_prefix=hash_prefix)
            volume.store.put(right, b"12345")
        wrong = block_key(SliceId(3), 0, 5, hash_prefix=hash_prefix).replace("3_0_5", "4_0_5")
        zeros = block_key(SliceId(6), 0, 5, hash_prefix=hash_prefix).replace("6_0_5", "06_0_5")
        other = block_key(SliceId(1), 0, 5, hash_prefix=not hash_prefix)
        for key in (wrong.replace("/0/", "/1/", 1) if not hash_prefix else wrong, zeros, other):
            volume.store.put(key, b"12345")
        listing = Listing(blocks, hash_prefix=hash_prefix)
        listing.read(lambda _done, _all: None)
        assert (listing.objects.count, listing.strange_count) == (6, 3)
        listing.close()
    for info in list(volume.store.list("chunks/")):
        volume.store.delete(info.key)


def test_a_volume_is_destroyed_whole_and_only_by_its_name(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "doomed")
    client = volume.open()
    client.write("/a", b"x")
    uuid = volume.settings.uuid
    with opened(volume.meta_url, read_only=False, store=volume.store) as found:
        with pytest.raises(InvalidArgument):
            destroy(found, "another", force=True)
        with pytest.raises(VolumeInUse):
            destroy(found, uuid)
        assert volume.objects()
    client.close()
    with opened(volume.meta_url, read_only=False, store=volume.store) as found:
        destroy(found, uuid)
    assert list(volume.store.list()) == []
    with pytest.raises(NotFormatted):
        open_engine(volume.meta_url, ManualClock(), read_only=True)
