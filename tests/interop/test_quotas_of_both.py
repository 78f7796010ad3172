"""Limits that either side sets count what both write, and both refuse beyond them."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.testing.interop_machine import GROUP, USER
from roost.testing.side_of_user import UserProcess, UserSide
from roost.testing.sides import PosixSide
from roost.volume.client import VolumeClient
from roost.volume.model import AttrChange, Caller, Quota, QuotaKind

from .conftest import Juicefs, hear_of_quotas, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

BLOCK = 64 << 10
INODES_MAX = 5
SPACE_MAX = 512 << 10
HEARD_S = 20.0  # a heartbeat and a flush of the mount, with much to spare


@dataclass
class Sides:
    """A volume, open here for root and for USER and mounted by the official client."""

    client: VolumeClient
    user_client: VolumeClient
    mount: Path
    user: UserProcess
    juicefs: Juicefs
    meta_url: str

    def set_quota(self, folder: str, *, official: bool, inodes: int = 0, space: int = 0) -> None:
        """Limit a folder's tree."""
        if official:
            options = ["--inodes", str(inodes)] if inodes else ["--capacity", f"{space >> 10}K"]
            self.juicefs.run("quota", "set", self.meta_url, "--path", folder, *options)
        else:
            ino = self.client.node(folder).ino
            self.client.meta.quota_set(
                QuotaKind.DIRECTORY,
                ino,
                inodes_max=inodes or None,
                space_bytes_max=space or None,
            )

    def quota(self, kind: QuotaKind, key: int | str) -> Quota:
        """Return a quota as stored; the key of a directory is its path."""
        number = self.client.node(key).ino if isinstance(key, str) else key
        found = self.client.meta.quota_get(kind, number)
        assert found is not None
        return found


@pytest.fixture(params=["sqlite", "redis", "mariadb", "postgres"])
def meta_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty place for metadata."""
    if request.param == "sqlite":
        return f"sqlite3://{tmp_path}/meta.db"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def sides(meta_url: str, tmp_path: Path, juicefs: Juicefs, stack: ExitStack) -> Sides:
    """A volume without a trash; USER's quota is the official client's, USER's group's is ours."""
    juicefs.run(
        "format", "--storage", "file", "--bucket", f"{tmp_path}/objects/", "--block-size", "64K",
        "--trash-days", "0", meta_url, "limited",
    )  # fmt: skip
    limit = str(INODES_MAX)
    juicefs.run("quota", "set", meta_url, "--uid", str(USER), "--inodes", limit)
    client = stack.enter_context(VolumeClient.open(meta_url, cache_dir=tmp_path / "cache"))
    client.meta.quota_set(QuotaKind.GROUP, GROUP, inodes_max=INODES_MAX)
    mount = stack.enter_context(juicefs.mounted(meta_url, "--heartbeat", "1"))
    user_client = stack.enter_context(
        VolumeClient.open(
            meta_url, cache_dir=tmp_path / "cache of user", caller=Caller(USER, GROUP)
        )
    )
    user = stack.enter_context(UserProcess(USER, GROUP, []))
    return Sides(client, user_client, mount, user, juicefs, meta_url)


def is_refused(do: Callable[[], object]) -> bool:
    """Return whether a quota refuses."""
    try:
        do()
    except OSError as error:
        if error.errno != errno.EDQUOT:
            raise
        return True
    return False


def both_find_it_right(sides: Sides, *options: str) -> None:
    """Let both count what a quota is about."""
    sides.juicefs.run("quota", "check", sides.meta_url, *options)
    for kind in QuotaKind:
        checks = sides.client.meta.quota_check(kind, strict=True)
        assert [one for one in checks if not one.is_consistent] == []


def test_a_limit_of_inodes_counts_what_both_write_and_both_refuse(sides: Sides) -> None:
    for name in ("ours", "theirs"):
        sides.client.mkdir(f"/{name}")
        sides.client.write(f"/{name}/before", b"x")
        sides.set_quota(f"/{name}", official=name == "theirs", inodes=INODES_MAX)
    hear_of_quotas(sides.client)
    for name in ("ours", "theirs"):
        point = sides.mount / name
        wait_for(lambda p=point: os.statvfs(p).f_files == INODES_MAX, HEARD_S)  # type: ignore[misc]
        sides.client.write(f"/{name}/a", b"x")
        (point / "b").write_bytes(b"x")
        (point / "below").mkdir()
        os.symlink("nowhere", point / "below/link")
        wait_for(lambda p=point: os.statvfs(p).f_ffree == 0, HEARD_S)  # type: ignore[misc]
        key = f"/{name}"
        wait_for(
            lambda k=key: sides.quota(QuotaKind.DIRECTORY, k).used_inodes == INODES_MAX,  # type: ignore[misc]
            HEARD_S,
        )
        for refused in (
            lambda key=key: sides.client.write(f"{key}/more", b"x"),
            lambda key=key: sides.client.mkdir(f"{key}/below/more"),
            lambda key=key: sides.client.link(f"{key}/a", f"{key}/more"),
            lambda point=point: (point / "more").touch(),
            lambda point=point: (point / "below/more").mkdir(),
            lambda point=point: os.link(point / "a", point / "more"),
        ):
            assert is_refused(refused)
        sides.client.remove(f"/{name}/a")  # makes room for the mount, and the other way round
        wait_for(lambda p=point: os.statvfs(p).f_ffree == 1, HEARD_S)  # type: ignore[misc]
        (point / "again").touch()
        (point / "b").unlink()
        wait_for(
            lambda k=key: sides.quota(QuotaKind.DIRECTORY, k).used_inodes == INODES_MAX - 1,  # type: ignore[misc]
            HEARD_S,
        )
        sides.client.write(f"/{name}/b", b"x")
        assert is_refused(lambda key=key: sides.client.write(f"{key}/more", b"x"))  # type: ignore[misc]
        both_find_it_right(sides, "--path", key, "--strict")
    sides.juicefs.run("quota", "delete", sides.meta_url, "--path", "/ours")
    assert sides.client.meta.quota_get(QuotaKind.DIRECTORY, sides.client.node("/ours").ino) is None
    hear_of_quotas(sides.client)
    sides.client.write("/ours/more", b"x")


def test_a_limit_of_space_counts_what_both_write_and_both_refuse(sides: Sides) -> None:
    for name in ("ours", "theirs"):
        sides.client.mkdir(f"/{name}")
        sides.set_quota(f"/{name}", official=name == "theirs", space=SPACE_MAX)
    hear_of_quotas(sides.client)
    for name in ("ours", "theirs"):
        point, key = sides.mount / name, f"/{name}"
        wait_for(lambda p=point: _space(p)[0] == SPACE_MAX, HEARD_S)  # type: ignore[misc]
        sides.client.write(f"{key}/a", b"a" * 3 * BLOCK)
        (point / "b").write_bytes(b"b" * 5 * BLOCK)
        wait_for(lambda p=point: _space(p)[1] == 0, HEARD_S)  # type: ignore[misc]
        wait_for(
            lambda k=key: sides.quota(QuotaKind.DIRECTORY, k).used_space_bytes == SPACE_MAX,  # type: ignore[misc]
            HEARD_S,
        )
        for refused in (
            lambda key=key: sides.client.append(f"{key}/b", b"x"),
            lambda key=key: sides.client.truncate(f"{key}/b", 6 * BLOCK),
            lambda point=point: PosixSide(point).append("a", b"x"),
            lambda point=point: os.truncate(point / "a", 4 * BLOCK),
        ):
            assert is_refused(refused)
        # Not through the mount: its kernel keeps the size of the refused append for a second.
        assert sides.client.read(f"{key}/a") == b"a" * 3 * BLOCK
        assert sides.client.read(f"{key}/b") == b"b" * 5 * BLOCK
        both_find_it_right(sides, "--path", key, "--strict")


def _space(point: Path) -> tuple[int, int]:
    found = os.statvfs(point)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def test_a_limit_of_a_user_counts_what_both_write_and_both_refuse(sides: Sides) -> None:
    sides.client.mkdir("/open", 0o777)
    sides.client.setattr("/open", AttrChange(mode=0o777))
    theirs = UserSide(sides.user, sides.mount / "open")
    sides.user_client.write("/open/a", b"x")
    sides.user_client.write("/open/b", b"x")
    theirs.write("c", 0, b"x")
    theirs.mkdir("d", 0o755)
    theirs.write("d/e", 0, b"x")
    for kind, key in ((QuotaKind.USER, USER), (QuotaKind.GROUP, GROUP)):
        wait_for(
            lambda kind=kind, key=key: sides.quota(kind, key).used_inodes == INODES_MAX,  # type: ignore[misc]
            HEARD_S,
        )
    hear_of_quotas(sides.user_client)
    assert is_refused(lambda: sides.user_client.write("/open/more", b"x"))
    wait_for(lambda: is_refused(lambda: _touched(theirs)), HEARD_S)
    sides.client.write("/open/of root", b"x")
    (sides.mount / "open/of root too").touch()
    wait_for(lambda: sides.quota(QuotaKind.USER, 0).used_inodes == 3, HEARD_S)  # its flush
    both_find_it_right(sides, "--uid", str(USER))
    both_find_it_right(sides, "--gid", str(GROUP))


def _touched(side: UserSide) -> None:
    side.append("more", b"x")
    side.unlink("more")
