"""kill -9 of a writing process: what was synced is there, and the volume is sound."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    if kind == "remove" and client.exists(path):
        client.remove(path)
    elif kind == "append":
        client.append(path, bytes([byte]) * size)
    elif kind == "pwrite" and client.exists(path):
        with client.open_file(path, "r+") as file:
            file.pwrite(size // 2, bytes([byte]) * size)
    else:
        kind = "write"
        client.write(path, bytes([byte]) * size)
    print(kind, path, size, byte, flush=True)
"""


def _apply(model: dict[str, bytes], kind: str, path: str, size: int, byte: int) -> None:
    data, old = bytes([byte]) * size, model.get(path, b"")
    if kind == "remove":
        model.pop(path, None)
    elif kind == "append":
        model[path] = old + data
    elif kind == "pwrite":
        start = size // 2
        model[path] = old[:start].ljust(start, b"\0") + data + old[start + size :]
    else:
        model[path] = data


@pytest.mark.parametrize("write_back", ["no", "yes"])
@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 40))]
)
def test_what_was_acknowledged_survives_the_kill_of_any_writer(
    tmp_path: Path, write_back: str, seed: int
) -> None:
    """Files are compared but for the one that the killed operation was about."""
    volume = make_test_volume(tmp_path / "volume")
    cache = volume.folder / "cache"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER_OF_ALL, volume.meta_url, str(cache), write_back, str(seed)],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    first = writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.6))
    writer.kill()
    lines = (first + writer.stdout.read()).decode().splitlines()
    writer.wait()
    writer.stdout.close()

    model: dict[str, bytes] = {}
    for line in lines:
        kind, path, size, byte = line.split()
        _apply(model, kind, path, int(size), int(byte))
    client = volume.open()  # replays what write-back has left
    differing = [
        path
        for path in {*model, *(f"/{name}" for name in client.listdir())}
        if not client.exists(path) or client.read(path) != model.get(path)
    ]
    assert len(differing) <= 1, f"{differing} differ after {len(lines)} operations"
    for path in client.listdir():
        client.read(f"/{path}")  # also what was not acknowledged reads without damage
    volume.finish()
