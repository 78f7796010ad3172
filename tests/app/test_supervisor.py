"""What a supervisor refuses before it starts anything."""

import socket
from pathlib import Path

import pytest

from roost.app.data_directory import FolderLock
from roost.app.processes import Child
from roost.app.supervisor import Supervisor
from roost.config.settings import Settings
from roost.errors import InvalidArgument, RoostError, Unavailable


def test_a_data_directory_in_use_is_named_before_the_port(tmp_path: Path) -> None:
    first = Supervisor(Settings(data=tmp_path, port=0))
    with pytest.raises(Unavailable, match=r"data directory .* in use by process"):
        Supervisor(Settings(data=tmp_path, port=first.port))
    first.stop()
    Supervisor(Settings(data=tmp_path, port=0)).stop()


def test_a_port_in_use_is_refused_and_the_data_directory_given_back(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Unavailable, match="cannot listen on") as caught:
            Supervisor(Settings(data=tmp_path, port=taken.getsockname()[1]))
        assert "--port" in caught.value.hint
    FolderLock.take(tmp_path / "run" / "up.lock", "the folder").release()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"readers": 0}, "needs a reader"),
        ({"engine": {"flush_row": 1}}, "unknown setting engine.flush_row"),
        ({"engine": {"flush_rows": "many"}}, "must be a number"),
        ({"port": 70_000}, "not a port"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Supervisor(Settings(data=tmp_path, **settings))  # type: ignore[arg-type]  # wrong on purpose


def test_each_member_serves_its_metrics_on_a_port_of_its_own(tmp_path: Path) -> None:
    supervisor = Supervisor(Settings(data=tmp_path, port=0, readers=2, metrics_port=9000))
    words = [place.arguments for place in supervisor._places]
    supervisor.stop()
    ports = [at[at.index("--metrics-port") + 1] for at in words]
    assert ports == ["9000", "9001", "9002"]


def test_a_member_that_does_not_start_is_told_with_its_error_not_its_hint(tmp_path: Path) -> None:
    child = Child("reader-9", ["serve", "--role", "xx"], tmp_path / "reader-9.log")
    try:
        with pytest.raises(RoostError, match="exit code 2: unknown role 'xx'"):
            child.wait_ready(60)
    finally:
        child.stop()
