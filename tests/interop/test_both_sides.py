"""One volume driven from both sides at once, on every engine; then both find it sound."""

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from roost.testing.interop_machine import GROUP, USER, InteropMachine
from roost.testing.side_of_user import UserProcess
from roost.volume.check import check_volume
from roost.volume.client import VolumeClient
from roost.volume.model import Caller, QuotaKind
from roost.volume.tools.gc import GcOptions, collect_garbage

from .conftest import Juicefs, hear_of_quotas, wait_for

STEPS = 50
TOPS_AT_ONCE = 8
TOP_INODES_MAX = 100_000  # never reached: this quota counts
LONG_STEPS_MIN = int(os.environ.get("ROOST_LONG_STEPS", "5000"))
ENGINES = ["sqlite", "redis", "mariadb", "postgres"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@dataclass
class MountedVolume:
    """A volume that this process has open and the official client has mounted."""

    client: VolumeClient
    user_client: VolumeClient
    mount: Path
    user: UserProcess
    juicefs: Juicefs
    meta_url: str
    tops: list[str] = field(default_factory=list)  # all made so far
    _unused: list[str] = field(default_factory=list)

    def new_top(self) -> str:
        """As in BothSides; several are made at once, since the mount hears of quotas late."""
        if not self._unused:
            self._make_tops()
        return self._unused.pop(0)

    def _make_tops(self) -> None:
        for number in range(TOPS_AT_ONCE):
            top = f"e{len(self.tops)}"
            self.tops.append(top)
            self._unused.append(top)
            if number % 2:
                (self.mount / top).mkdir(0o755)
                limits = ("--inodes", str(TOP_INODES_MAX), "--capacity", "1")
                self.juicefs.run("quota", "set", self.meta_url, "--path", f"/{top}", *limits)
            else:
                self.client.mkdir(f"/{top}", 0o755)
                self.client.meta.quota_set(
                    QuotaKind.DIRECTORY,
                    self.client.node(f"/{top}").ino,
                    inodes_max=TOP_INODES_MAX,
                    space_bytes_max=1 << 30,
                )
        hear_of_quotas(self.client, self.user_client)
        for top in self._unused:
            wait_for(lambda top=top: os.statvfs(self.mount / top).f_files == TOP_INODES_MAX)  # type: ignore[misc]

    def official_clone(self, path: Path, new_path: Path) -> None:
        """As in BothSides."""
        self.juicefs.run("clone", str(path), str(new_path))


@pytest.fixture(params=ENGINES)
def meta_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty place for metadata."""
    if request.param == "sqlite":
        return f"sqlite3://{tmp_path}/meta.db"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def both_sides(meta_url: str, tmp_path: Path, juicefs: Juicefs, stack: ExitStack) -> MountedVolume:
    """A volume with ACLs and a trash, made by the official client, open on both sides."""
    bucket = tmp_path / "objects"
    juicefs.run(
        "format", "--storage", "file", "--bucket", f"{bucket}/", "--block-size", "64K",
        "--enable-acl", "--trash-days", "1", meta_url, "both",
    )  # fmt: skip
    no_caches = [
        option
        for name in ("attr-cache", "entry-cache", "dir-entry-cache", "open-cache")
        for option in (f"--{name}", "0")
    ]
    mount = stack.enter_context(juicefs.mounted(meta_url, *no_caches, "--heartbeat", "2"))
    client = stack.enter_context(VolumeClient.open(meta_url, cache_dir=tmp_path / "cache"))
    caller = Caller(USER, USER, frozenset([GROUP]))
    user_client = stack.enter_context(
        VolumeClient.open(meta_url, cache_dir=tmp_path / "cache of user", caller=caller)
    )
    user = stack.enter_context(UserProcess(USER, USER, [GROUP]))
    return MountedVolume(client, user_client, mount, user, juicefs, meta_url)


def run_machine(volume: MountedVolume, work: Path, examples: int) -> int:
    """Run the machine; return how many steps were compared."""
    folder = work / "plain"
    folder.mkdir()
    machine = type("Machine", (InteropMachine,), {"volume": volume, "work": folder})
    InteropMachine.steps = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # a step takes a tenth of a second: too slow to shrink
            suppress_health_check=list(HealthCheck),
        ),
    )
    return InteropMachine.steps


def both_find_it_sound(
    volume: MountedVolume, meta_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    """End both clients, then ask each for what is missing, broken or left over."""
    assert trash_of_mount(volume.mount) == trash_of_client(volume.client)
    stack.close()
    for top in volume.tops:
        volume.juicefs.run("quota", "check", meta_url, "--path", f"/{top}", "--strict")
    checked = volume.juicefs.run("fsck", meta_url)
    assert not re.search(r"\b(ERROR|lost|broken)\b", checked), checked
    volume.juicefs.demand_no_leak(meta_url)
    with VolumeClient.open(meta_url, read_only=True, cache_dir=tmp_path / "again") as client:
        report = check_volume(client, read_blocks=True, leak_age_s=0)
        assert report.is_clean, report
        assert (report.leaked, report.strange) == ((), ()), report
        garbage = collect_garbage(client, GcOptions(leak_age_s=0))
        assert (garbage.leaked.count, garbage.young.count, garbage.lost_chunks) == (0, 0, 0)
        assert garbage.valid.count > 0
        quotas = client.meta.quota_check(QuotaKind.DIRECTORY, strict=True)
        assert [one for one in quotas if not one.is_consistent] == []
        assert len(quotas) == len(volume.tops)


def trash_of_mount(mount: Path) -> dict[str, int]:
    """Return what lies in the trash: name in it → inode."""
    found = {}
    for folder in os.scandir(mount / ".trash"):
        for entry in os.scandir(folder.path):
            found[f"{folder.name}/{entry.name}"] = entry.inode()
    return found


def trash_of_client(client: VolumeClient) -> dict[str, int]:
    """Return the same as the client sees it."""
    return {
        f"{folder}/{entry.name.decode()}": entry.ino
        for folder in client.listdir("/.trash")
        for entry in client.readdir(f"/.trash/{folder}")
    }


def test_both_clients_agree_on_every_step(
    both_sides: MountedVolume, meta_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    assert run_machine(both_sides, tmp_path, examples=8) > 50
    both_find_it_sound(both_sides, meta_url, stack, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_both_clients_agree_on_every_step_for_long(
    both_sides: MountedVolume, meta_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    steps = 0
    for number in range(20):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        steps += run_machine(both_sides, folder, examples=40)
        if steps >= LONG_STEPS_MIN:
            break
    assert steps >= LONG_STEPS_MIN
    both_find_it_sound(both_sides, meta_url, stack, tmp_path)
