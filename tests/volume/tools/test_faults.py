"""A tool whose store or engine fails says so, and leaves the volume as it was."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.faulty_engine import EngineCalls
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.check import check_volume
from roost.volume.client import VolumeClient
from roost.volume.layout import block_key
from roost.volume.model import SliceId
from roost.volume.tools.compacting import compact_all
from roost.volume.tools.gc import GcOptions, collect_garbage

CALLS_MAX = 400
PLACES_MIN = 5


def make_small(folder: Path) -> TestVolume:
    """Return a volume with files to compact, and an object nobody needs."""
    made = make_test_volume(folder)
    with made.open() as client:
        for number in range(3):
            client.write(f"/{number}", bytes([number + 1]) * 70_000)
            client.append(f"/{number}", b"more")
    made.store.put(block_key(SliceId(888_888), 0, 3), b"odd")
    return made


def is_whole(volume: TestVolume) -> bool:
    """True if all files have their bytes, as a new client reads them."""
    with volume.open(read_only=True) as client:
        files = {number: client.read(f"/{number}") for number in range(3)}
    return files == {number: bytes([number + 1]) * 70_000 + b"more" for number in range(3)}


def collect(client: VolumeClient) -> None:
    clock = ManualClock(time.time_ns() + 7_200_000_000_000)
    report = collect_garbage(client, GcOptions(delete=True, threads=1), clock=clock)
    if report.failed:
        raise Unavailable("a removal failed")
    assert report.leaked.count == report.deleted.count


def compact(client: VolumeClient) -> None:
    if compact_all(client, threads=1).failed:
        raise Unavailable("a chunk was not merged")


def check(client: VolumeClient) -> None:
    assert check_volume(client, read_blocks=True).is_clean


@pytest.mark.parametrize("tool", [collect, check, compact])
@pytest.mark.parametrize("verb", ["list", "get", "put", "delete"])
def test_every_call_of_the_store_may_fail(
    tmp_path: Path,
    tool: Callable[[VolumeClient], None],
    verb: str,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["left for", "next time", "told to fail"]
    for number in range(1, CALLS_MAX):
        small = make_small(tmp_path / str(number))
        with small.open() as client:
            before = small.store.calls[verb]
            small.store.fail(verb, number)
            with contextlib.suppress(RoostError):
                tool(client)
            fired = small.store.calls[verb] - before >= number
            small.store.heal()
        assert is_whole(small)
        with small.open() as client:
            tool(client)
        assert is_whole(small)
        small.finish()
        if not fired:
            return
    raise AssertionError("the tool never ends")


@pytest.mark.parametrize("tool", [collect, check, compact])
@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.long)])
def test_every_call_of_the_engine_may_fail(
    tmp_path: Path,
    tool: Callable[[VolumeClient], None],
    after: bool,
    expected_warnings: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A scan may fail when it is opened, at each listing, and at each entry of one."""
    expected_warnings += ["left for", "next time"]
    for number in range(1, CALLS_MAX):
        caplog.clear()
        small = make_small(tmp_path / str(number))
        calls, failed = EngineCalls(number, after=after), False
        with small.open() as client, calls.counted():
            try:
                tool(client)
            except RoostError:
                failed = True
        assert is_whole(small)
        with small.open() as client:
            tool(client)
        assert is_whole(small)
        small.finish()
        told = failed or "left for" in caplog.text  # what goes on behind the tool warns
        assert told == calls.fired, f"call {number}: nobody was told"
        if not calls.fired:
            assert number > PLACES_MIN
            return
    raise AssertionError("the tool never ends")
