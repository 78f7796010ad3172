"""The volume's tools as a person types them: exit codes, JSON, questions."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from roost.cli.main import app
from roost.volume.client import VolumeClient
from roost.volume.formatting import NewVolume, make_volume
from roost.volume.meta.api import open_meta


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(url, NewVolume("tools", bucket=str(tmp_path / "objects")))
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.mkdir("/d")
        client.write("/d/f", b"some bytes")
        client.append("/d/f", b" and more")
    return url


def roost(*arguments: str, code: int = 0, answer: str = "") -> str:
    done = CliRunner().invoke(app, arguments, input=answer)
    assert done.exit_code == code, done.output
    return done.output


def block(url: str) -> Path:
    folder = Path(url.removeprefix("sqlite3://")).parent
    return sorted(folder.glob("objects/tools/chunks/*/*/*"))[0]


def test_dump_and_load_through_files_and_pipes(url: str, tmp_path: Path) -> None:
    packed = tmp_path / "dump.json.gz"
    assert "2 entries" in roost("dump", url, str(packed))
    assert packed.read_bytes()[:2] == b"\x1f\x8b"
    said = roost("load", f"sqlite3://{tmp_path}/again.db", str(packed))
    assert "volume tools" in said
    assert not list(tmp_path.glob(".*.tmp"))
    options = ["--subdir", "/d", "--skip-trash", "--fast", "--threads", "4"]
    text = CliRunner().invoke(app, ["dump", *options, url]).stdout
    assert list(json.loads(text)["FSTree"]["entries"]) == ["f"]
    roost("load", f"sqlite3://{tmp_path}/pipe.db", answer=text)
    assert roost("load", url, str(packed), code=2).startswith("error: ")
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "error:" in roost("load", f"sqlite3://{tmp_path}/cut.db", str(packed), code=4)


def test_fsck_names_files_and_ends_with_4(url: str) -> None:
    assert "clean" in roost("fsck", "--read", url)
    block(url).unlink()
    said = roost("fsck", url, code=4)
    assert "missing" in said
    assert "/d/f" in said
    report = json.loads(roost("fsck", "--json", url, code=4))
    assert report["clean"] is False
    assert len(report["report"]["damaged"]) == 1


def test_fsck_of_directories(url: str) -> None:
    assert roost("fsck", "--path", "/d", url) == "clean\n"
    assert roost("fsck", "--path", "/", "-r", "--repair", "--sync-dir-stat", url) == "clean\n"
    assert "octal" in roost("fsck", "--path", "/", "--repair-dir-mode", "9", url, code=2)


def test_gc_looks_and_compact_merges(url: str) -> None:
    report = json.loads(roost("gc", "--json", url))
    assert report["valid"]["count"] == 2
    assert "1 merged" in roost("compact", url, "/d")
    assert "0 merged" in roost("compact", url, "/d/f")
    assert "No such file" in roost("compact", url, "/nowhere", code=2)
    assert "removed:" in roost("gc", "--compact", "--delete", url)


def test_gc_compact_names_what_it_leaves_and_says_that_it_is_damaged(url: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite3://"))) as connection:
        connection.execute("UPDATE jfs_chunk SET slices = slices || x'00'")
        connection.commit()
    said = roost("gc", "--compact", url, code=4)
    assert "not merged: chunk 0 of inode" in said
    assert "nothing else was looked at: chunk 0 of inode" in said
    assert "hint: `roost fsck" in said
    assert "valid:" not in said
    assert "not merged" not in roost("gc", "--compact", "--delete", url, code=4)


def test_gc_tells_of_unfinished_files_and_removes_them(url: str) -> None:
    draft = block(url).with_name(".jfs.9_0_5.tmp.0123456789ab")
    draft.write_bytes(b"x" * 10)
    assert "unfinished files" not in roost("gc", url)
    os.utime(draft, (1, 1))
    said = roost("gc", url)
    assert "unfinished files, older than an hour: 1 (10 B)" in said
    assert "--delete" in said
    assert "1 unfinished files" in roost("gc", "--delete", url)
    assert not draft.exists()


def test_backups_are_made_listed_and_restored(url: str, tmp_path: Path) -> None:
    assert "no backup" in roost("backup", "list", url)
    assert "base" in roost("backup", "run", url)
    assert "change" in roost("backup", "run", "--keep-days", "7", url)
    bucket = ("--name", "tools", "--bucket", str(tmp_path / "objects"))
    found = json.loads(roost("backup", "list", "--json", *bucket))
    assert [one["manifest"]["previous"] for one in found] == ["", found[0]["id"]]
    roost("backup", "restore", f"sqlite3://{tmp_path}/back.db", *bucket)
    roost("fsck", f"sqlite3://{tmp_path}/back.db")
    early = ("--at", "2001-01-01T00:00Z")
    said = roost("backup", "restore", f"sqlite3://{tmp_path}/no.db", *bucket, *early, code=2)
    assert "roost backup list" in said
    assert "not a time" in roost(
        "backup", "restore", f"sqlite3://{tmp_path}/no.db", *bucket, "--at", "noon", code=2
    )


def test_destroy_asks_and_wants_the_right_volume(url: str, tmp_path: Path) -> None:
    with open_meta(url, read_only=True) as meta:
        uuid = meta.settings.uuid
    roost("destroy", url, "no-such-uuid", "--yes", code=2)
    assert "nothing was deleted" in roost("destroy", url, uuid, code=2, answer="n\n")
    assert block(url).exists()
    assert "is destroyed" in roost("destroy", url, uuid, answer="y\n")
    assert not list((tmp_path / "objects").rglob("*_*"))
    roost("fsck", url, code=2)


def test_dump_load_and_destroy_tell_as_json(url: str, tmp_path: Path) -> None:
    refused = roost("dump", "--json", url, code=2)
    assert "Name a file" in refused
    packed, copy = str(tmp_path / "dump.json"), f"sqlite3://{tmp_path}/again.db"
    told = CliRunner().invoke(app, ["dump", "--json", url, packed])
    assert json.loads(told.stdout)["report"]["entries"] == 2
    loaded = json.loads(CliRunner().invoke(app, ["load", "--json", copy, packed]).stdout)
    assert (loaded["volume"], loaded["inodes"]) == ("tools", 2)
    gone = CliRunner().invoke(app, ["destroy", "--json", "--yes", copy, loaded["uuid"]])
    assert json.loads(gone.stdout)["objects"] == 3


def test_compact_says_that_it_wants_a_url_first(tmp_path: Path) -> None:
    said = roost("compact", str(tmp_path), code=2)
    assert "no metadata URL" in said
    assert "roost compact redis://localhost/1 /logs" in said
    assert "nothing to compact" in roost("compact", f"sqlite3://{tmp_path}/none.db", code=2)


def test_info_of_a_mounts_file_says_how_the_volume_is_named(tmp_path: Path) -> None:
    for arguments in (["-i", "42"], ["--raw", str(tmp_path)]):
        assert "roost info --meta redis://localhost/1" in roost("info", *arguments, code=2)


def test_info_shows_all_paths_and_the_tier(url: str, tmp_path: Path) -> None:
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.link("/d/f", "/linked")
    said = roost("info", "--meta", url, "/d/f")
    assert "  paths:\n\t/d/f\n\t/linked\n" in said
    assert "   tier: 0\n" in said
    assert "   path: /d\n" in roost("info", "--meta", url, "/d")
