"""Azurite: Microsoft's emulator of Azure Blob Storage, from npm."""

import base64
import hashlib
import hmac
import http.client
import itertools
from email.utils import formatdate

from roost.errors import Unavailable
from roost.testing.servers.available import node_program, not_installed
from roost.testing.servers.process import Server

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Public: every Azurite has it.  Source: Azurite's README, "Default Storage Account"."""
API_VERSION = "2021-12-02"
WAIT_S = 10.0


class AzuriteServer(Server):
    """azurite-blob.  `new_container` gives each test a container of its own."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot run here."""
        if node_program("azurite-blob") is None:
            return not_installed("azurite", "npm install azurite")
        return None

    @property
    def account(self) -> str:
        """The account's name."""
        return ACCOUNT

    @property
    def key(self) -> str:
        """The account's key, base64."""
        return KEY

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT/ACCOUNT`: a container's name follows."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def url(self) -> str:
        """The same as `endpoint`."""
        return self.endpoint

    @property
    def connection_string(self) -> str:
        """What goes into AZURE_STORAGE_CONNECTION_STRING."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.endpoint};"
        )

    def new_container(self, name: str = "") -> str:
        """Make a container and return its name."""
        made = name or f"roost{next(self._numbers)}"
        path = f"/{ACCOUNT}/{made}?restype=container"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("PUT", path, headers=_signed(made))
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        if answer.status != http.client.CREATED:
            raise Unavailable(f"azurite did not make a container: {answer.status} {text}")
        return made

    def _command(self) -> list[str]:
        return [
            node_program("azurite-blob") or "",
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self.port),
            "--location",
            str(self.folder),
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--loose",
        ]


def _signed(container: str) -> dict[str, str]:
    """Return the headers of a request that makes a container.

    Source: "Authorize with Shared Key", Azure Storage REST reference.
    """
    date = formatdate(usegmt=True)
    lines = ["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{API_VERSION}"]
    lines += [f"/{ACCOUNT}/{ACCOUNT}/{container}", "restype:container"]
    text = "\n".join(lines).encode()
    digest = hmac.new(base64.b64decode(KEY), text, hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    return {
        "x-ms-date": date,
        "x-ms-version": API_VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
        "Content-Length": "0",
    }
