"""The in-process client: what a user of paths sees."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.errors import FsError, NotFormatted
from roost.volume.meta.answers import FallocateFlag
from roost.volume.model import AttrChange, Caller, Flag, Kind, QuotaKind


@pytest.fixture
def client(volume: TestVolume) -> Iterator[VolumeClient]:
    return volume.open()


def refused(number: int) -> "pytest.RaisesExc[FsError]":
    return pytest.raises(FsError, match=os.strerror(number))


def test_a_file_is_read_back(client: VolumeClient) -> None:
    client.write("/a.txt", b"hello")
    assert client.read("a.txt") == b"hello"
    assert client.read("/a.txt", 1, 3) == b"ell"
    assert client.read("/a.txt", 5) == b""
    assert client.stat("/a.txt").length == 5


def test_write_replaces_and_append_adds(client: VolumeClient) -> None:
    client.write("/a", b"long old content")
    client.write("/a", b"new")
    assert client.append("/a", b" and more") == 3
    assert client.read("/a") == b"new and more"
    assert client.append("/fresh", b"x") == 0


def test_a_gap_reads_as_zeros_and_a_grown_file_too(client: VolumeClient) -> None:
    with client.open_file("/a", "w+") as file:
        file.pwrite(100_000, b"end")
        assert file.pread(0) == bytes(100_000) + b"end"
        file.truncate(50_000)
        file.truncate(100_003)
        assert file.pread(49_990) == bytes(50_013)


def test_a_sequential_writer_and_reader_share_no_position(client: VolumeClient) -> None:
    data = os.urandom(300_000)
    with client.open_file("/a", "w") as out:
        for start in range(0, len(data), 7_001):
            out.write(data[start : start + 7_001])
        assert out.tell() == len(data)
    with client.open_file("/a") as file:
        pieces = []
        while piece := file.read(9_999):
            pieces.append(piece)
        assert b"".join(pieces) == data
        file.seek(5)
        assert file.read(3) == data[5:8]


def test_a_read_sees_what_another_handle_wrote_before_any_sync(client: VolumeClient) -> None:
    with client.open_file("/a", "w") as out, client.open_file("/a") as file:
        out.write(b"hello")
        assert file.pread(0) == b"hello"
        assert client.stat("/a").length == 5


def test_append_mode_writes_at_the_end_whatever_the_position(client: VolumeClient) -> None:
    client.write("/a", b"0123")
    with client.open_file("/a", "a+") as file:
        file.seek(0)
        file.write(b"45")
        file.pwrite(0, b"x")
        assert file.append(b"67") == 6
    assert client.read("/a") == b"x1234567"


def test_exclusive_creation_and_missing_files(client: VolumeClient) -> None:
    client.open_file("/a", "x").close()
    with refused(errno.EEXIST):
        client.open_file("/a", "x")
    for mode in ("r", "r+"):
        with refused(errno.ENOENT):
            client.open_file("/no", mode)
    with refused(errno.ENOENT):
        client.open_file("/no/a", "w")
    with refused(errno.ENOTDIR):
        client.open_file("/a/b", "w")
    client.mkdir("/d")
    for mode in ("r", "w"):
        with refused(errno.EISDIR):
            client.open_file("/d", mode)


def test_a_handle_does_only_what_it_was_opened_for(client: VolumeClient) -> None:
    client.write("/a", b"x")
    with client.open_file("/a") as file, pytest.raises(ValueError, match="writing"):
        file.write(b"y")
    with client.open_file("/a", "w") as file, pytest.raises(ValueError, match="reading"):
        file.read()
    with pytest.raises(ValueError, match="closed"):
        file.fsync()
    file.close()


def test_symbolic_links_are_followed_as_the_kernel_does(client: VolumeClient) -> None:
    client.mkdir("/d/e", parents=True)
    client.symlink("e/target", "/d/link")
    client.write("/d/link", b"through the link")
    assert client.read("/d/e/target") == b"through the link"
    assert client.readlink("/d/link") == "e/target"
    assert client.stat("/d/link", follow=False).kind is Kind.SYMLINK
    client.symlink("/d/e", "/abs")
    assert client.read("/abs/target") == b"through the link"
    with refused(errno.EEXIST):
        client.open_file("/d/link", "x")
    client.symlink("loop", "/loop")
    with refused(errno.ELOOP):
        client.open_file("/loop", "w")


def test_names_move_and_disappear(client: VolumeClient) -> None:
    client.mkdir("/a/b/c", parents=True)
    client.write("/a/b/c/file", b"x")
    client.link("/a/b/c/file", "/hard")
    client.rename("/a/b", "/moved")
    assert client.read("/moved/c/file") == b"x"
    assert client.stat("/hard").nlink == 2
    with refused(errno.EEXIST):
        client.rename("/hard", "/moved/c/file", replace=False)
    with refused(errno.ENOTEMPTY):
        client.rmdir("/moved")
    assert list(client.walk("/")) == [
        ("/", ["a", "moved"], ["hard"]),
        ("/a", [], []),
        ("/moved", ["c"], []),
        ("/moved/c", [], ["file"]),
    ]
    assert client.remove_tree("/moved") == 3
    assert client.read("/hard") == b"x"
    client.remove("/hard")
    assert client.listdir("/") == ["a"]
    with refused(errno.EBUSY):
        client.rmdir("/")


def test_names_are_any_bytes(client: VolumeClient) -> None:
    for name in ("ü", os.fsdecode(b"\xff\xfe"), "with space", "-", "*", ":colon"):
        client.write(f"/{name}", name.encode(errors="surrogateescape"))
    names = client.listdir("/")
    assert names == sorted(names, key=os.fsencode)
    for name in names:
        assert client.read(f"/{name}") == name.encode(errors="surrogateescape")


def test_a_file_removed_while_open_keeps_its_bytes_until_closed(
    volume: TestVolume, client: VolumeClient
) -> None:
    file = client.open_file("/a", "w+")
    file.write(b"hello")
    client.remove("/a")
    file.write(b" again")
    assert file.pread(0) == b"hello again"
    assert volume.objects()
    file.close()
    client.close()
    assert volume.objects() == []


def test_removed_files_lose_their_objects_and_replaced_ones_too(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.write("/a", b"x" * 200_000)
    client.write("/b", b"y" * 200_000)
    client.rename("/a", "/b")
    client.remove("/b")
    client.close()
    assert volume.objects() == []


def test_a_removed_file_goes_to_the_trash_unless_told_otherwise(tmp_path: Path) -> None:
    volume = make_test_volume(tmp_path / "trash", trash_days=1)
    client = volume.open()
    client.write("/kept", b"x")
    client.write("/gone", b"y")
    client.remove("/kept")
    client.remove("/gone", skip_trash=True)
    hours = client.listdir("/.trash")
    assert [name.split("-", 2)[2] for name in client.listdir(f"/.trash/{hours[0]}")] == ["kept"]
    volume.finish()


def test_attributes_and_extended_attributes(client: VolumeClient) -> None:
    client.write("/a", b"x")
    client.setattr("/a", AttrChange(mode=0o640, mtime_ns=1_500_000_000_123_456_789))
    attr = client.stat("/a")
    assert (attr.mode, attr.mtime_ns) == (0o640, 1_500_000_000_123_456_789)
    client.setxattr("/a", "user.x", b"")
    client.setxattr("/a", "user.y", b"\0value")
    assert client.listxattr("/a") == ["user.x", "user.y"]
    assert client.getxattr("/a", "user.x") == b""
    client.removexattr("/a", "user.x")
    with refused(errno.ENODATA):
        client.getxattr("/a", "user.x")


def test_permissions_count_for_other_users(volume: TestVolume, client: VolumeClient) -> None:
    client.mkdir("/shared", 0o755)
    client.write("/shared/secret", b"x")
    client.setattr("/shared/secret", AttrChange(mode=0o600))
    client.write("/shared/open", b"x")
    other = VolumeClient.open(
        volume.meta_url, cache_dir=volume.folder / "other", caller=Caller(1000, 1000)
    )
    volume.clients.append(other)
    assert other.read("/shared/open") == b"x"
    for refuse in (
        lambda: other.read("/shared/secret"),
        lambda: other.open_local("/shared/secret"),
        lambda: other.write("/shared/open", b"y"),
        lambda: other.write("/shared/new", b"y"),
        lambda: other.remove("/shared/open"),
    ):
        with refused(errno.EACCES):
            refuse()


def test_lengths_and_ranges_are_changed_by_who_may_write_but_not_read(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.write("/drop", b"abcdef")
    client.write("/open", b"ABCDEF")
    client.setattr("/drop", AttrChange(mode=0o622))
    other = VolumeClient.open(
        volume.meta_url, cache_dir=volume.folder / "other", caller=Caller(1000, 1000)
    )
    volume.clients.append(other)
    other.truncate("/drop", 5)
    other.copy_file_range("/open", 0, "/drop", 0, 2)
    other.fallocate("/drop", 3, 1, FallocateFlag.ZERO_RANGE)
    for refuse in (
        lambda: other.read("/drop"),
        lambda: other.copy_file_range("/drop", 0, "/drop", 2, 2),
        lambda: other.truncate("/open", 0),
        lambda: other.fallocate("/open", 0, 9),
    ):
        with refused(errno.EACCES):
            refuse()
    assert client.read("/drop") == b"ABc\0e"


@pytest.mark.parametrize(
    "change",
    [
        lambda other: other.append("/f", b"x"),
        lambda other: other.write("/f", b"x"),
        lambda other: other.truncate("/f", 1),
        lambda other: other.fallocate(
            "/f", 0, 9, FallocateFlag.PUNCH_HOLE | FallocateFlag.KEEP_SIZE
        ),
        lambda other: other.copy_file_range("/g", 0, "/f", 0, 3),
    ],
    ids=["append", "write", "truncate", "fallocate", "copy"],
)
def test_a_change_by_an_ordinary_user_takes_setuid_away(
    volume: TestVolume, client: VolumeClient, change: Callable[[VolumeClient], object]
) -> None:
    for name in ("/f", "/g"):
        client.write(name, b"abcdef")
    client.setattr("/f", AttrChange(mode=0o6777))
    client.append("/f", b"by root")
    assert client.stat("/f").mode == 0o6777
    with VolumeClient.open(
        volume.meta_url, cache_dir=volume.folder / "other", caller=Caller(1000, 1000)
    ) as other:
        with other.open_file("/f", "r+") as file:
            assert file.pread(0, 1) == b"a"
        assert other.stat("/f").mode == 0o6777  # nothing was changed
        change(other)
        assert other.stat("/f").mode == 0o777


def test_setuid_that_is_set_while_a_file_is_open_is_taken_away_too(
    volume: TestVolume, client: VolumeClient
) -> None:
    client.setattr("/", AttrChange(mode=0o777))
    with VolumeClient.open(
        volume.meta_url, cache_dir=volume.folder / "other", caller=Caller(1000, 1000)
    ) as other:
        with other.open_file("/f", "w") as file:
            for _ in range(2):
                file.write(b"x")
                other.setattr("/f", AttrChange(mode=0o4777))
                file.write(b"y")
                file.fsync()
                assert other.stat("/f").mode == 0o777
        other.setattr("/f", AttrChange(mode=0o4777))
        with other.open_file("/f", "w"):
            assert other.stat("/f").mode == 0o777, "its cut is a change already"


def test_an_immutable_file_is_not_written(client: VolumeClient) -> None:
    client.write("/a", b"x")
    client.setattr("/a", AttrChange(flags=Flag.APPEND_ONLY))
    with refused(errno.EPERM):
        client.open_file("/a", "r+")
    client.append("/a", b"y")
    client.setattr("/a", AttrChange(flags=Flag.IMMUTABLE))
    for mode in ("r+", "w", "a"):
        with refused(errno.EPERM):
            client.open_file("/a", mode)
    assert client.read("/a") == b"xy"
    client.setattr("/a", AttrChange(flags=0))


def test_a_refusal_is_said_as_it_is_though_the_file_is_closed_after_it(
    client: VolumeClient,
) -> None:
    client.mkdir("/d")
    client.write("/d/f", b"x" * 4096)
    client.meta.quota_set(QuotaKind.DIRECTORY, client.node("/d").ino, space_bytes_max=4096)
    with refused(errno.EDQUOT):
        client.append("/d/f", b"x")
    with refused(errno.EDQUOT), client.open_file("/d/f", "r+") as file:
        file.pwrite(4096, b"x")
        file.fsync()
    assert client.read("/d/f") == b"x" * 4096


def test_a_read_only_client_refuses_every_change(volume: TestVolume, client: VolumeClient) -> None:
    client.write("/a", b"x")
    reader = volume.open(read_only=True)
    assert reader.read("/a") == b"x"
    assert reader.open_local("/a").read_bytes() == b"x"
    for refuse in (
        lambda: reader.write("/a", b"y"),
        lambda: reader.open_file("/b", "x"),
        lambda: reader.mkdir("/d"),
        lambda: reader.remove("/a"),
        lambda: reader.rename("/a", "/b"),
        lambda: reader.setxattr("/a", "user.x", b""),
    ):
        with refused(errno.EROFS):
            refuse()
    assert reader.read("/a") == b"x"


def test_a_database_without_a_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFormatted):
        VolumeClient.open(f"sqlite3://{tmp_path}/none.db", cache_dir=tmp_path)


def test_close_stores_what_is_pending_and_may_be_repeated(volume: TestVolume) -> None:
    client = volume.open()
    client.open_file("/a", "w").write(b"never closed")
    client.close()
    client.close()
    assert volume.open().read("/a") == b"never closed"
