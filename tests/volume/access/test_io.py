"""Our file objects against an ordinary file: the same steps, the same answers."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from roost.testing.volumes import make_test_volume
from roost.volume import Volume
from roost.volume.engines.memory_opening import drop_memory_volume

SIZES = st.one_of(st.integers(0, 20), st.sampled_from([4095, 65536, 70_000]))
DATA = st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 5000, b"y" * 70_000]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), SIZES),
        st.tuples(st.just("readinto"), SIZES),
        st.tuples(st.just("readall"), st.none()),
        st.tuples(st.just("readline"), st.none()),
        st.tuples(st.just("write"), DATA),
        st.tuples(st.just("truncate"), st.one_of(st.none(), SIZES)),
        st.tuples(st.just("seek"), st.tuples(st.integers(-5, 140_000), st.integers(0, 2))),
        st.tuples(st.just("tell"), st.none()),
        st.tuples(st.just("flush"), st.none()),
    ),
    max_size=12,
)
MODES = ["rb", "rb+", "wb", "wb+", "ab", "ab+", "xb"]
QUIET = [HealthCheck.too_slow]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Volume, Path]]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    made = make_test_volume(folder, meta_url="memory://io-tests")
    volume = Volume(made.meta_url, cache_dir=folder / "cache")
    yield volume, folder
    volume.close()
    made.finish()
    drop_memory_volume("io-tests")
    shutil.rmtree(folder)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call answers, or the kind of error it ends with."""
    try:
        return call()
    except io.UnsupportedOperation:
        return "unsupported"
    except (OSError, ValueError) as error:
        return "bad value" if isinstance(error, ValueError) or error.errno == 22 else error.errno


def apply(file: IO[Any], step: tuple[str, Any], text: bool) -> Any:
    verb, value = step
    if verb == "readinto":
        buffer = bytearray(value)

        def fill() -> tuple[int, bytes]:
            return file.readinto(buffer), bytes(buffer)  # type: ignore[attr-defined]

        return None if text else outcome(fill)
    if verb == "readall":
        return outcome(file.read)
    if verb == "seek":
        if text and (value[1] != 0 or value[0] < 0):
            return None  # text files only go to places they told
        return outcome(lambda: file.seek(*value))
    if verb == "write":
        return outcome(lambda: file.write(value.decode("latin-1") if text else value))
    calls = {"tell": file.tell, "flush": file.flush, "readline": file.readline}
    if verb in calls:
        return outcome(calls[verb])
    return outcome(lambda: getattr(file, verb)(value))


def compare(
    shared: tuple[Volume, Path],
    mode: str,
    start: bytes | None,
    steps: list[tuple[str, Any]],
    **layers: Any,
) -> None:
    volume, folder = shared
    plain = folder / "plain"
    plain.unlink(missing_ok=True)
    if volume.exists("/file"):
        volume.remove("/file")
    if start is not None:
        plain.write_bytes(start)
        volume.write_bytes("/file", start)
    ours = outcome(lambda: volume.open("/file", mode, **layers))
    theirs = outcome(lambda: open(plain, mode, **layers))  # noqa: SIM115
    if isinstance(theirs, (str, int)):
        assert ours == theirs
        return
    with ours, theirs:
        assert (ours.readable(), ours.writable(), ours.seekable()) == (
            theirs.readable(),
            theirs.writable(),
            theirs.seekable(),
        )
        for step in steps:
            assert apply(ours, step, "b" not in mode) == apply(theirs, step, "b" not in mode), step
    assert volume.read_bytes("/file") == plain.read_bytes()
    assert outcome(ours.tell) == outcome(theirs.tell) == "bad value"


@settings(max_examples=120, deadline=None, suppress_health_check=QUIET)
@given(
    mode=st.sampled_from(MODES),
    start=st.one_of(st.none(), DATA),
    steps=STEPS,
    buffering=st.sampled_from([0, -1, 16]),
)
@example(
    mode="ab", start=None, steps=[("truncate", 1), ("write", b""), ("tell", None)], buffering=0
)
def test_binary_files_answer_as_ordinary_ones(
    shared: tuple[Volume, Path],
    mode: str,
    start: bytes | None,
    steps: list[tuple[str, Any]],
    buffering: int,
) -> None:
    if mode.startswith("a") and buffering == -1:
        buffering = (
            8192  # how much is appended already, and so `tell`, depends on the buffer's size
        )
    compare(shared, mode, start, steps, buffering=buffering)


@settings(max_examples=80, deadline=None, suppress_health_check=QUIET)
@given(
    mode=st.sampled_from(["r", "w", "a", "x"]),
    start=st.one_of(st.none(), DATA),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("read"), SIZES),
            st.tuples(st.just("readline"), st.none()),
            st.tuples(st.just("write"), DATA),
            st.tuples(st.just("flush"), st.none()),
        ),
        max_size=8,
    ),
    newline=st.sampled_from([None, "", "\n", "\r\n"]),
)
def test_text_files_answer_as_ordinary_ones(
    shared: tuple[Volume, Path],
    mode: str,
    start: bytes | None,
    steps: list[tuple[str, Any]],
    newline: str | None,
) -> None:
    compare(shared, mode, start, steps, encoding="latin-1", newline=newline)


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        ("", {}),
        ("rw", {}),
        ("rbt", {}),
        ("rr", {}),
        ("z", {}),
        ("+", {}),
        ("r", {"buffering": 0}),
        ("rb", {"encoding": "utf-8"}),
        ("rb", {"newline": "\n"}),
        ("r", {"newline": "x"}),
    ],
)
def test_a_mode_that_open_refuses_is_refused(v: Volume, mode: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open(os.devnull, mode, **more)  # noqa: SIM115
    with pytest.raises(ValueError, match=r".+"):
        v.open("/new", mode, **more)
    assert not v.exists("/new")


def test_readinto_fills_the_callers_memory_and_nothing_else(v: Volume) -> None:
    v.write_bytes("/f", b"0123456789")
    memory = bytearray(b"-" * 12)
    with v.open("/f", "rb", buffering=0) as raw:
        assert raw.readinto(memoryview(memory)[1:5]) == 4
        assert memory == b"-0123-------"
        assert raw.readinto(memory) == 6
        assert memory == b"456789------"
        assert raw.readinto(memory) == 0
        assert raw.pread_into(8, memoryview(memory)[:4]) == 2
        assert raw.tell() == 10


def test_what_is_written_survives_without_a_close_once_it_is_synced(v: Volume) -> None:
    file = v.open("/log", "wb")
    file.write(b"kept")
    file.flush()
    v.fsync("/log")
    with Volume.over(v.client).open("/log", "rb") as other:
        assert other.read() == b"kept"
    file.close()


def test_holes_are_found(v: Volume) -> None:
    with v.open("/sparse", "wb", buffering=0) as raw:
        raw.seek(200_000)
        raw.write(b"end")
    with v.open("/sparse", "rb", buffering=0) as raw:
        assert raw.seek(0, os.SEEK_DATA) == 200_000
        assert raw.seek(0, os.SEEK_HOLE) == 0
