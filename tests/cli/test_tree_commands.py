"""clone, rmr, restore and quota as a person types them."""

import json
import os
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from roost.cli import (
    cat,
    clone,
    cp,
    format,  # noqa: A004
    ls,
    mkdir,
    quota,
    restore,
    rm,
    rmr,
)

app = typer.Typer()
for module in (format, ls, cp, cat, rm, mkdir, clone, rmr, restore, quota):
    module.register(app)


def roost(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def done(*arguments: str) -> str:
    result = roost(*arguments)
    assert result.exit_code == 0, f"{arguments}: {result.output}"
    return result.stdout


@pytest.fixture
def meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"sqlite3://{tmp_path}/meta.db"
    done("format", url, "photos", "--bucket", str(tmp_path / "objects"), "--block-size", "64")
    return url


@pytest.fixture
def tree(meta: str, tmp_path: Path) -> str:
    """A folder with a file below another, in the volume."""
    (tmp_path / "hello.txt").write_text("hello")
    done("mkdir", "-p", "--meta", meta, "/tree/below")
    done("cp", "--meta", meta, str(tmp_path / "hello.txt"), ":/tree/below/")
    return "/tree"


def test_a_clone_shows_the_same_and_lives_on_alone(meta: str, tree: str) -> None:
    assert json.loads(done("clone", "--json", "--meta", meta, tree, "/copy"))["files"] == 1
    done("rmr", "--skip-trash", "--meta", meta, tree)
    assert done("cat", "--meta", meta, "/copy/below/hello.txt") == "hello"
    assert done("ls", "--meta", meta, "/") == "copy\n"


def test_a_clone_does_not_replace(meta: str, tree: str) -> None:
    result = roost("clone", "--meta", meta, tree, tree)
    assert result.exit_code == 2
    assert "exists" in result.output


def test_rmr_tells_how_many_names_went(meta: str, tree: str) -> None:
    assert json.loads(done("rmr", "--json", "--meta", meta, tree)) == {tree: 3}
    assert done("ls", "--meta", meta, "/") == ""
    assert roost("rmr", "--meta", meta, "/").exit_code == 2
    assert roost("rmr", "--meta", meta, "/gone").exit_code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root restores")
def test_what_was_removed_is_put_back(meta: str, tree: str) -> None:
    done("rmr", "--meta", meta, tree)
    (hour,) = done("ls", "--meta", meta, "/.trash").split()
    first = json.loads(done("restore", "--json", meta, hour))[hour]
    assert (first["restored"], first["waiting"]) == (2, 1)
    assert "1 restored" in done("restore", meta, hour, "--put-back")
    assert done("cat", "--meta", meta, "/tree/below/hello.txt") == "hello"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root restores")
def test_what_cannot_be_put_back_is_named(meta: str, tree: str, tmp_path: Path) -> None:
    done("rm", "--meta", meta, "/tree/below/hello.txt")
    (hour,) = done("ls", "--meta", meta, "/.trash").split()
    done("cp", "--meta", meta, str(tmp_path / "hello.txt"), ":/tree/below/")
    result = roost("restore", meta, hour, "--put-back")
    assert result.exit_code == 2
    assert "hello.txt" in result.output
    assert roost("restore", meta, "1999-01-01-00").exit_code == 2


def test_a_folder_s_quota_is_set_shown_enforced_and_lifted(meta: str, tree: str) -> None:
    done("quota", "set", meta, "--path", tree, "--inodes", "3", "--capacity", "1")
    (shown,) = json.loads(done("quota", "get", "--json", meta, "--path", tree))
    assert shown["quota"]["used_inodes"] == 2
    assert shown["quota"]["space_bytes_max"] == 1 << 30
    done("mkdir", "--meta", meta, "/tree/third")
    refused = roost("mkdir", "--meta", meta, "/tree/fourth")
    assert refused.exit_code == 2
    assert "quota" in refused.output.lower()
    assert "/tree" in done("quota", "list", meta)
    assert "consistent" in done("quota", "check", meta, "--path", tree, "--strict")
    done("quota", "delete", meta, "--path", tree)
    done("mkdir", "--meta", meta, "/tree/fourth")
    assert roost("quota", "get", meta, "--path", tree).exit_code == 2
    assert roost("quota", "delete", meta, "--path", tree).exit_code == 2


def test_users_and_groups_are_counted_from_their_first_quota_on(meta: str, tree: str) -> None:
    me = str(os.geteuid())
    done("quota", "set", meta, "--uid", me, "--capacity", "1M")
    (shown,) = json.loads(done("quota", "get", "--json", meta, "--uid", me))
    assert shown["quota"]["used_inodes"] == 3
    done("quota", "check", meta, "--uid", me)
    done("quota", "check", meta, "--gid", str(os.getegid()), "--repair")


def test_a_quota_is_of_one_and_limits_something(meta: str) -> None:
    for arguments in (
        ("set", meta, "--path", "/", "--uid", "1", "--inodes", "5"),
        ("set", meta, "--inodes", "5"),
        ("set", meta, "--path", "/"),
        ("set", meta, "--path", "/none", "--inodes", "5"),
        ("get", meta),
    ):
        assert roost("quota", *arguments).exit_code == 2
    done("quota", "set", meta, "--path", "/made/for/it", "--inodes", "5", "--create")
    assert done("ls", "--meta", meta, "/made/for") == "it\n"


@pytest.mark.parametrize(
    "arguments", [("clone", "/a", "/b"), ("rmr", "/a")], ids=lambda arguments: arguments[0]
)
def test_a_path_of_a_mount_is_told_how_a_volume_is_named(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROOST_META", raising=False)
    result = roost(*arguments)
    assert result.exit_code == 2
    assert "inside a volume" in result.stderr
    assert f"roost {arguments[0]} --meta redis://localhost/1" in result.stderr


def test_what_was_done_is_told_as_json(meta: str, tree: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    in_volume = ("--json", "--meta", meta)
    assert json.loads(done("mkdir", *in_volume, "/new")) == {"made": ["/new"]}
    assert json.loads(done("cp", "-r", *in_volume, f":{tree}", str(tmp_path / "out"))) == {
        "files": 1,
        "bytes": 5,
    }
    local = (str(tmp_path / "out" / "tree"), str(tmp_path / "again"))
    assert json.loads(done("cp", "-r", "--json", *local)) == {"files": 1, "bytes": 5}
    assert json.loads(done("rm", "-r", *in_volume, tree, "/new")) == {tree: 3, "/new": 1}
    assert json.loads(done("rm", "-f", *in_volume, "/gone")) == {"/gone": 0}
    gone = str(tmp_path / "again")
    assert json.loads(done("rm", "-r", "--json", gone)) == {gone: 3}
    assert not (tmp_path / "again").exists()


def test_a_quota_that_was_lifted_is_told_as_json(meta: str, tree: str) -> None:
    done("quota", "set", meta, "--path", tree, "--capacity", "1")
    deleted = json.loads(done("quota", "delete", "--json", meta, "--path", tree))["deleted"]
    assert deleted["kind"] == "directory"
    assert deleted["name"].endswith(tree)
