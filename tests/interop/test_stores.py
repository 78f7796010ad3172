"""Volumes in real stores, encrypted or not: each client makes them, both use them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from roost.errors import CorruptRecord, InvalidArgument
from roost.testing.servers.available import require
from roost.testing.servers.azurite import AzuriteServer
from roost.testing.servers.s3 import S3Server
from roost.volume.client import VolumeClient
from roost.volume.formatting import NewVolume, make_volume

from .conftest import Juicefs

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

BLOCK = 64 << 10
PASSPHRASE = "open sesame"


@dataclass
class Kind:
    """A volume to make: its options for `NewVolume` and for `juicefs format`."""

    new: NewVolume
    options: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def azurite() -> Iterator[AzuriteServer]:
    require(AzuriteServer.missing())
    with AzuriteServer() as server:
        yield server


@pytest.fixture(scope="module")
def s3rver() -> Iterator[S3Server]:
    require(S3Server.missing())
    with S3Server() as server:
        yield server


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())
    )
    path = tmp_path / "key.pem"
    path.write_bytes(pem)
    monkeypatch.setenv("JFS_RSA_PASSPHRASE", PASSPHRASE)
    return path


@pytest.fixture(params=["s3", "azure", "shards", "aes", "chacha lz4 s3"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    base = NewVolume("stored", block_kib=64, bucket=f"{tmp_path}/objects/")
    make: dict[str, Callable[[], Kind]] = {
        "s3": lambda: _s3(request, base),
        "azure": lambda: _azure(request, base, monkeypatch),
        "shards": lambda: _shards(request, base),
        "aes": lambda: _encrypted(request, Kind(base, _options(base)), "aes256gcm-rsa"),
        "chacha lz4 s3": lambda: _encrypted(
            request, _s3(request, replace(base, compression="lz4")), "chacha20-rsa"
        ),
    }
    return make[str(request.param)]()


def _options(new: NewVolume) -> list[str]:
    options = ["--storage", new.storage, "--bucket", new.bucket, "--block-size", "64"]
    if new.access_key:
        options += ["--access-key", new.access_key, "--secret-key", new.secret_key]
    if new.compression != "none":
        options += ["--compress", new.compression]
    return options


def _s3(request: pytest.FixtureRequest, base: NewVolume) -> Kind:
    server: S3Server = request.getfixturevalue("s3rver")
    new = replace(
        base,
        storage="s3",
        bucket=f"{server.url}/{server.new_bucket()}",
        access_key=server.access_key,
        secret_key=server.secret_key,
    )
    return Kind(new, _options(new))


def _shards(request: pytest.FixtureRequest, base: NewVolume) -> Kind:
    server: S3Server = request.getfixturevalue("s3rver")
    first = server.new_bucket()
    for number in range(3):
        server.new_bucket(f"{first}-shard{number}")
    kind = _s3(request, base)
    new = replace(kind.new, bucket=f"{server.url}/{first}-shard%d", shards=3)
    return Kind(new, [*_options(new), "--shards", "3"])


def _azure(
    request: pytest.FixtureRequest, base: NewVolume, monkeypatch: pytest.MonkeyPatch
) -> Kind:
    server: AzuriteServer = request.getfixturevalue("azurite")
    new = replace(base, storage="wasb", bucket=f"https://{server.new_container()}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string)
    return Kind(new, _options(new))


def _encrypted(request: pytest.FixtureRequest, kind: Kind, algorithm: str) -> Kind:
    path: Path = request.getfixturevalue("key")
    new = replace(kind.new, encrypt_key=path.read_text(), encrypt_algo=algorithm)
    options = ["--encrypt-rsa-key", str(path), "--encrypt-algo", algorithm]
    return Kind(new, [*kind.options, *options])


def use_from_both_sides(juicefs: Juicefs, url: str, cache: Path) -> None:
    """Write by each client, read by the other, then let juicefs look for faults."""
    ours, theirs = os.urandom(3 * BLOCK + 77), os.urandom(2 * BLOCK + 5)
    with VolumeClient.open(url, cache_dir=cache) as client:
        client.write("/ours", ours)
    with juicefs.mounted(url) as point:
        assert (point / "ours").read_bytes() == ours
        (point / "theirs").write_bytes(theirs)
    with VolumeClient.open(url, cache_dir=cache) as client:
        assert client.read("/theirs") == theirs
        assert client.read("/theirs", BLOCK - 3, 10) == theirs[BLOCK - 3 : BLOCK + 7]
        client.append("/theirs", b"more")
    with juicefs.mounted(url) as point:
        assert (point / "theirs").read_bytes() == theirs + b"more"
    report = juicefs.run("fsck", url)
    assert "broken" not in report, report
    juicefs.demand_no_leak(url)


def test_a_volume_of_ours_is_used_by_both(juicefs: Juicefs, kind: Kind, tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    make_volume(url, kind.new)
    use_from_both_sides(juicefs, url, tmp_path / "cache")


def test_a_volume_of_theirs_is_used_by_both(juicefs: Juicefs, kind: Kind, tmp_path: Path) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    juicefs.run("format", url, "stored", *kind.options)
    use_from_both_sides(juicefs, url, tmp_path / "cache")


def test_secrets_are_sealed_as_juicefs_seals_them(
    juicefs: Juicefs, s3rver: S3Server, tmp_path: Path
) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    bucket = f"{s3rver.url}/{s3rver.new_bucket()}"
    new = NewVolume("stored", "s3", bucket, s3rver.access_key, s3rver.secret_key)
    make_volume(url, new)
    assert f'"SecretKey": "{new.secret_key}"'.encode() not in (tmp_path / "meta.db").read_bytes()
    assert '"KeyEncrypted": true' in juicefs.run("config", url)
    juicefs.run("config", url, "--secret-key", s3rver.secret_key, "--yes")
    with VolumeClient.open(url, cache_dir=tmp_path / "cache") as client:
        client.write("/a", b"x")


def test_the_wrong_passphrase_or_key_is_told_apart_from_damage(
    juicefs: Juicefs, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite3://{tmp_path}/meta.db"
    juicefs.run("format", url, "stored", "--bucket", f"{tmp_path}/o", "--encrypt-rsa-key", str(key))
    with VolumeClient.open(url, cache_dir=tmp_path / "c1") as client:
        client.write("/a", b"secret")
    stored = next((tmp_path / "o/stored/chunks").rglob("*_0_6"))
    assert b"secret" not in stored.read_bytes()
    monkeypatch.setenv("JFS_RSA_PASSPHRASE", "wrong")
    with pytest.raises(InvalidArgument, match="encryption key") as refusal:
        VolumeClient.open(url, cache_dir=tmp_path / "c2")
    assert "JFS_RSA_PASSPHRASE" in refusal.value.hint
    monkeypatch.setenv("JFS_RSA_PASSPHRASE", PASSPHRASE)
    stored.write_bytes(stored.read_bytes()[:-1] + b"\0")
    with (
        VolumeClient.open(url, cache_dir=tmp_path / "c3") as client,
        pytest.raises(CorruptRecord, match="_0_6"),
    ):
        client.read("/a")
