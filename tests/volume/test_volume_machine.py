"""The client against a plain directory, on the engines that are there."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from roost.blob.memory import MemoryStore
from roost.sizes import MIB
from roost.testing.volume_shapes import ShapeMachine
from roost.testing.volumes import BLOCK_KIB, make_test_volume
from roost.volume.client import VolumeClient
from roost.volume.data.settings import DataSettings
from roost.volume.meta.api import format_volume, open_meta
from roost.volume.settings import new_settings

_STORES: dict[Path, MemoryStore] = {}
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def open_in_memory(folder: Path, read_only: bool) -> VolumeClient:
    """Metadata and objects in memory: fast, so that many examples are tried."""
    url = f"memory://{hashlib.sha256(str(folder).encode()).hexdigest()[:20]}"
    if folder not in _STORES:
        _STORES.clear()
        _STORES[folder] = MemoryStore()
        new = new_settings("machine", bucket="/nowhere/", block_kib=BLOCK_KIB, trash_days=0)
        format_volume(url, new)
    meta = open_meta(url, read_only=read_only)
    return VolumeClient(meta, _STORES[folder], cache_dir=folder / "cache")


def open_on_disk(folder: Path, read_only: bool) -> VolumeClient:
    """SQLite, lz4, and a directory of objects."""
    url = f"sqlite3://{folder}/volume/meta.db"
    if not (folder / "volume").exists():
        make_test_volume(folder / "volume", compression="lz4")
    return VolumeClient.open(url, read_only=read_only, cache_dir=folder / "cache")


def open_with_write_back(folder: Path, read_only: bool) -> VolumeClient:
    """As on disk; blocks are staged, and cached in two more folders."""
    url = f"sqlite3://{folder}/volume/meta.db"
    if not (folder / "volume").exists():
        make_test_volume(folder / "volume")
    caches = (folder / "cache1", folder / "cache2")
    data = DataSettings(
        writeback=True, cache_dirs=caches, cache_large_write=True, cache_size_bytes=MIB
    )
    return VolumeClient.open(url, read_only=read_only, cache_dir=folder / "cache", data=data)


class MemoryMachine(ShapeMachine):
    open_client = staticmethod(open_in_memory)


class DiskMachine(ShapeMachine):
    open_client = staticmethod(open_on_disk)


class WriteBackMachine(ShapeMachine):
    open_client = staticmethod(open_with_write_back)


class TestMemory(MemoryMachine.TestCase):
    settings = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=_QUIET
    )


class TestDisk(DiskMachine.TestCase):
    settings = settings(
        max_examples=5, stateful_step_count=30, deadline=None, suppress_health_check=_QUIET
    )


class TestWriteBack(WriteBackMachine.TestCase):
    settings = settings(
        max_examples=5, stateful_step_count=30, deadline=None, suppress_health_check=_QUIET
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
class TestMemoryLong(MemoryMachine.TestCase):
    settings = settings(
        max_examples=2000, stateful_step_count=50, deadline=None, suppress_health_check=_QUIET
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
class TestDiskLong(DiskMachine.TestCase):
    settings = settings(
        max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=_QUIET
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
class TestWriteBackLong(WriteBackMachine.TestCase):
    settings = settings(
        max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=_QUIET
    )
