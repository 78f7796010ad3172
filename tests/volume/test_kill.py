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
