"""summary, info and status: the same answers as the official client's, and for people."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from roost.bench import juicefs
from roost.bench.juicefs import Juicefs
from roost.cli.main import app
from roost.cli.status import staged_backlog
from roost.testing.servers import require
from roost.testing.volumes import TestVolume, make_test_volume
from roost.volume.data.settings import DataSettings
from roost.volume.model import AttrChange

PAGE = 4096
B_BYTES = (70 << 20) + 37 * PAGE + 1 * PAGE + 2 * PAGE  # sparse, big, z, the folders b and c
A_BYTES = B_BYTES + (4 * 1 + 4 * 2 + 4 * 3) * PAGE + 2 * PAGE  # f01 to f12, the link, the folder a


def roost(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def done(*arguments: str) -> str:
    result = roost(*arguments)
    assert result.exit_code == 0, f"{arguments}: {result.output}"
    return result.stdout


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestVolume:
    """A small tree with a hole, a link, an empty folder and a file of several blocks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    made = make_test_volume(tmp_path / "volume", trash_days=1)
    with made.open() as client:
        client.mkdir("/a/b/c", parents=True)
        client.mkdir("/d")
        for number in range(1, 13):
            client.write(f"/a/f{number:02d}", bytes(number * 1000))
        client.write("/a/b/big", os.urandom(150_000))
        client.write("/a/b/sparse", b"x")
        client.truncate("/a/b/sparse", 70 << 20)
        client.write("/a/b/c/z", b"z" * 100)
        client.symlink("f01", "/a/link")
        client.setattr("/d", AttrChange(mode=0o777))
    return made


def test_summary_shows_the_largest_first_and_adds_up_the_rest(volume: TestVolume) -> None:
    shown = done("summary", "--meta", volume.meta_url, "--csv", "-d", "1", "-e", "3", "/a")
    assert shown.splitlines() == [
        "PATH,SIZE,DIRS,FILES",
        f"/,{A_BYTES},3,16",
        f"b/,{B_BYTES},2,3",
        "f09,12288,0,1",
        "f10,12288,0,1",
        "...,77824,0,11",
    ]
    for option in ([], ["--strict"]):
        total = json.loads(done("summary", "--meta", volume.meta_url, "--json", *option, "/"))
        assert (total["dirs"], total["files"]) == (5, 16)
    table = done("summary", "--meta", volume.meta_url, "/a")
    assert "b/sparse" in table
    assert "70.0 MiB" in table


def test_summary_of_a_file_and_of_depth_zero_is_one_line(volume: TestVolume) -> None:
    assert done("summary", "--meta", volume.meta_url, "--csv", "/a/f01").splitlines()[1:] == [
        "/a/f01,4096,0,1"
    ]
    assert len(done("summary", "--meta", volume.meta_url, "--csv", "-d", "0", "/").split()) == 2


def test_summary_of_an_ordinary_folder_needs_no_volume(tmp_path: Path) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "x/y/file").write_bytes(bytes(5000))
    assert done("summary", "--csv", str(tmp_path / "x")).splitlines()[1:] == [
        "/,16384,2,1",
        "y/,12288,1,1",
        "y/file,8192,0,1",
    ]
    refused = roost("summary", str(tmp_path / "none"))
    assert refused.exit_code == 2
    assert "No such file" in refused.stderr


def test_info_says_what_the_official_client_says(volume: TestVolume, tmp_path: Path) -> None:
    require(juicefs.missing())
    official = Juicefs(tmp_path / "juicefs")
    with official.mounted(volume.meta_url) as mount:
        for path, options in (
            ("/a", []),
            ("/a", ["-r"]),
            ("/", ["-r", "--strict"]),
            ("/a/b/big", []),
            ("/a/b/big", ["--raw"]),
            ("/a/b/sparse", []),
            ("/a/b/sparse", ["--raw"]),
        ):
            theirs = official.run("info", *options, f"{mount.point}{path}").output
            ours = done("info", "--meta", volume.meta_url, *options, path)
            assert _numbers(ours) == _numbers(theirs), (path, options)
        theirs = official.run("summary", "--csv", "-e", "100", str(mount.point)).output
        ours = done("summary", "--meta", volume.meta_url, "--csv", "-e", "100", "/")
        assert sorted(ours.splitlines()) == sorted(theirs.splitlines())


def _numbers(text: str) -> tuple[dict[str, str], list[list[str]]]:
    """Return the fields and the table's rows, whatever the frame around them."""
    fields = dict(re.findall(r"^\s*(inode|files|dirs):\s+(\d+)$", text, re.MULTILINE))
    for name in ("length", "size"):
        found = re.search(rf"^\s*{name}: .*?(\d+)(?: Bytes\)?)?\)?$", text, re.MULTILINE)
        assert found is not None, text
        fields[name] = found[1]
    rows = [re.split(r"[\s|]+", line.strip(" |")) for line in text.splitlines()]
    return fields, [[cell for cell in row if cell] for row in rows if row[0].isdigit()]


def test_info_by_inode_tells_a_path_and_refuses_what_is_none(volume: TestVolume) -> None:
    (by_path,) = json.loads(done("info", "--meta", volume.meta_url, "--json", "/a/b/big"))
    inode = str(by_path["inode"])
    (by_inode,) = json.loads(done("info", "--meta", volume.meta_url, "--json", "-i", inode))
    assert by_inode == by_path
    assert by_path["path"] == "/a/b/big"
    for arguments in (
        ["info", "--meta", volume.meta_url, "-i", "/a"],
        ["info", "-i", "1"],
        ["info", "--meta", volume.meta_url, "-i", "999999"],
    ):
        refused = roost(*arguments)
        assert refused.exit_code == 2, refused.output


def test_objects_of_a_file_cover_it_without_a_gap(volume: TestVolume) -> None:
    for path in ("/a/b/big", "/a/b/sparse"):
        (shown,) = json.loads(done("info", "--meta", volume.meta_url, "--json", path))
        end = 0
        for one in shown["objects"]:
            assert one["pos"] == end
            end += one["length"]
            if one["name"]:
                assert (volume.folder / "objects" / one["name"]).stat().st_size == one["size"]
        assert end == shown["length"]


def test_status_names_sessions_their_leases_and_the_staged_backlog(volume: TestVolume) -> None:
    cache = volume.folder / "cache"
    words = ["status", volume.meta_url, "--cache-dir", str(cache)]
    data = DataSettings(writeback=True, upload_delay_s=3600)
    with volume.open(cache="cache", data=data) as client:
        client.write("/staged", bytes(100_000))  # two blocks, on this disk only
        blocks, size_bytes = staged_backlog(cache, volume.settings.uuid)
        assert blocks == 2
        assert 100_000 <= size_bytes <= 101_000  # each with its proof
        text = done(*words)
        shown = json.loads(done(*words, "--json"))
        sid = client.meta.sid
        details = json.loads(done("status", volume.meta_url, "-s", str(sid)))
    assert "lease until 20" in text
    assert "in 2 blocks are only on this host" in text
    assert shown["Staged"] == {"Blocks": blocks, "Bytes": size_bytes}
    (session,) = shown["Sessions"]
    assert session["Sid"] == sid
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", session["Expire"])
    assert details["Sustained"] == []
    assert details["Locks"] == []
    unknown = roost("status", volume.meta_url, "-s", "77")
    assert unknown.exit_code == 2
    assert "no session 77" in unknown.stderr


def test_status_counts_trash_when_asked(volume: TestVolume) -> None:
    with volume.open() as client:
        client.remove("/a/f01")
    shown = json.loads(done("status", volume.meta_url, "--more", "--json"))
    assert shown["Stat"]["TrashFileCount"] == 1
    assert shown["Stat"]["TrashFileSize"] == 1000
    assert "TrashFileCount" not in json.loads(done("status", volume.meta_url, "--json"))["Stat"]


@pytest.mark.parametrize("command", ["summary", "info", "status"])
def test_help_has_an_example(command: str) -> None:
    assert f"roost {command}" in done(command, "--help")
