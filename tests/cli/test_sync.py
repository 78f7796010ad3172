"""`roost sync` and `roost warmup` as a person types them."""

import json
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from roost.cli import cat, cp, format, ls, mkdir, rm, sync, warmup  # noqa: A004
from roost.sizes import MIB
from roost.testing.disks import fill_up, small_disk

app = typer.Typer()
for module in (format, sync, warmup, ls, cp, cat, rm, mkdir):
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
    monkeypatch.setenv("myfs", url)
    return url


@pytest.fixture
def source(tmp_path: Path) -> str:
    for name in ("a1/b1", "a2/b2", "aaa/b1", "b1", "b2"):
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 30_000)
    return f"{tmp_path}/src/"


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_rules_count_in_the_order_they_are_given(source: str, tmp_path: Path) -> None:
    rules = ["--include=a1/b1", "--exclude", "a*", "--include=b2", "--exclude=b?"]
    done("sync", source, f"{tmp_path}/one/", *rules)
    assert names(tmp_path / "one") == ["b2"]
    done("sync", source, f"{tmp_path}/two/", "--exclude=a?/b*")
    assert names(tmp_path / "two") == ["aaa/b1", "b1", "b2"]
    done("sync", "--exclude", "*", "--include", "b1", source, f"{tmp_path}/three/")
    assert not (tmp_path / "three").exists()
    done("sync", "--include", "b1", "--exclude", "*", source, f"{tmp_path}/three/")
    assert names(tmp_path / "three") == ["b1"]


def test_a_volume_is_named_as_juicefs_names_it(meta: str, source: str, tmp_path: Path) -> None:
    shown = json.loads(done("sync", source, "jfs://myfs/in/", "--json", "--check-new"))
    assert (shown["copied"], shown["checked"], shown["failed"], shown["dry"]) == (5, 5, 0, False)
    done("sync", f"roost://{quote(meta, safe='')}/in/", f"{tmp_path}/out/")
    assert names(tmp_path / "out") == names(tmp_path / "src")
    assert (tmp_path / "out/a1/b1").read_bytes() == (tmp_path / "src/a1/b1").read_bytes()
    assert "skipped 5" in done("sync", source, "jfs://myfs/in/")


def test_one_file_is_copied_under_another_name(meta: str, source: str, tmp_path: Path) -> None:
    done("sync", f"{source}b1", "jfs://myfs/renamed")
    done("sync", "jfs://myfs/renamed", f"{tmp_path}/deep/back")
    assert (tmp_path / "deep/back").read_bytes() == b"b1" * 30_000
    assert "skipped 1" in done("sync", f"{source}b1", "jfs://myfs/renamed")
    done("sync", source.rstrip("/"), f"{tmp_path}/whole")
    assert names(tmp_path / "whole") == names(tmp_path / "src")


def test_a_run_with_failures_says_so_in_its_exit_code(source: str, tmp_path: Path) -> None:
    (tmp_path / "dst/b1/x").mkdir(parents=True)
    result = roost("sync", source, f"{tmp_path}/dst/", "--enable-checkpoint")
    assert result.exit_code == 3
    assert "failed: b1" in result.stderr
    assert "1 keys could not be synced" in result.stderr
    (tmp_path / "dst/b1/x").rmdir()
    (tmp_path / "dst/b1").rmdir()
    result = roost("sync", source, f"{tmp_path}/dst/", "--enable-checkpoint")
    assert result.exit_code == 0
    assert "going on" in result.stderr
    assert names(tmp_path / "dst") == names(tmp_path / "src")
    (next((tmp_path / "dst").glob("b1"))).unlink()
    fresh = roost(
        "sync", source, f"{tmp_path}/dst/", "--enable-checkpoint", "--checkpoint-force-reset"
    )
    assert fresh.exit_code == 0


def test_a_list_of_files_and_a_dry_run(source: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("b1\na1\nno\n")
    listed = f"{tmp_path}/list"
    dry = roost("sync", source, f"{tmp_path}/d/", "--files-from", listed, "--dry")
    assert dry.exit_code == 0
    assert "would copy: b1" in dry.stderr
    assert not (tmp_path / "d").exists()
    assert "absent 1" in done("sync", source, f"{tmp_path}/d/", "--files-from", listed)
    assert names(tmp_path / "d") == ["a1/b1", "b1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SRC", "/tmp/x"], 'both end in "/"'),
        (["jfs://unset-name/", "/tmp/x/"], "unset-name"),
        (["me@host:/x/", "/tmp/x/"], "SFTP"),
        (["gopher://x/", "/tmp/x/"], "gopher"),
        (["/no/where/", "/tmp/x/"], "no such folder"),
        (["SRC", "/tmp/x/", "--exclude", "[a"], "pattern"),
        (["SRC", "/tmp/x/", "--max-size", "many"], "--max-size"),
        (["SRC", "/tmp/x/", "--min-age", "old"], "duration"),
        (["SRC", "/tmp/x/", "--start-time", "noon"], "time"),
        (["SRC", "/tmp/x/", "--bwlimit", "fast"], "bandwidth"),
        (["SRC", "/tmp/x/", "--threads", "0"], "--threads"),
        (["SRC", "/tmp/x/", "--existing", "--ignore-existing"], "together"),
        (["SRC", "/tmp/x/", "--writeback", "--delete-src"], "not stored yet"),
        (["SRC", "/tmp/x/", "--writeback", "--delete-src-after"], "not stored yet"),
    ],
)
def test_an_error_is_one_line_a_hint_and_a_code(
    source: str, arguments: list[str], words: str
) -> None:
    result = roost("sync", *[source if part == "SRC" else part for part in arguments])
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_ages_and_times_are_understood(source: str, tmp_path: Path) -> None:
    for flags in (
        ["--max-age", "1h30m", "--min-size", "1", "--max-size", "1M"],
        ["--max-age=1d", "--start-time", "2020-01-01 00:00:00"],
        ["--end-time", "2999-01-01"],
    ):
        target = tmp_path / flags[1].replace(" ", "")
        done("sync", source, f"{target}/", *flags)
        assert len(names(target)) == 5
    done("sync", source, f"{tmp_path}/none/", "--min-age", "2w")
    assert not (tmp_path / "none").exists()


def test_warmup_fills_judges_and_empties(meta: str, source: str, tmp_path: Path) -> None:
    done("sync", source, "jfs://myfs/in/")
    (tmp_path / "list").write_text("/in/b1\n\n:/in/a1\n")
    cold = json.loads(done("warmup", "--meta", meta, "--check", "--json", "/in"))
    assert (cold["files"], cold["missing_bytes"]) == (5, cold["size_bytes"])
    assert "2 files" in done("warmup", "--meta", meta, "-f", f"{tmp_path}/list", "-p", "2")
    warm = json.loads(done("warmup", "--meta", meta, "--check", "--json", "/in/b1", "/in/a1"))
    assert (warm["files"], warm["missing_bytes"]) == (2, 0)
    assert "not cached any more" in done("warmup", "--meta", meta, "--evict", "/")
    assert "0.0%" in done("warmup", "--meta", meta, "--check", "/in")


def test_warmup_fills_the_block_cache_where_there_is_one(
    meta: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roost.volume.client import VolumeClient
    from roost.volume.data.settings import DataSettings
    from roost.volume.sync.warmup import Action, Warmup

    done("sync", source, "jfs://myfs/in/")
    errors: list[str] = []
    data = DataSettings(cache_dirs=(tmp_path / "blocks",))
    with VolumeClient.open(meta, read_only=True, cache_dir=tmp_path / "c", data=data) as client:

        def act(action: Action, *, whole: bool = False) -> int:
            made = Warmup(client, action, whole=whole, failed=lambda p, e: errors.append(f"{p}{e}"))
            assert made.keeps_whole_files is whole
            return made.run(["/in"]).missing_bytes

        total = act(Action.CHECK)
        assert total == sum(p.stat().st_size for p in Path(source).rglob("b?"))
        assert act(Action.WARM) == total
        assert act(Action.WARM) == 0
        assert len([p for p in (tmp_path / "blocks").rglob("*_*_*") if p.is_file()]) >= 5
        assert act(Action.EVICT) == 0
        assert act(Action.CHECK) == total
        assert act(Action.WARM, whole=True) == total
        assert act(Action.CHECK, whole=True) == 0
    assert errors == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/x"], "--meta"),
        (["--meta", "META"], "nothing to warm up"),
        (["--meta", "META", "/x", "--evict", "--check"], "together"),
    ],
)
def test_warmup_refuses_what_makes_no_sense(
    meta: str, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROOST_META", raising=False)
    result = roost("warmup", *[meta if part == "META" else part for part in arguments])
    assert result.exit_code == 2
    assert words in result.stderr


def test_warmup_says_what_is_not_there(meta: str) -> None:
    result = roost("warmup", "--meta", meta, "/no")
    assert result.exit_code == 3
    assert "failed: /no" in result.stderr


def test_path_commands_take_the_same_urls(meta: str, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello")
    done("mkdir", "-p", "jfs://myfs/a/b")
    done("cp", str(tmp_path / "hello"), "jfs://myfs/a/")
    done("cp", "jfs://myfs/a/hello", "jfs://myfs/a/b/copy")
    done("cp", "jfs://myfs/a/b/copy", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "hello"
    assert done("ls", "jfs://myfs/a") == "b\nhello\n"
    assert done("ls", "--meta", meta, "roost:///a") == "b\nhello\n"
    assert done("ls", "--meta", meta, "jfs://photos/a") == "b\nhello\n"
    assert done("cat", "jfs://myfs/a/hello", f"roost://{quote(meta, safe='')}/a/b/copy") == (
        "hellohello"
    )
    done("rm", "-r", "jfs://myfs/a")
    assert done("ls", "jfs://myfs/") == ""
    for arguments in (
        ["cat", "jfs://myfs/x", "/etc/hostname"],
        ["ls", "jfs://unset/"],
        ["ls", "--meta", meta, "jfs://other/"],
    ):
        assert roost(*arguments).exit_code == 2


@pytest.mark.parametrize("command", ["sync", "warmup"])
def test_help_has_an_example(command: str) -> None:
    assert f"roost {command}" in " ".join(done(command, "--help").split())


@pytest.mark.parametrize("kind", ["full", "a file"])
@pytest.mark.parametrize("beside", ["", "healthy"])
def test_a_cache_folder_that_cannot_be_used_does_not_end_a_command(
    meta: str, source: str, tmp_path: Path, kind: str, beside: str
) -> None:
    place = tmp_path / "place"
    with ExitStack() as disks:
        if kind == "full":
            fill_up(disks.enter_context(small_disk(place, 3 * MIB)))
        else:
            place.write_text("not a folder")
        folders = ["--cache-dir", f"{place}:{tmp_path / beside}" if beside else str(place)]
        done("cp", "--meta", meta, *folders, f"{source}b1", ":/b1")
        assert done("cat", "--meta", meta, *folders, "/b1") == "b1" * 30_000
        warm = roost("warmup", "--meta", meta, *folders, "/b1")
        if beside:
            assert warm.exit_code == 0
        else:
            assert warm.exit_code == 3
            assert str(place) in warm.stderr, "there is nothing to keep it in"
        refused = roost("cp", "--meta", meta, *folders, "--writeback", f"{source}b1", ":/b2")
        assert refused.exit_code == 3
        assert f"write-back cannot use {place}" in refused.stderr
        assert "hint: " in refused.stderr
