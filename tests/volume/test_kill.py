"""kill -9 of a writing process: what was synced is there, and the volume is sound."""

import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from roost.testing.in_flight import may_hold, may_hold_replaced
from roost.testing.volumes import make_test_volume
from roost.volume.client import VolumeClient

_WRITER = """
import sys
from pathlib import Path
from roost.volume.client import VolumeClient

client = VolumeClient.open(sys.argv[1], cache_dir=Path(sys.argv[2]))
with client.open_file("/log", "a") as log:
    n = log.stat().length // 1000
    while True:
        log.append(b"%09d\\n" % n * 100)
        log.fsync()
        n += 1
        print(n, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_what_was_synced_survives_the_kill_of_the_writer(tmp_path: Path, seed: int) -> None:
    volume = make_test_volume(tmp_path / "volume")
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, volume.meta_url, str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.15))
    writer.kill()
    synced = int((first + writer.stdout.read()).split()[-1])
    writer.wait()
    writer.stdout.close()

    with VolumeClient.open(volume.meta_url, cache_dir=tmp_path / "cache") as client:
        data = client.read("/log")
        records = len(data) // 1000
        assert synced <= records <= synced + 1, "at most the one whose answer was lost"
        assert data == b"".join(b"%09d\n" % n * 100 for n in range(records))
        client.append("/log", b"and goes on")
        assert client.read("/log") == data + b"and goes on"
    volume.finish()


_WRITER_OF_ALL = """
import random
import sys
from pathlib import Path
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings

url, cache, write_back, seed = sys.argv[1:]
data = DataSettings(writeback=write_back == "yes", compact=True)
client = VolumeClient.open(url, cache_dir=Path(cache), data=data)
rng = random.Random(int(seed))
number = 0
while True:
    number += 1
    path = f"/{rng.randrange(6)}"
    size, byte = rng.randrange(1, 200_000), number % 255 + 1
    kind = rng.choice(["write", "append", "pwrite", "remove"])
    if kind in ("pwrite", "remove") and not client.exists(path):
        kind = "write"
    print("begins", kind, path, size, byte, flush=True)
    if kind == "remove":
        client.remove(path)
    elif kind == "append":
        client.append(path, bytes([byte]) * size)
    elif kind == "pwrite":
        with client.open_file(path, "r+") as file:
            file.pwrite(size // 2, bytes([byte]) * size)
    else:
        client.write(path, bytes([byte]) * size)
    print("done", kind, path, size, byte, flush=True)
"""


def _changed(old: bytes | None, kind: str, size: int, byte: int) -> bytes | None:
    """Return what a change leaves of a file; None is no file."""
    data, start = bytes([byte]) * size, size // 2
    if kind == "remove":
        return None
    if kind == "append":
        return (old or b"") + data
    if kind == "pwrite":
        before = old or b""
        return before[:start].ljust(start, b"\0") + data + before[start + size :]
    return data


def _killed_while_writing(meta_url: str, cache: Path, write_back: str, seed: int) -> list[str]:
    """Return the whole lines that a writer printed until it was killed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER_OF_ALL, meta_url, str(cache), write_back, str(seed)],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.6))
    writer.kill()
    printed = (first + writer.stdout.read()).decode()
    writer.wait()
    writer.stdout.close()
    return printed.split("\n")[:-1]


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 40)]


@pytest.mark.parametrize("write_back", ["no", "yes"])
@pytest.mark.parametrize("engine", ["sqlite", "redis"])
@pytest.mark.parametrize("seed", [1, 2, *LONG])
def test_what_was_acknowledged_survives_the_kill_of_any_writer(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str, write_back: str, seed: int
) -> None:
    """Only the file of the change under way may differ, as that change makes it differ."""
    url = request.getfixturevalue("redis_url") if engine == "redis" else ""
    volume = make_test_volume(tmp_path / "volume", meta_url=url)
    lines = _killed_while_writing(volume.meta_url, volume.folder / "cache", write_back, seed)
    model: dict[str, bytes] = {}
    under_way, allowed = "", (lambda _found: False)
    for line in lines:
        word, kind, path, size, byte = line.split()
        old = model.get(path)
        new = _changed(old, kind, int(size), int(byte))
        if word == "begins":
            may = may_hold_replaced if kind == "write" else may_hold
            under_way, allowed = path, partial(may, old=old, new=new)
        else:
            model.pop(path, None)
            if new is not None:
                model[path] = new
            under_way = ""
    client = volume.open()  # replays what write-back has left
    for path in {*model, *(f"/{name}" for name in client.listdir())}:
        found = client.read(path) if client.exists(path) else None
        if path == under_way:
            assert allowed(found), f"{path} is neither before nor after {lines[-1]}"
        else:
            assert found == model.get(path), f"{path} differs after {len(lines)} lines"
    volume.finish()
