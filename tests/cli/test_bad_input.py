"""What a person gets wrong when starting Roost: one line, a hint, an exit code, nothing left."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TIMEOUT_S = 60


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def roost(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roost", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def refusal(*arguments: object) -> tuple[int, str, str]:
    """Return the exit code, the error's line and the hint's line."""
    ended = roost(*arguments)
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(errors) == 1, ended.stderr
    assert lines[errors[0] + 1].startswith("hint: "), ended.stderr
    assert len(lines) == errors[0] + 2, "nothing comes after the hint"
    return ended.returncode, lines[errors[0]], lines[errors[0] + 1]


@pytest.mark.parametrize("command", [["up"], ["serve", "--role", "standalone"]])
def test_a_port_in_use(tmp_path: Path, taken: int, command: list[str]) -> None:
    code, error, hint = refusal(*command, "--data", tmp_path / "data", "--port", taken)
    assert code == 3
    assert f"127.0.0.1:{taken}" in error
    assert "port" in hint


@pytest.mark.parametrize("command", [["up"], ["serve", "--role", "standalone"], ["router"]])
def test_a_file_in_the_way_of_the_data_directory(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("kept")
    code, error, hint = refusal(*command, "--data", tmp_path / "file", "--port", "0")
    assert code == 2
    assert str(tmp_path / "file") in error
    assert "--data" in hint
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("command", "text", "named", "meant"),
    [
        (["up"], "portt = 3", "'portt'", "'port'"),
        (["up"], "[engine]\nflush_row = 3", "engine.flush_row", "'flush_rows'"),
        (["serve", "--role", "rw"], "[engine]\nflush_row = 3", "engine.flush_row", "'flush_rows'"),
    ],
)
def test_an_unknown_key_of_the_configuration(
    tmp_path: Path, command: list[str], text: str, named: str, meant: str
) -> None:
    (tmp_path / "roost.toml").write_text(text)
    places = ["--data", tmp_path / "data", "--port", "0", "--config", tmp_path / "roost.toml"]
    code, error, hint = refusal(*command, *places)
    assert code == 2
    assert named in error
    assert meant in hint


def test_a_reader_before_the_writer_is_told_what_to_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, error, hint = refusal("serve", "--role", "ro", "--data", data, "--port", "0")
    assert code == 2
    assert "volume.db" in error
    assert "--role rw" in hint


def test_an_unknown_role(tmp_path: Path) -> None:
    code, error, hint = refusal("serve", "--role", "boss", "--data", tmp_path / "data")
    assert code == 2
    assert "'boss'" in error
    assert "rw" in hint
