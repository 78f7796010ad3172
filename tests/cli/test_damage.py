"""Damaged metadata as a person meets it: every record is named, and the rest is done."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from roost.cli.main import app


def roost(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Files a, b and c of a folder d; the record of a's data and of the node b do not parse."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    meta = f"sqlite3://{tmp_path}/meta.db"
    assert roost("format", meta, "photos", "--bucket", str(tmp_path / "objects")).exit_code == 0
    (tmp_path / "file").write_text("hello")
    assert roost("mkdir", "--meta", meta, "/d").exit_code == 0
    for name in "abc":
        assert roost("cp", "--meta", meta, str(tmp_path / "file"), f":/d/{name}").exit_code == 0
    with sqlite3.connect(tmp_path / "meta.db") as connection:
        (a, b) = (
            connection.execute("SELECT inode FROM jfs_edge WHERE name = ?", (name,)).fetchone()[0]
            for name in (b"a", b"b")
        )
        connection.execute("UPDATE jfs_chunk SET slices = slices || x'00' WHERE inode = ?", (a,))
        connection.execute("UPDATE jfs_node SET type = 9 WHERE inode = ?", (b,))
    connection.close()
    return meta


def test_fsck_names_each_with_its_path(url: str, tmp_path: Path) -> None:
    lost = sorted((tmp_path / "objects" / "photos" / "chunks").rglob("*_5"))[-1]
    lost.unlink()
    result = roost("fsck", url)
    assert result.exit_code == 4
    assert "(/d/a): chunk 0 of inode" in result.stdout
    assert "(/d/b): unknown kind 9" in result.stdout
    assert f"{lost.name}: the object is missing; part of /d/c" in result.stdout
    assert "NOT clean" in result.stdout
    report = json.loads(roost("fsck", "--json", url).stdout)
    assert report["report"]["unread_count"] == 2
    assert {"/d/a", "/d/b"} <= set(report["paths"].values())


def test_fsck_of_directories_goes_on(url: str) -> None:
    result = roost("fsck", "--path", "/", "-r", url)
    assert result.exit_code == 4
    assert "entry b'b'" in result.stdout


def test_ls_lists_the_rest(url: str) -> None:
    result = roost("ls", "--meta", url, "/d")
    assert result.exit_code == 4
    assert result.stdout == "a\nc\n"
    assert "damaged: /d: entry 'b'" in result.stderr


def test_gc_removes_nothing_and_says_what_names_all(url: str, tmp_path: Path) -> None:
    before = sorted((tmp_path / "objects").rglob("*"))
    result = roost("gc", "--delete", url)
    assert result.exit_code == 4
    assert "error: chunk 0 of inode" in result.stderr
    assert "roost fsck META-URL" in result.stderr
    assert sorted((tmp_path / "objects").rglob("*")) == before


def test_dump_says_where_and_goes_on_if_told_to(url: str, tmp_path: Path) -> None:
    result = roost("dump", url, str(tmp_path / "dump.json"))
    assert result.exit_code == 4
    assert "error: /d/" in result.stderr
    result = roost("dump", "--skip-damaged", url, str(tmp_path / "dump.json"))
    assert result.exit_code == 4
    assert "left out: /d/a: chunk 0" in result.stderr
    assert "left out: /d/b: inode" in result.stderr
    assert '"c": {' in (tmp_path / "dump.json").read_text()
