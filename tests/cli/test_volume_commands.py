"""The volume commands as a person types them: results, errors in one line, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from roost.cli import cat, cp, format, fsck, info, ls, mkdir, rm, status  # noqa: A004
from roost.cli.output import plain_errors

app = typer.Typer()
for module in (format, status, info, ls, cp, cat, rm, mkdir, fsck):
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


def test_a_first_session_with_a_volume(meta: str, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    done("mkdir", "-p", "--meta", meta, "/2026/summer")
    done("cp", "--meta", meta, str(tmp_path / "hello.txt"), ":/2026/")
    assert done("ls", "--meta", meta, "/2026") == "hello.txt\nsummer\n"
    assert done("cat", "--meta", meta, "/2026/hello.txt") == "hello"
    done("cp", "--meta", meta, ":/2026/hello.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "hello"
    done("cp", "--meta", meta, ":/2026/hello.txt", ":/copy.txt")
    assert done("cat", "--meta", meta, "copy.txt", ":/2026/hello.txt") == "hellohello"
    assert "clean" in done("fsck", "--read", meta)
    done("rm", "--meta", meta, "/copy.txt")
    assert done("ls", "--meta", meta, "/") == "2026\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("ls", "/a/nope"), "/a/nope"),
        (("cat", "/nope"), "/nope"),
        (("cp", ":/a/nope", "here"), "/a/nope"),
        (("mkdir", "/nope/b"), "/nope/b"),
        (("rm", "/file/x"), "/file/x"),
        (("mkdir", "/a"), "/a"),
        (("cat", "/a"), "/a"),
    ],
)
def test_what_is_refused_is_named_as_it_was_asked_for(
    meta: str, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    (tmp_path / "file").write_text("x")
    done("cp", "--meta", meta, str(tmp_path / "file"), ":/file")
    done("mkdir", "--meta", meta, "/a")
    refused = roost(arguments[0], "--meta", meta, *arguments[1:])
    assert refused.exit_code == 2
    assert f"'{named}'" in refused.stderr
    assert "inode" not in refused.stderr


def test_links_in_folders_are_copied_as_links(meta: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "real").mkdir(parents=True)
    (source / "real/f").write_text("f")
    (source / "folder").symlink_to("real")
    (source / "file").symlink_to("real/f")
    (source / "broken").symlink_to("nowhere")
    for _ in range(2):  # what is there is replaced
        done("cp", "-r", "--meta", meta, str(source), ":/")
        (tmp_path / "new").mkdir(exist_ok=True)
        done("cp", "-r", "--meta", meta, ":/tree", str(tmp_path / "new"))
    done("cp", "--meta", meta, str(source / "file"), ":/followed")
    assert done("cat", "--meta", meta, "/followed") == "f"
    back = tmp_path / "new/tree"
    assert {path.name: os.readlink(path) for path in back.iterdir() if path.is_symlink()} == {
        "folder": "real",
        "file": "real/f",
        "broken": "nowhere",
    }
    assert (back / "real/f").read_text() == "f"
    assert not (back / "real").is_symlink()


@pytest.mark.timeout(30)
def test_a_pipe_is_refused_and_the_longest_name_is_not(meta: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused = roost("cp", "--meta", meta, str(tmp_path / "pipe"), ":/pipe")
    assert refused.exit_code == 2
    assert "no regular file" in refused.stderr
    name = "n" * 255
    (tmp_path / name).write_text("long")
    done("cp", "--meta", meta, str(tmp_path / name), ":/")
    (tmp_path / "back").mkdir()
    done("cp", "--meta", meta, f":/{name}", str(tmp_path / "back"))
    assert (tmp_path / "back" / name).read_text() == "long"


def test_folders_are_copied_both_ways(meta: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "a/b").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "top").write_bytes(os.urandom(200_000))
    (source / "a/b/deep").write_bytes(b"deep")
    refused = roost("cp", "--meta", meta, str(source), ":/")
    assert refused.exit_code == 2
    assert "-r" in refused.output
    done("cp", "-r", "--meta", meta, str(source), ":/")
    done("cp", "-r", "--meta", meta, ":/tree", str(tmp_path / "back"))
    for folder, _, names in os.walk(source):
        other = tmp_path / "back" / Path(folder).relative_to(source)
        assert sorted(os.listdir(folder)) == sorted(os.listdir(other))
        for name in names:
            assert (Path(folder) / name).read_bytes() == (other / name).read_bytes()


def test_status_is_for_people_and_for_programs(meta: str) -> None:
    text = done("status", meta)
    assert "photos" in text
    assert "survives a crash of the host" in text
    shown = json.loads(done("status", meta, "--json"))
    assert shown["Setting"]["Name"] == "photos"
    assert shown["Setting"]["BlockSize"] == 64
    assert shown["Sessions"] == []
    assert "synchronous=FULL" in shown["Durability"]
    assert shown["Stat"]["UsedInodes"] == 0


def test_info_names_the_objects(meta: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    done("cp", "--meta", meta, str(tmp_path / "a"), ":/a")
    (shown,) = json.loads(done("info", "--meta", meta, "--json", "/a"))
    assert (shown["files"], shown["dirs"], shown["length"], shown["size"]) == (
        1,
        0,
        100_000,
        102_400,
    )
    assert [one["name"].rsplit("_", 1)[1] for one in shown["objects"]] == ["65536", "34464"]
    for one in shown["objects"]:
        assert (tmp_path / "objects" / one["name"]).exists()
    (root,) = json.loads(done("info", "--meta", meta, "--json", "/"))
    assert (root["files"], root["dirs"]) == (1, 1)


def test_ls_shows_mode_owner_size_and_json(meta: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "a").chmod(0o640)
    done("cp", "--meta", meta, str(tmp_path / "a"), ":/.hidden")
    assert done("ls", "--meta", meta, "/") == ""
    assert "-rw-r-----" in done("ls", "-la", "--meta", meta, "/")
    (row,) = json.loads(done("ls", "-a", "--json", "--meta", meta, "/"))
    assert (row["name"], row["size_bytes"]) == (".hidden", 5)


def test_without_meta_a_path_is_an_ordinary_one(tmp_path: Path) -> None:
    done("mkdir", "-p", str(tmp_path / "x/y"))
    (tmp_path / "x/file").write_text("plain")
    assert done("ls", str(tmp_path / "x")) == "file\ny\n"
    assert done("cat", str(tmp_path / "x/file")) == "plain"
    done("cp", str(tmp_path / "x/file"), str(tmp_path / "x/y"))
    assert (tmp_path / "x/y/file").read_text() == "plain"
    assert "files: 1" in done("info", str(tmp_path / "x"))
    assert "files: 2" in done("info", "-r", str(tmp_path / "x"))
    done("rm", "-r", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["cat", "--meta", "META", "/no"], 2, "No such file"),
        (["ls", "--meta", "META", "/no"], 2, "No such file"),
        (["rm", "--meta", "META", "/no"], 2, "No such file"),
        (["mkdir", "--meta", "META", "/a/b"], 2, "No such file"),
        (["cp", "--meta", "META", "one", "two"], 2, "neither path"),
        (["cp", "--meta", "META", "/no/file", ":/x"], 2, "No such file"),
        (["cat", "/no/where"], 2, "/no/where"),
        (["status", "sqlite3:///no/where.db"], 2, "error:"),
        (["status", "gopher://x"], 2, "gopher"),
        (
            ["format", "META", "photos", "--bucket", "/tmp/never"],
            3,
            "/tmp/never/: there is no such folder",
        ),
        (["format", "sqlite3:///tmp/x.db", "A", "--bucket", "/x"], 2, "hint:"),
        (["format", "sqlite3:///tmp/x.db", "abc", "--storage", "tape"], 2, "tape"),
    ],
)
def test_an_error_is_one_line_a_hint_and_a_code(
    meta: str, arguments: list[str], code: int, words: str
) -> None:
    result = roost(*[meta if part == "META" else part for part in arguments])
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2


def test_removing_a_folder_wants_the_flag_and_force_forgives(meta: str) -> None:
    done("mkdir", "-p", "--meta", meta, "/a/b")
    assert roost("rm", "--meta", meta, "/a").exit_code == 2
    done("rm", "-r", "--meta", meta, "/a")
    done("rm", "-rf", "--meta", meta, "/a")
    assert done("ls", "--meta", meta, "/") == ""


def test_fsck_says_what_is_damaged_and_ends_with_its_code(meta: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 70_000)
    done("cp", "--meta", meta, str(tmp_path / "a"), ":/a")
    victim = next((tmp_path / "objects").rglob("*_1_*"))
    victim.write_bytes(b"short")
    result = roost("fsck", meta)
    assert result.exit_code == 4
    assert victim.name in result.output
    assert "/a" in result.output
    shown = roost("fsck", "--json", meta)
    assert shown.exit_code == 4
    assert json.loads(shown.stdout)["clean"] is False
    assert roost("cat", "--meta", meta, "/a").exit_code == 4


@pytest.mark.parametrize(
    "command", ["format", "status", "info", "ls", "cp", "cat", "rm", "mkdir", "fsck"]
)
def test_help_has_an_example(command: str) -> None:
    assert f"roost {command}" in " ".join(done(command, "--help").split())


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(AssertionError), plain_errors():
        raise AssertionError("a bug")


def test_the_command_is_installed(meta: str) -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("roost")), "status", meta],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "photos" in ran.stdout
