"""`roost format`, `config` and `objbench`: JuiceFS's flags, and what a person sees."""

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from roost.cli import config, format, objbench, status  # noqa: A004 - a command's name
from roost.testing.servers.available import require
from roost.testing.servers.azurite import AzuriteServer
from roost.testing.servers.redis import RedisOptions, RedisServer
from roost.volume.client import VolumeClient
from roost.volume.settings import decode_settings, open_secrets

app = typer.Typer()
for module in (format, config, objbench, status):
    module.register(app)


def roost(*arguments: str, variables: dict[str, str] | None = None, typed: str = "") -> Result:
    result: Result = CliRunner().invoke(app, list(arguments), env=variables, input=typed)
    assert "Traceback" not in result.output
    return result


def done(*arguments: str, variables: dict[str, str] | None = None) -> str:
    result = roost(*arguments, variables=variables)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


@pytest.fixture
def url(tmp_path: Path) -> str:
    meta_url = f"sqlite3://{tmp_path}/meta.db"
    done("format", meta_url, "photos", "--bucket", str(tmp_path / "objects"))
    return meta_url


def shown(url: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(done("config", url, "--json"))
    return found


def test_the_flags_of_juicefs_are_understood(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    done(
        *("format", url, "photos", "--bucket", f"{tmp_path}/o%d", "--shards", "2"),
        *("--block-size", "1M", "--compress", "lz4", "--hash-prefix", "--trash-days", "3"),
        *("--capacity", "2", "--inodes", "1000", "--storage-class", "IA"),
    )
    found = shown(url)
    assert found["BlockSize"] == 1024
    assert found["Capacity"] == 2 << 30, "a bare number is GiB"
    assert (found["Shards"], found["HashPrefix"], found["TrashDays"]) == (2, True, 3)
    assert found["Tiers"] == {"0": {"ID": 0, "StorageClass": "IA", "Tag": ""}}
    other = f"sqlite3://{tmp_path}/other.db"
    done("format", other, "other", "--bucket", str(tmp_path / "o"), "--block-size", "512")
    assert shown(other)["BlockSize"] == 512, "a bare number is KiB"


def test_formatting_again_changes_what_is_given_and_refuses_what_is_fixed(url: str) -> None:
    before = shown(url)
    done("format", url, "photos", "--trash-days", "9")
    assert shown(url) == {**before, "TrashDays": 9}
    done("format", url, "photos", "--no-update", "--trash-days", "1")
    assert shown(url)["TrashDays"] == 9
    for fixed in (["other"], ["photos", "--block-size", "64"], ["photos", "--hash-prefix"]):
        result = roost("format", url, *fixed, "--force")
        assert result.exit_code == 2
        assert "cannot be changed" in result.stderr


def test_keys_come_from_the_environment_and_are_stored_sealed(tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    keys = {"ACCESS_KEY": "me", "SECRET_KEY": "hush"}
    done("format", url, "photos", "--bucket", str(tmp_path / "o"), variables=keys)
    with sqlite3.connect(tmp_path / "meta.db") as database:
        (text,) = database.execute("SELECT value FROM jfs_setting").fetchone()
    stored = json.loads(text)
    assert stored["AccessKey"] == "me"
    assert stored["KeyEncrypted"] is True
    assert "hush" not in text
    assert shown(url)["SecretKey"] == "removed", "nor is it shown"
    done("config", url, "--trash-days", "2", variables={"SECRET_KEY": "other"})
    with sqlite3.connect(tmp_path / "meta.db") as database:
        (text,) = database.execute("SELECT value FROM jfs_setting").fetchone()
    assert open_secrets(decode_settings(text)).secret_key == "hush", "only a flag changes it"


def test_config_says_what_changed_and_asks_about_what_hurts(url: str) -> None:
    assert "trash-days: 1 -> 7" in done("config", url, "--trash-days", "7")
    assert "Nothing changed" in done("config", url, "--trash-days", "7")
    refused = roost("config", url, "--trash-days", "0", typed="n\n")
    assert refused.exit_code == 2
    assert "trash will be emptied" in refused.stderr
    assert roost("config", url, "--trash-days", "0").exit_code == 2, "nobody there to ask"
    assert shown(url)["TrashDays"] == 7
    assert roost("config", url, "--trash-days", "0", typed="y\n").exit_code == 0
    done("config", url, "--trash-days", "1")
    done("config", url, "--trash-days", "0", "--yes")
    assert shown(url)["TrashDays"] == 0


def test_limits_are_megabits_a_second(url: str) -> None:
    done("config", url, "--upload-limit", "200", "--download-limit", "1Gbps")
    found = shown(url)
    assert (found["UploadLimit"], found["DownloadLimit"]) == (200, 1000)
    assert roost("config", url, "--upload-limit", "fast").exit_code == 2


def test_an_encryption_key_that_is_missing_is_told(tmp_path: Path) -> None:
    result = roost(
        *("format", f"sqlite3://{tmp_path}/m.db", "photos", "--bucket", str(tmp_path / "o")),
        *("--encrypt-rsa-key", str(tmp_path / "none.pem")),
    )
    assert result.exit_code == 2
    assert "none.pem" in result.stderr
    assert "openssl" in result.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (("maxmemory-policy", "allkeys-lru"), "Redis may evict metadata"),
        (("appendonly", "no"), "Redis keeps no append-only file"),
    ],
)
def test_format_and_status_warn_of_a_redis_that_forgets(
    tmp_path: Path, setting: tuple[str, str], words: str
) -> None:
    require(RedisServer.missing())
    with RedisServer(RedisOptions(config=(setting,))) as server:
        url = server.new_database()
        made = roost("format", url, "photos", "--bucket", str(tmp_path))
        assert f"warning: {words}" in made.stderr
        assert f"Warning  {words}" in done("status", url)
        assert any(words in note for note in json.loads(done("status", "--json", url))["Notes"])


def test_a_volume_is_no_store_for_objbench(tmp_path: Path) -> None:
    result = roost("objbench", "--storage", "jfs", str(tmp_path))
    assert result.exit_code == 2
    assert "--storage jfs" in result.stderr


def test_objbench_tells_both_tables(tmp_path: Path) -> None:
    small = ["--big-object-size", "1", "--block-size", "256K", "--small-objects", "5"]
    printed = done("objbench", str(tmp_path), *small)
    assert "put only if absent" in printed
    assert "put big objects" in printed
    found = json.loads(done("objbench", str(tmp_path), "--skip-functional-tests", "--json", *small))
    assert found["functional"] == []
    assert {pace["count"] for pace in found["performance"]} == {4, 5, 10}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert roost("objbench", str(tmp_path), "-p", "0").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["objbench", "--storage", "tape", "x"], 2, "tape"),
        (["objbench", "--storage", "wasb", "https://x"], 2, "account"),
        (["config", "sqlite3:///no/where.db"], 2, "no volume"),
        (["config", "sqlite3:///no/where.db", "--trash-days", "3"], 2, "no volume"),
        (["format", "sqlite3:///tmp/x.db", "abc", "--block-size", "big"], 2, "--block-size"),
        (["format", "sqlite3:///tmp/x.db", "abc", "--encrypt-algo", "rot13"], 2, "rot13"),
    ],
)
def test_an_error_is_one_line_and_a_hint(arguments: list[str], code: int, words: str) -> None:
    result = roost(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2


# ---- the article's lines, as they stand
@pytest.fixture
def azurite() -> Iterator[AzuriteServer]:
    require(AzuriteServer.missing())
    with AzuriteServer() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    require(RedisServer.missing())
    with RedisServer() as server:
        yield server


def test_the_articles_format_line_works_with_redis_and_a_connection_string(
    azurite: AzuriteServer, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    host = f"localhost:{redis.port}"  # the article's is on Redis's usual port: plain `localhost`
    line = ["format", "--storage", "wasb", "--bucket", "https://container", host, "test"]
    assert "volume test" in done(*line)
    with VolumeClient.open(host, cache_dir=tmp_path / "cache") as client:
        client.write("/hello", os.urandom(5 << 20))
        assert len(client.read("/hello")) == 5 << 20
    assert "volume test" in done(*line), "typed again"
