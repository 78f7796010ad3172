"""The whole-file cache: one fetch per host, names that never lie, bounded, and local."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.blob.place import Place
from roost.errors import InvalidArgument, MissingBlock, Unavailable
from roost.testing.clock import ManualClock
from roost.volume.data import file_proof, whole_files
from roost.volume.data.file_proof import PIECE_BYTES
from roost.volume.data.local_disk import file_system_of, is_local, is_local_bucket
from roost.volume.data.whole_files import WholeFiles
from roost.volume.model import ChunkNo, Slice, SliceId

UUID = "11111111-2222-4333-8444-555555555555"


def record(slice_id: int, pos: int = 0, length: int = 5) -> tuple[ChunkNo, tuple[Slice, ...]]:
    return ChunkNo(0), (Slice(pos, SliceId(slice_id), length, 0, length),)


def filled(data: bytes) -> Callable[[int], None]:
    return lambda descriptor: os.write(descriptor, data) and None


def proof_of(cache: WholeFiles, name: str) -> Path:
    return whole_files._proof_path(cache._path(name))


def test_a_file_is_filled_once_and_found_afterwards(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    assert cache.find(name) is None
    path = cache.fetch(name, filled(b"hello"))
    assert path.read_bytes() == b"hello"
    again = WholeFiles(tmp_path, UUID).fetch(name, filled(b"never"))
    assert again == path
    assert again.read_bytes() == b"hello"


def rewrite(path: Path, data: bytes) -> None:
    """Put other bytes into a file, at another time than that of the file before."""
    mtime_ns = path.stat().st_mtime_ns
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns + 1, mtime_ns + 1))
    path.chmod(0o444)


def flip(path: Path, proof: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rewrite(path, bytes(data))


def cut(path: Path, proof: Path) -> None:
    rewrite(path, path.read_bytes()[:-1])


def cut_a_piece(path: Path, proof: Path) -> None:
    rewrite(path, path.read_bytes()[:PIECE_BYTES])


def lengthen(path: Path, proof: Path) -> None:
    rewrite(path, path.read_bytes() + b"x")


def pipe(path: Path, proof: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def pipe_as_proof(path: Path, proof: Path) -> None:
    proof.unlink()
    os.mkfifo(proof)


def flip_proof(path: Path, proof: Path) -> None:
    flip(proof, proof)


def empty_proof(path: Path, proof: Path) -> None:
    rewrite(proof, b"")


def proof_of_another(path: Path, proof: Path) -> None:
    """As sound as any, of a file with other bytes."""
    other = WholeFiles(path.parents[3] / "other", UUID)
    name = other.name_of(5, [record(2)])
    other.fetch(name, filled(b"other"))
    rewrite(proof, proof_of(other, name).read_bytes())
    rewrite(path, b"other")


WHOLE = os.urandom(2 * PIECE_BYTES + 100)
HARMS = [flip, cut, cut_a_piece, lengthen, pipe, pipe_as_proof, flip_proof, empty_proof]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("harm", [*HARMS, proof_of_another])
def test_a_file_that_somebody_changed_is_fetched_again(
    tmp_path: Path, harm: Callable[[Path, Path], None], expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached file is damaged, fetching it again")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(len(WHOLE), [record(1)])
    path = cache.fetch(name, filled(WHOLE))
    harm(path, proof_of(cache, name))
    later = WholeFiles(tmp_path, UUID)
    assert later.find(name) is None
    assert later.fetch(name, filled(WHOLE)).read_bytes() == WHOLE
    assert later.fetch(name, filled(b"never")).read_bytes() == WHOLE


@pytest.mark.parametrize("harm", [flip, cut, lengthen])
def test_a_change_is_seen_by_who_has_handed_the_file_out(
    tmp_path: Path, harm: Callable[[Path, Path], None], expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached file is damaged, fetching it again")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(len(WHOLE), [record(1)])
    path = cache.fetch(name, filled(WHOLE))
    assert cache.find(name) == path
    harm(path, path)
    assert cache.fetch(name, filled(WHOLE)).read_bytes() == WHOLE


def test_a_file_is_read_once_by_each_process_that_hands_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    really = whole_files.is_proved
    monkeypatch.setattr(
        whole_files, "is_proved", lambda *a, **k: (read.append(1), really(*a, **k))[1]
    )
    first, second = WholeFiles(tmp_path, UUID), WholeFiles(tmp_path, UUID)
    name = first.name_of(5, [record(1)])
    first.fetch(name, filled(b"hello"))
    for _ in range(3):
        assert first.find(name) is not None
    assert read == [], "it was read when it was stored"
    for _ in range(3):
        assert second.find(name) is not None
    assert read == [1]


def test_a_file_of_a_folder_without_records_is_fetched_again(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    cache.fetch(name, filled(b"hello"))
    proof_of(cache, name).unlink()
    later = WholeFiles(tmp_path, UUID)
    assert later.find(name) is None
    assert later.fetch(name, filled(b"HELLO")).read_bytes() == b"HELLO"


def test_without_proof_of_content_the_length_counts_alone(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached file is damaged, fetching it again")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    path = cache.fetch(name, filled(b"hello"))
    trusting = WholeFiles(tmp_path, UUID, proves_content=False)
    rewrite(path, b"jello")
    assert trusting.find(name) == path
    rewrite(path, b"hell")
    assert trusting.find(name) is None, "who maps it would be killed"


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    cache.fetch(name, filled(b"hello"))
    shutil.rmtree(tmp_path / f"roost-{UUID}")
    assert cache.find(name) is None
    assert cache.fetch(name, filled(b"hello")).read_bytes() == b"hello"


@pytest.mark.parametrize("place", [Path("/proc/cache"), Path("file")])
def test_a_folder_that_cannot_be_used_is_an_error_that_names_it(
    tmp_path: Path, place: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = WholeFiles(tmp_path / place, UUID)
    assert not cache.check_rollback(lambda: 8193)
    name = cache.name_of(5, [record(1)])
    assert cache.find(name) is None
    with pytest.raises(Unavailable, match=str(tmp_path / place)) as caught:
        cache.fetch(name, filled(b"hello"))
    assert "another cache folder" in caught.value.hint


def test_a_folder_that_cannot_be_emptied_after_a_rollback_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be used")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(5000)])
    cache.fetch(name, filled(b"hello"))

    def refuse(_path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", missing_ok)

    later = WholeFiles(tmp_path, UUID)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert not later.check_rollback(lambda: 4097)
    assert later.find(name) is None
    with pytest.raises(Unavailable, match="Read-only file system"):
        later.fetch(name, filled(b"other"))


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("level", [0, 1])
def test_a_folder_that_cannot_be_listed_after_a_rollback_is_not_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
    code: int,
    level: int,
) -> None:
    expected_warnings.append("cannot be used")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(5000)])
    path = cache.fetch(name, filled(b"hello"))

    def refusing(listing: Callable[[str], object]) -> Callable[[str], object]:
        def refuse(folder: str) -> object:
            if Path(folder) == path.parents[level]:
                raise OSError(code, os.strerror(code), folder)
            return listing(folder)

        return refuse

    later = WholeFiles(tmp_path, UUID)
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refusing(os.listdir))
        patch.setattr(os, "scandir", refusing(os.scandir))
        assert not later.check_rollback(lambda: 4097)
    assert later.find(name) is None
    last = WholeFiles(tmp_path, UUID)
    assert last.check_rollback(lambda: 4097), "it is still to be emptied"
    assert last.find(name) is None
    assert not path.exists()


def test_a_record_that_lost_its_file_goes_after_a_day(tmp_path: Path) -> None:
    now, later = WholeFiles(tmp_path, UUID), ManualClock()
    name = now.name_of(5, [record(1)])
    now.fetch(name, filled(b"hello")).unlink()
    stray = proof_of(now, name)
    later.advance(stray.stat().st_ctime - later.wall_ns() / 1e9 + 25 * 3600)
    now.fetch(now.name_of(5, [record(2)]), filled(b"hello"))
    assert stray.exists(), "its file may be about to come"
    tomorrow = WholeFiles(tmp_path, UUID, clock=later)
    tomorrow.fetch(now.name_of(5, [record(3)]), filled(b"hello"))
    assert not stray.exists()


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
        os.utime(whole_files._proof_path(path), (old_s, old_s))
    cache.fetch(names[3], filled(b"hello"))
    kept = [n for n, name in enumerate(names) if cache._path(name).exists()]
    assert kept == [2, 3]
    assert [n for n, name in enumerate(names) if proof_of(cache, name).exists()] == kept
    monkeypatch.setattr(whole_files, "GRACE_S", 1e9)
    cache.fetch(names[0], filled(b"hello"))
    assert cache.find(names[2]) is not None, "it may be about to be mapped"


def test_what_is_found_counts_as_used(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID, bytes_max=12)
    names = [cache.name_of(5, [record(n)]) for n in range(1, 5)]
    paths = [cache.fetch(name, filled(b"hello")) for name in names[:3]]
    for age, path in enumerate(paths):
        old_s = path.stat().st_mtime - 10_000 + age
        os.utime(whole_files._proof_path(path), (old_s, old_s))
    assert cache.find(names[0]) is not None, "the oldest, but for this"
    cache.fetch(names[3], filled(b"hello"))
    assert [n for n, name in enumerate(names) if cache._path(name).exists()] == [0, 3]


class Proofs:
    """Counts how often a file is read and compared; each time takes a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, while_s: float = 0.0) -> None:
        self.count = 0
        really, pause = whole_files.is_proved, threading.Event()

        def prove(descriptor: int, proof: bytes, name: str, *, content: bool) -> bool:
            self.count += 1
            pause.wait(while_s)
            return really(descriptor, proof, name, content=content)

        monkeypatch.setattr(whole_files, "is_proved", prove)


def test_of_several_threads_that_ask_for_a_file_one_proves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [WholeFiles(tmp_path, UUID).name_of(5, [record(n)]) for n in (1, 2)]
    for name in names:
        WholeFiles(tmp_path, UUID).fetch(name, filled(b"hello"))
    cache, proofs = WholeFiles(tmp_path, UUID), Proofs(monkeypatch, 0.1)
    found: list[Path | None] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(cache.find(name)))  # type: ignore[misc]
        for name in names * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {cache._path(name) for name in names}
    assert proofs.count == 2
    assert not cache._proving, "no lock stays behind"


def test_a_damaged_file_is_read_once_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cached file is damaged")
    name = WholeFiles(tmp_path, UUID).name_of(5, [record(1)])
    flip(WholeFiles(tmp_path, UUID).fetch(name, filled(b"hello")), tmp_path)
    cache, proofs = WholeFiles(tmp_path, UUID), Proofs(monkeypatch)
    assert cache.fetch(name, filled(b"hello")).read_bytes() == b"hello"
    assert cache.find(name) is not None
    assert proofs.count == 1


def test_a_file_that_is_cut_while_it_is_proved_is_not_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * PIECE_BYTES))
    really = os.pread

    def cut_behind(descriptor: int, size_bytes: int, offset: int) -> bytes:
        data = really(descriptor, size_bytes, offset)
        os.truncate(path, PIECE_BYTES)
        return data

    with path.open("rb") as file:
        proof = file_proof.proof_of(file.fileno(), "name")
        assert file_proof.is_proved(file.fileno(), proof, "name")
        monkeypatch.setattr(os, "pread", cut_behind)
        assert not file_proof.is_proved(file.fileno(), proof, "name")


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_highest_slice_id_holds_nobody_up(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be used")
    cache = WholeFiles(tmp_path, UUID)
    name = cache.name_of(5, [record(1)])
    cache.fetch(name, filled(b"hello"))
    highest = cache._folder / "highest-slice-id"
    highest.unlink()
    os.mkfifo(highest)
    later = WholeFiles(tmp_path, UUID)
    assert not later.check_rollback(lambda: 8193)
    assert later.find(name) is None


def test_each_refusal_of_a_folder_has_a_traceback_of_its_own(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be used")
    cache = WholeFiles(tmp_path, UUID)
    cache._folder.mkdir(parents=True)
    os.mkfifo(cache._folder / "highest-slice-id")
    cache.check_rollback(lambda: 1)
    causes = []
    for _ in range(2):
        with pytest.raises(Unavailable, match="Not a regular file") as caught:
            cache.fetch(cache.name_of(5, [record(1)]), filled(b"hello"))
        causes.append(caught.value.__cause__)
    assert causes[0] is not causes[1]


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


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\x0c", "\x1c"])
def test_a_mount_point_may_hold_what_some_take_for_the_end_of_a_line(
    tmp_path: Path, odd: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS + f"33 22 0:43 / /mnt/a{odd}b rw - nfs server:/y rw\nshort line\n")
    assert file_system_of(Path(f"/mnt/a{odd}b/c"), mounts) == "nfs"
    assert file_system_of(Path("/mnt/x"), mounts) == "ext4"


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
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"hel")
    later.advance(draft.stat().st_ctime - later.wall_ns() / 1e9 + 25 * 3600)
    now.fetch(now.name_of(5, [record(2)]), filled(b"hello"))
    assert draft.exists(), "somebody may be filling it"
    tomorrow = WholeFiles(tmp_path, UUID, clock=later)
    tomorrow.fetch(now.name_of(5, [record(3)]), filled(b"hello"))
    assert not draft.exists()


def test_files_of_forgotten_slices_are_gone_also_those_under_way(tmp_path: Path) -> None:
    cache = WholeFiles(tmp_path, UUID)
    below, inside, above = (cache.name_of(5, [record(n)]) for n in (1, 7, 70))
    paths = [cache.fetch(name, filled(b"hello")) for name in (below, inside, above)]
    cache.forget_slices(5, 10)
    assert [path.exists() for path in paths] == [True, False, False]
    local = tmp_path / "local"
    local.write_bytes(b"hello")
    with pytest.raises(OSError, match="another client's"):
        cache.adopt(inside, local)
    assert cache.find(inside) is None

    def fill(descriptor: int) -> None:
        os.write(descriptor, b"hello")
        cache.forget_slices(20, 30)

    with pytest.raises(Unavailable, match="lost commits"):
        cache.fetch(above, fill)
    assert cache.find(above) is None
    assert cache.fetch(inside, filled(b"again")).read_bytes() == b"again"
