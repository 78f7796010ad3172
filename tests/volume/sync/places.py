"""Sides of a sync for tests, filled from and read back as plain dictionaries."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from roost.blob.memory import MemoryStore
from roost.testing.volumes import make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.engines.memory_opening import drop_memory_volume
from roost.volume.sync.bucket import Bucket
from roost.volume.sync.endpoint import Endpoint
from roost.volume.sync.items import Item, Kind, order
from roost.volume.sync.local_tree import LocalTree
from roost.volume.sync.options import Options, Selection
from roost.volume.sync.runner import Job, Sync
from roost.volume.sync.steps import Step
from roost.volume.sync.tally import Counts, Tally
from roost.volume.sync.volume_tree import VolumeTree

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class File:
    """Content, time in seconds, mode."""

    data: bytes = b""
    time: int = 1
    mode: int = 0o644


Tree = dict[str, File]  # a folder's key ends in "/"

NAMES = st.sampled_from(["a", "a-", "a.b", "b", "é", "\udc80", "-x"])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A few files and folders whose names collide between runs."""
    tree: Tree = {}
    for _ in range(draw(st.integers(0, 6))):
        parts = draw(st.lists(NAMES, min_size=1, max_size=3))
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        key = "/".join(parts)
        if any(folder in tree for folder in above) or key in tree or f"{key}/" in tree:
            continue
        for folder in above:
            tree.setdefault(f"{folder}/", File(time=draw(st.integers(1, 3)), mode=0o755))
        if draw(st.integers(0, 4)) == 0:
            tree[f"{key}/"] = File(time=draw(st.integers(1, 3)), mode=0o755)
        else:
            data = draw(st.sampled_from([b"", b"1", b"2", b"xx"]))
            mode = draw(st.sampled_from([0o644, 0o600]))
            tree[key] = File(data, draw(st.integers(1, 3)), mode)
    return tree


def fill(endpoint: Endpoint, tree: Tree) -> None:
    """Make what the tree says; times of folders last."""
    for key, file in tree.items():
        item = Item(
            key,
            Kind.FOLDER if key.endswith("/") else Kind.FILE,
            len(file.data),
            file.time * SECOND_NS,
            file.mode,
        )
        if item.is_folder:
            endpoint.make_folder(key)
        else:
            endpoint.write(item, iter([file.data]), "")
            endpoint.set_mode(item)
    for key in sorted(tree, key=order, reverse=True):
        if key.endswith("/"):
            endpoint.set_time(key, tree[key].time * SECOND_NS)


def read_back(endpoint: Endpoint) -> Tree:
    """Return everything that is there."""
    tree: Tree = {}
    for item in endpoint.list("", "", follow=False):
        data = b""
        if item.kind is Kind.FILE:
            with endpoint.open(item.key) as reader:
                data = reader.read(0, item.size_bytes + 1)
        tree[item.key] = File(data, item.mtime_ns // SECOND_NS, item.mode or 0)
    return tree


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.plans: list[Step] = []

    def planned(self, step: Step) -> None:
        self.plans.append(step)

    def failed(self, key: str, error: Exception) -> None:
        self.errors[key] = error

    def moved(self, tally: Tally) -> None:
        pass


def quick_folder() -> Path:
    """Return a temporary folder, in memory if it can be: examples sync many small files."""
    shared_memory = "/dev/shm"
    return Path(tempfile.mkdtemp(dir=shared_memory if os.path.isdir(shared_memory) else None))


def run(job: Job, watcher: Quiet | None = None) -> Counts:
    return Sync(job, watcher or Quiet()).run()


def local(folder: Path) -> LocalTree:
    folder.mkdir(parents=True)
    return LocalTree(folder)


def bucket(_folder: Path) -> Bucket:
    return Bucket(MemoryStore())


_MEMORY_NAME = "sync-places"


def volume(folder: Path) -> VolumeTree:
    """A folder of a volume whose metadata is in memory."""
    url = f"memory://{_MEMORY_NAME}"
    drop_memory_volume(_MEMORY_NAME)
    made = make_test_volume(folder, meta_url=url)
    client = VolumeClient.open(url, cache_dir=folder / "cache")
    assert client.settings.name == made.settings.name
    tree = VolumeTree(client, "/root")
    client.mkdir("/root")
    return tree


def tree_of(folder: Path) -> dict[str, bytes | str | None]:
    """Return a directory's files, links and folders without going through our code."""
    found: dict[str, bytes | str | None] = {}
    for above, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(above, name)
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = os.readlink(path)
            else:
                found[key] = path.read_bytes() if path.is_file() else None
    return found


def make(folder: Path, *names: str, size: int = 1, seconds: int = 1000) -> Path:
    """Make files of x in the folder; a name that ends in "/" is a folder's."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(b"x" * size)
            os.utime(path, ns=(seconds * SECOND_NS, seconds * SECOND_NS))
    folder.mkdir(exist_ok=True)
    return folder


def sync(
    source: Path,
    target: Path,
    options: Options | None = None,
    selection: Selection | None = None,
    lines: list[str] | None = None,
    watcher: Quiet | None = None,
) -> Counts:
    """Sync two directories."""
    work = Job(
        LocalTree(source),
        LocalTree(target),
        selection or Selection(),
        options or Options(),
        None if lines is None else lambda: lines,
    )
    return run(work, watcher)


def names(folder: Path) -> str:
    """Return all that is in a directory, in one line."""
    return " ".join(sorted(tree_of(folder)))
