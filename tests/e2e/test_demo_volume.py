"""The demo, and the official JuiceFS client on the volume it leaves behind."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.volume.client import VolumeClient

pytestmark = pytest.mark.interop

MOUNT_WAIT_S = 20.0


def run(*command: str, cwd: Path) -> str:
    """Run a command to its end; its standard output.  Fails the test on a bad exit code."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `roost demo --quick --data data` ran."""
    folder = tmp_path_factory.mktemp("demo")
    run(sys.executable, "-m", "roost", "demo", "--quick", "--data", "data", cwd=folder)
    return folder


def juicefs() -> str:
    """The official client; missing, it fails the test under CI and skips it elsewhere."""
    beside = Path(sys.executable).parent / "juicefs"
    found = str(beside) if beside.exists() else shutil.which("juicefs")
    if found is None or not Path("/dev/fuse").exists():
        if os.environ.get("CI"):
            pytest.fail("the official juicefs client or /dev/fuse is missing")
        pytest.skip("needs the official juicefs client and /dev/fuse")
    return found


@pytest.fixture
def mount(demo_folder: Path) -> Iterator[Path]:
    """The demo's volume, mounted by the official client."""
    program, point = juicefs(), demo_folder / "mnt"
    point.mkdir(exist_ok=True)
    log = (demo_folder / "juicefs.log").open("ab")
    meta_url = f"sqlite3://{demo_folder / 'data' / 'volume.db'}"
    options = ["--no-usage-report", "--cache-dir", str(demo_folder / "jfs-cache")]
    process = subprocess.Popen(
        [program, "mount", meta_url, str(point), *options], stdout=log, stderr=log
    )
    ends = time.monotonic() + MOUNT_WAIT_S
    while not os.path.ismount(point):
        assert process.poll() is None, (demo_folder / "juicefs.log").read_text()
        assert time.monotonic() < ends, "juicefs mount takes too long"
        time.sleep(0.1)
    yield point
    run(program, "umount", str(point), cwd=demo_folder)
    process.wait(MOUNT_WAIT_S)
    log.close()


def tree_of_folder(root: Path) -> dict[str, str]:
    """Path -> digest of every file below a folder.

    Names with a dot at the top are the client's own; to read its .accesslog never ends.
    """
    found = {}
    for top in sorted(root.iterdir()):
        if top.name.startswith("."):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path.relative_to(root))] = digest
    return found


def tree_of_volume(client: VolumeClient) -> dict[str, str]:
    """The same, read by Roost."""
    found = {}
    for folder, _, names in client.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            found[path.lstrip("/")] = hashlib.sha256(client.read(path)).hexdigest()
    return found


def test_the_demo_writes_its_figures_and_its_picture(demo_folder: Path) -> None:
    figures = json.loads((demo_folder / "demo.json").read_text())
    assert figures["rows"] == 100_000
    assert len(figures["first_search_seconds"]) == 10
    assert min(figures["first_search_recall_at_10"]) >= 0.95
    assert figures["recall_at_10"] >= 0.95
    assert figures["first_search_from_volume_seconds"] > 0
    assert figures["insert_rows_per_second"] > 0
    assert figures["search_qps"] > 0
    assert (demo_folder / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_official_client_and_roost_see_the_same_tree(demo_folder: Path, mount: Path) -> None:
    seen_by_juicefs = tree_of_folder(mount)
    meta_url = f"sqlite3://{demo_folder / 'data' / 'volume.db'}"
    client = VolumeClient.open(meta_url, read_only=True, cache_dir=demo_folder / "cache")
    seen_by_roost = tree_of_volume(client)
    client.close()
    assert len(seen_by_roost) > 5
    assert seen_by_juicefs == seen_by_roost


def test_official_fsck_finds_nothing_on_the_demos_volume(demo_folder: Path) -> None:
    meta_url = f"sqlite3://{demo_folder / 'data' / 'volume.db'}"
    run(juicefs(), "fsck", meta_url, cwd=demo_folder)
    run(sys.executable, "-m", "roost", "fsck", meta_url, cwd=demo_folder)


def test_roost_reads_and_appends_to_what_the_official_client_wrote(
    demo_folder: Path, mount: Path
) -> None:
    written = os.urandom(9_000_001)
    (mount / "notes.bin").write_bytes(written)
    meta_url = f"sqlite3://{demo_folder / 'data' / 'volume.db'}"
    client = VolumeClient.open(meta_url, cache_dir=demo_folder / "cache")
    assert client.read("/notes.bin") == written
    with client.open_file("/notes.bin", "a") as file:
        file.write(b"and more")
    client.close()
    time.sleep(1.1)  # the official client's attribute cache
    assert (mount / "notes.bin").read_bytes() == written + b"and more"
