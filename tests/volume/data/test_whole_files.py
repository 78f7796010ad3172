"""The whole-file cache: one fetch per host, names that never lie, bounded, and local."""

import os
import threading
from pathlib import Path

import pytest

from roost.blob.place import Place
from roost.errors import InvalidArgument, MissingBlock
from roost.testing.clock import ManualClock
from roost.volume.data import whole_files
from roost.volume.data.local_disk import file_system_of, is_local, is_local_bucket
from roost.volume.data.whole_files import WholeFiles
from roost.volume.model import ChunkNo, Slice, SliceId

UUID = "11111111-2222-4333-8444-555555555555"


def record(slice_id: int, pos: int = 0, length: int = 5) -> tuple[ChunkNo, tuple[Slice, ...]]:
    return ChunkNo(0), (Slice(pos, SliceId(slice_id), length, 0, length),)


def filled(data: bytes) -> "whole_files.Callable[[int], None]":
    return lambda descriptor: os.write(descriptor, data) and None


def test_a_file_is_filled_once_and_found_afterwards(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    assert cache.find(name) is None
    path = cache.fetch(name, filled(b"hello"))
    assert path.read_bytes() == b"hello"
    again = WholeFiles(tmp_path, UUID).fetch(name, filled(b"never"))
    assert again == path
    assert again.read_bytes() == b"hello"


def test_the_name_tells_volume_length_and_slices_apart(tmp_path: Path) -> None:
    cache, other = WholeFiles(tmp_path, UUID), WholeFiles(tmp_path, UUID.replace("1", "2"))
    names = {
        cache.name_of(5, [record(1)]),
        cache.name_of(6, [record(1)]),
        cache.name_of(5, [record(2)]),
        cache.name_of(5, [record(1, pos=1)]),
        cache.name_of(5, []),
        other.name_of(5, [record(1)]),
    }
    assert len(names) == 6
    covered = (ChunkNo(0), (record(9)[1][0], record(1)[1][0]))
    same = cache.name_of(5, [covered])
    assert same == cache.name_of(5, [record(1)]), "what no reader sees does not count"


def test_a_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])

    def fail(descriptor: int) -> None:
        os.write(descriptor, b"he")
        raise MissingBlock("vol/chunks/0/0/1_0_5")

    with pytest.raises(MissingBlock):
        cache.fetch(name, fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.fetch(name, filled(b"hello")).read_bytes() == b"hello"


def test_of_many_who_ask_at_once_one_fills(tmp_path: Path) -> None:
    caches = [WholeFiles(tmp_path, UUID) for _ in range(2)]  # as two processes
    name = caches[0].name_of(5, [record(1)])
    fills: list[int] = []

    def fill(descriptor: int) -> None:
        fills.append(descriptor)
        os.write(descriptor, b"hello")

    found: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(caches[n % 2].fetch(name, fill).read_bytes())
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"hello"] * 8
    assert len(fills) == 1


def test_an_adopted_file_is_moved_synced_and_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))[1]
    )
    cache = WholeFiles(tmp_path / "cache", UUID)
    local = tmp_path / "segment"
    local.write_bytes(b"hello")
    name = cache.name_of(5, [record(1)])
    path = cache.adopt(name, local)
    assert path.read_bytes() == b"hello"
    assert not local.exists()
    assert any(name in file for file in synced)
    assert path.stat().st_mode & 0o222 == 0
    assert cache.find(name) == path


def test_a_rolled_back_volume_empties_the_cache(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(5000)])
    cache.fetch(name, filled(b"hello"))
    assert not cache.check_rollback(lambda: 8193)
    assert cache.find(name) is not None
    assert WholeFiles(tmp_path, UUID).check_rollback(lambda: 4097)
    assert cache.find(name) is None


def test_a_slice_id_seen_since_the_open_counts_too(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    cache.check_rollback(lambda: 1)
    name = cache.name_of(5, [record(5000)])
    cache.fetch(name, filled(b"hello"))
    assert WholeFiles(tmp_path, UUID).check_rollback(lambda: 4097)
    assert cache.find(name) is None


def test_the_least_recently_used_go_but_never_what_is_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = WholeFiles(tmp_path, UUID, bytes_max=12)
    names = [cache.name_of(5, [record(n)]) for n in range(1, 5)]
    for age, name in enumerate(names[:3]):
        path = cache.fetch(name, filled(b"hello"))
        old_s = path.stat().st_mtime - 10_000 + age
        os.utime(path, (old_s, old_s))
    cache.fetch(names[3], filled(b"hello"))
    kept = [n for n, name in enumerate(names) if cache._path(name).exists()]
    assert kept == [2, 3]
    monkeypatch.setattr(whole_files, "GRACE_S", 1e9)
    cache.fetch(names[0], filled(b"hello"))
    assert cache.find(names[2]) is not None, "it may be about to be mapped"


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /mnt/jfs rw,nosuid - fuse.juicefs JuiceFS:x rw
31 22 0:41 / /mnt/a\\040b rw - nfs4 server:/x rw
32 30 0:42 / /mnt/jfs/inner rw - tmpfs tmpfs rw
"""


def test_a_fuse_or_network_folder_is_not_local(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system_of(Path("/mnt/jfs/x"), mounts) == "fuse.juicefs"
    assert not is_local(Path("/mnt/jfs/x"), mounts)
    assert not is_local(Path("/mnt/a b/x"), mounts)
    assert is_local(Path("/mnt/jfs/inner/x"), mounts)
    assert is_local(Path("/mnt/jfsother"), mounts)
    assert is_local(tmp_path)


@pytest.mark.parametrize(
    ("place", "local"),
    [
        (Place("file", "/var/objects/"), True),
        (Place("file", "/mnt/a b/objects/"), False),
        (Place("file", "/mnt/jfs/inner/%d/", shards=2), True),
        (Place("file", "/mnt/disk%d/", shards=2), False),
        (Place("s3", "https://bucket.s3.amazonaws.com"), False),
    ],
)
def test_a_bucket_is_local_if_all_its_folders_are(
    tmp_path: Path, place: Place, local: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS + "33 22 0:43 / /mnt/disk1 rw - nfs server:/y rw\n")
    assert is_local_bucket(place, mounts) == local


def test_a_cache_folder_that_is_not_local_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "is_local", lambda _folder: False)
    monkeypatch.setattr(whole_files, "file_system_of", lambda _folder: "fuse.juicefs")
    with pytest.raises(InvalidArgument, match=r"fuse\.juicefs"):
        WholeFiles(tmp_path, UUID)


def test_what_a_crash_left_half_written_goes_after_a_day(tmp_path: Path) -> None:
    now, later = WholeFiles(tmp_path, UUID), ManualClock()
    draft = now._draft(now.name_of(5, [record(1)]))
    draft.write_bytes(b"hel")
    later.advance(draft.stat().st_ctime - later.wall_ns() / 1e9 + 25 * 3600)
    now.fetch(now.name_of(5, [record(2)]), filled(b"hello"))
    assert draft.exists(), "somebody may be filling it"
    tomorrow = WholeFiles(tmp_path, UUID, clock=later)
    tomorrow.fetch(now.name_of(5, [record(3)]), filled(b"hello"))
    assert not draft.exists()
