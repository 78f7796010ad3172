"""One volume, two clients: what either writes the other reads, and juicefs finds nothing wrong."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.check import check_volume
from roost.volume.client import VolumeClient
from roost.volume.layout import block_key
from roost.volume.model import AttrChange, Kind, SliceId
from roost.volume.tools.gc import GcOptions, collect_garbage

from .conftest import Juicefs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

BLOCK = 64 << 10
CHUNK = 64 << 20
INTERNAL = {".trash", ".accesslog", ".control", ".stats", ".config"}


def tree_of_directory(root: Path) -> dict[str, str]:
    """Return a line for each path: kind, mode, links, owner, size, time, content."""
    found = {}
    for folder, folders, names in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in INTERNAL]
            names = [name for name in names if name not in INTERNAL]  # reading one would block
        for name in folders + names:
            path = Path(folder) / name
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                content = ""
            size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
            found[str(path.relative_to(root))] = (
                f"{stat.filemode(info.st_mode)} {info.st_nlink} {info.st_uid}:{info.st_gid} "
                f"{size} {info.st_mtime_ns} {info.st_ino} {content}"
            )
    return found


def tree_of_volume(client: VolumeClient) -> dict[str, str]:
    """Return the same lines through Roost."""
    found = {}
    for folder, folders, names in client.walk("/"):
        for name in folders + names:
            path = f"{folder.rstrip('/')}/{name}"
            node = client.node(path, follow=False)
            attr = node.attr
            content = ""
            if attr.kind is Kind.SYMLINK:
                content = client.readlink(path)
            elif attr.kind is Kind.FILE:
                content = hashlib.sha256(client.read(path)).hexdigest()
            size = 0 if attr.is_directory else attr.length
            found[path.lstrip("/")] = (
                f"{stat.filemode(attr.st_mode)} {attr.nlink} {attr.uid}:{attr.gid} "
                f"{size} {attr.mtime_ns} {node.ino} {content}"
            )
    return found


def fill(client: VolumeClient, local: Path) -> None:
    """Write a tree with every kind of file that the client makes."""
    client.mkdir("/d/e", parents=True)
    client.write("/empty", b"")
    client.write("/small", b"hello")
    client.write("/d/blocks", os.urandom(5 * BLOCK + 77))
    with client.open_file("/d/e/log", "x") as log:
        for n in range(30):
            log.append(b"record %d\n" % n * (n + 1))
            log.fsync()
    with client.open_file("/d/holes", "x") as holes:
        holes.pwrite(3 * BLOCK + 5, b"middle")
        holes.pwrite(100, b"x" * BLOCK)
        holes.pwrite(CHUNK - 10, b"across the border of a chunk")
        holes.truncate(CHUNK + 5)
        holes.truncate(CHUNK + 50)
    local.write_bytes(os.urandom(CHUNK + 3 * BLOCK))
    client.adopt(local, "/d/segment")
    client.link("/small", "/d/hard")
    client.symlink("e/log", "/d/link")
    client.write("/ü name", b"any name")
    client.write("/replaced", b"old")
    client.write("/moved", b"new")
    client.rename("/moved", "/replaced")
    client.write("/removed", b"x" * BLOCK)
    client.remove("/removed")
    client.setattr("/small", AttrChange(mode=0o4750, uid=1000, gid=1001))
    client.setxattr("/small", "user.note", b"\0any")


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_the_official_mount_sees_the_tree_that_roost_wrote(
    tmp_path: Path, juicefs: Juicefs, compression: str
) -> None:
    volume = make_test_volume(tmp_path / "volume", compression=compression, trash_days=1)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        fill(client, tmp_path / "local")
        ours = tree_of_volume(client)
    with juicefs.mounted(volume.meta_url, "--read-only") as point:
        theirs = tree_of_directory(point)
        assert os.getxattr(point / "small", "user.note") == b"\0any"
    assert theirs == ours
    printed = juicefs.run("fsck", volume.meta_url)
    assert "ERROR" not in printed, printed
    assert "missing" not in printed, printed
    volume.finish()


def test_files_of_the_official_mount_are_read_and_appended_by_roost(
    tmp_path: Path, juicefs: Juicefs
) -> None:
    volume = make_test_volume(tmp_path / "volume", trash_days=1)
    data = os.urandom(3 * BLOCK + 1000)
    with juicefs.mounted(volume.meta_url) as point:
        (point / "dir").mkdir()
        (point / "dir/written").write_bytes(data)
        with (point / "appended").open("wb") as file:
            for n in range(10):
                file.write(b"%d " % n * 1000)
                file.flush()
                os.fsync(file.fileno())
        (point / "truncated").write_bytes(data)
        os.truncate(point / "truncated", BLOCK + 10)
        os.truncate(point / "truncated", 2 * BLOCK)
        with (point / "sparse").open("wb") as file:
            file.seek(CHUNK + 100)
            file.write(b"end")
        os.link(point / "dir/written", point / "hard")
        os.symlink("dir/written", point / "link")
        (point / "replaced").write_bytes(b"old")
        (point / "new").write_bytes(b"new")
        os.rename(point / "new", point / "replaced")
        (point / "removed").write_bytes(b"x")
        (point / "removed").unlink()
        os.setxattr(point / "appended", "user.note", b"theirs")
        theirs = tree_of_directory(point)

    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        assert tree_of_volume(client) == theirs
        assert client.getxattr("/appended", "user.note") == b"theirs"
        assert client.open_local("/dir/written").read_bytes() == data
        client.append("/appended", b"by roost")
        client.append("/truncated", data)
        client.write("/dir/ours", b"ours")
        client.truncate("/sparse", CHUNK + 102)
        ours = tree_of_volume(client)
        wanted = client.read("/appended")
        assert wanted.endswith(b"by roost")

    with juicefs.mounted(volume.meta_url) as point:
        assert tree_of_directory(point) == ours
        with (point / "appended").open("ab") as file:
            file.write(b" and by juicefs")
        (point / "dir/ours").unlink()
    with VolumeClient.open(volume.meta_url, read_only=True, cache_dir=tmp_path / "cache") as client:
        assert client.read("/appended") == wanted + b" and by juicefs"
        assert client.listdir("/dir") == ["written"]
    assert "ERROR" not in juicefs.run("fsck", volume.meta_url)
    volume.finish()


def test_both_write_to_one_mounted_volume_at_the_same_time(
    tmp_path: Path, juicefs: Juicefs
) -> None:
    volume = make_test_volume(tmp_path / "volume", trash_days=0)
    with juicefs.mounted(volume.meta_url) as point:
        with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
            wanted = b""
            for n in range(12):
                ours, theirs = b"roost %d\n" % n, b"juicefs %d\n" % n
                client.append("/shared", ours)
                with (point / "shared").open("ab") as file:
                    file.write(theirs)
                wanted += ours + theirs
                client.write(f"/roost-{n}", ours)
                (point / f"juicefs-{n}").write_bytes(theirs)
                assert client.read(f"/juicefs-{n}") == theirs
                assert (point / f"roost-{n}").read_bytes() == ours
            assert client.read("/shared") == wanted
            assert (point / "shared").read_bytes() == wanted
            for n in range(6):
                client.remove(f"/juicefs-{n}")
                (point / f"roost-{n}").unlink()
            names = client.listdir("/")
        assert sorted(set(os.listdir(point)) - INTERNAL) == names
        assert tree_of_directory(point).keys() == set(names)
    assert "ERROR" not in juicefs.run("fsck", volume.meta_url)
    volume.finish()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--compress", "lz4", "--block-size", "256"],
        ["--compress", "zstd", "--hash-prefix", "--trash-days", "0"],
        ["--shards", "3"],
    ],
    ids=["plain", "lz4", "zstd-hash-prefix", "shards"],
)
def test_a_volume_that_juicefs_formatted_is_opened_by_roost(
    tmp_path: Path, juicefs: Juicefs, options: list[str]
) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    bucket = f"{tmp_path}/objects{'%d' if '--shards' in options else ''}/"
    juicefs.run(
        "format",
        "--storage",
        "file",
        "--bucket",
        bucket,
        *options,
        url,
        "official",
    )
    data = os.urandom(700_000)
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.write("/ours", data)
    with juicefs.mounted(url) as point:
        assert (point / "ours").read_bytes() == data
        (point / "theirs").write_bytes(data[::-1])
    with VolumeClient.open(url, read_only=True, cache_dir=tmp_path / "cache") as client:
        assert client.read("/theirs") == data[::-1]
        report = check_volume(client, read_blocks=True)
        assert report.is_clean, report
    assert "ERROR" not in juicefs.run("fsck", url)


def test_juicefs_info_status_and_gc_accept_the_volume(tmp_path: Path, juicefs: Juicefs) -> None:
    volume: TestVolume = make_test_volume(tmp_path / "volume", trash_days=0)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        fill(client, tmp_path / "local")
        before = tree_of_volume(client)
        status = juicefs.run("status", volume.meta_url)
        assert '"Name": "test-volume"' in status
    juicefs.run("gc", "--compact", "--delete", volume.meta_url)
    with VolumeClient.open(volume.meta_url, read_only=True, cache_dir=tmp_path / "cache") as client:
        after = tree_of_volume(client)
    assert after == before, "a compaction by juicefs changes no byte"
    volume.finish()


def test_both_find_a_leaked_object_of_any_age(tmp_path: Path, juicefs: Juicefs) -> None:
    volume = make_test_volume(tmp_path / "volume", trash_days=0)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", os.urandom(BLOCK + 5))
    juicefs.demand_no_leak(volume.meta_url)
    seeded = [
        block_key(SliceId(999_999), 0, 7),  # of no slice
        block_key(SliceId(1), 9, BLOCK),  # behind its slice
    ]
    for key in seeded:
        volume.store.put(key, b"x" * 7)
    found = juicefs.gc(volume.meta_url)
    assert (found.scanned, found.valid, found.leaked, found.skipped) == (4, 2, 2, 0)
    with VolumeClient.open(volume.meta_url, read_only=True, cache_dir=tmp_path / "cache") as client:
        assert sorted(check_volume(client, leak_age_s=0).leaked) == sorted(seeded)
        assert check_volume(client).leaked == ()
        garbage = collect_garbage(client, GcOptions(leak_age_s=0))
        assert (sorted(garbage.leaked_keys), garbage.young.count) == (sorted(seeded), 0)
    juicefs.gc(volume.meta_url, "--delete")
    juicefs.demand_no_leak(volume.meta_url)
    volume.finish()


def test_a_file_compacted_while_roost_has_it_open_is_read_on(
    tmp_path: Path, juicefs: Juicefs
) -> None:
    volume = make_test_volume(tmp_path / "volume", trash_days=0)
    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        with client.open_file("/log", "x") as log:
            for n in range(60):
                log.append(b"%04d" % n * 5000)
                log.fsync()
        wanted = client.read("/log")
        with client.open_file("/log") as file:
            assert file.pread(0, 4) == b"0000"
            juicefs.run("gc", "--compact", "--delete", volume.meta_url)
            client.core.cache.forget()
            assert file.pread(0) == wanted
    volume.finish()
