"""A tool whose store or engine fails says so, and leaves the volume as it was."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import RoostError, Unavailable
from roost.testing.clock import ManualClock
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.check import check_volume
from roost.volume.client import VolumeClient
from roost.volume.engines.sqlite import SqliteEngine
from roost.volume.layout import block_key
from roost.volume.model import SliceId
from roost.volume.tools.compacting import compact_all
from roost.volume.tools.gc import GcOptions, collect_garbage

CALLS_MAX = 60


@pytest.fixture
def small(tmp_path: Path) -> TestVolume:
    """A volume with a compactable file, and an object nobody needs."""
    made = make_test_volume(tmp_path / "small")
    with made.open() as client:
        for number in range(3):
            client.write(f"/{number}", os.urandom(70_000))
            client.append(f"/{number}", b"more")
    made.store.put(block_key(SliceId(888_888), 0, 3), b"odd")
    return made


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
    small: TestVolume,
    tool: Callable[[VolumeClient], None],
    verb: str,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["left for", "next time", "told to fail"]
    whole = {str(number): small.open().read(f"/{number}") for number in range(3)}
    for number in range(1, CALLS_MAX):
        with small.open() as client:
            before = small.store.calls[verb]
            small.store.fail(verb, number)
            with contextlib.suppress(RoostError):
                tool(client)
            called = small.store.calls[verb] - before
            small.store.heal()
        if called < number:
            break
    with small.open() as client:
        assert {str(n): client.read(f"/{n}") for n in range(3)} == whole
        tool(client)
    small.finish()


@pytest.mark.parametrize("tool", [collect, check])
def test_every_call_of_the_engine_may_fail(
    small: TestVolume,
    tool: Callable[[VolumeClient], None],
    monkeypatch: pytest.MonkeyPatch,
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["left for", "next time"]
    real = {name: getattr(SqliteEngine, name) for name in ("run", "read", "scan")}
    for number in range(1, CALLS_MAX):
        calls = 0
        with small.open() as client:

            def call(name: str, *arguments: object, number: int = number) -> object:
                nonlocal calls
                calls += 1
                if calls == number:
                    raise Unavailable("the database went away")
                return real[name](*arguments)

            for name in real:
                monkeypatch.setattr(
                    SqliteEngine, name, lambda *a, name=name: call(name, *a), raising=True
                )
            try:
                tool(client)
                failed = False
            except Unavailable:
                failed = True
            monkeypatch.undo()
        if calls < number:
            assert not failed
            break
    small.finish()
