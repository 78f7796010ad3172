"""One suite over all engines: `meta` is an open volume, checked at the end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.testing.clock import ManualClock
from roost.volume.meta.api import Meta, format_volume, open_meta
from roost.volume.meta.opening import drop_memory_volume
from roost.volume.settings import new_settings

ENGINES = ("memory", "sqlite3", "redis", "mysql", "postgres")
SERVERS = {"redis": "redis_url", "mysql": "mysql_url", "postgres": "pg_url"}
# Where fsync costs nothing; the temporary folder of the system elsewhere.
MEMORY_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=ENGINES)
def meta_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{tmp_path}"
        drop_memory_volume(str(tmp_path))
    elif request.param in SERVERS:
        yield request.getfixturevalue(SERVERS[request.param])
    else:
        with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER) as folder:
            yield f"sqlite3://{folder}/meta.db"


@pytest.fixture
def meta(meta_url: str, clock: ManualClock) -> Iterator[Meta]:
    """A volume without trash."""
    format_volume(meta_url, new_settings("suite", bucket="/b", trash_days=0), clock=clock)
    with open_meta(meta_url, clock=clock) as opened:
        yield opened
        assert opened.check() == ()


@pytest.fixture
def trashing(meta_url: str, clock: ManualClock) -> Iterator[Meta]:
    """A volume that keeps deleted files for a day."""
    format_volume(meta_url, new_settings("suite", bucket="/b", trash_days=1), clock=clock)
    with open_meta(meta_url, clock=clock) as opened:
        yield opened
        assert opened.check() == ()
