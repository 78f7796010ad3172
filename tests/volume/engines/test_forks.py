"""A volume on a server that a forked child inherited: refused there, untouched in its parent."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.errors import Unavailable
from roost.volume.access.volume import Volume
from roost.volume.formatting import NewVolume, make_volume

CHILD_S = 20


@pytest.fixture(params=["redis_url", "mariadb_url", "postgres_url"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    """A volume on each kind of server, with the file "f"."""
    url = request.getfixturevalue(request.param)
    make_volume(url, NewVolume("forked", bucket=str(tmp_path / "objects"), trash_days=0))
    with Volume(url, cache_dir=tmp_path / "cache") as opened:
        opened.write_bytes("f", b"parent")
        yield opened


def exit_code(task: Callable[[], object]) -> int:
    """Run `task` in a forked child; return 0, or 1 if it raises."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1  # nothing of pytest may run on in here
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_S)
        task()
        code = 0
    finally:
        os._exit(code)


def connection(volume: Volume) -> Any:
    """What the parent talks to the server through; another object once it had to connect again."""
    engine: Any = volume.client.meta.engine
    if hasattr(engine, "_link"):
        return engine._link.live()
    return engine._pool._idle[-1]._connection


def test_the_child_is_refused_and_told_what_to_do(volume: Volume) -> None:
    def work() -> None:
        for use in (
            lambda: volume.read_bytes("f"),
            lambda: volume.write_bytes("g", b"child"),
            lambda: list(volume.walk("/")),
            lambda: volume.remove("f"),
        ):
            with pytest.raises(Unavailable, match="forked from") as caught:
                use()
            assert "anew in the child" in caught.value.hint

    before = connection(volume)
    assert exit_code(work) == 0
    assert connection(volume) is before
    assert volume.listdir("/") == ["f"]


@pytest.mark.parametrize("closes", [True, False])
def test_a_child_that_ends_does_not_disturb_its_parent(volume: Volume, closes: bool) -> None:
    file = volume.open("open", "wb")
    file.write(b"pending")
    held: list[Any] = [volume, file]

    def work() -> None:
        if closes:
            volume.close()
            with pytest.raises(Unavailable, match="forked from"):
                file.close()
        held.clear()
        gc.collect()

    before = connection(volume)
    assert exit_code(work) == 0
    assert volume.read_bytes("f") == b"parent"
    assert connection(volume) is before
    file.close()
    assert volume.read_bytes("open") == b"pending"
